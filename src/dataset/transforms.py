"""Resizing photos and maps of ids."""

__all__ = ["resize_ids", "resize_photo"]

import numpy as np
from PIL import Image


def resize_photo(
    image: np.ndarray, size: tuple[int, int], resample: Image.Resampling = Image.Resampling.BICUBIC
) -> np.ndarray:
    """Resize ``(H, W)`` or ``(H, W, C)`` uint8 to ``size`` = (width, height) with Pillow's anti-aliasing."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    if image.ndim == 2:
        return resize_photo(image[:, :, None], size, resample)[:, :, 0]
    channels = image.shape[2]
    if channels == 4 and resample == Image.Resampling.BICUBIC:
        # Pillow weights colours with alpha when it resizes RGBA; channels are independent here. Bilinear resizing has
        # always had those weights and keeps them, so that earlier runs can be repeated.
        parts = [resize_photo(image[:, :, part], size) for part in (slice(3), slice(3, 4))]
        return np.concatenate(parts, axis=2)
    picture = Image.fromarray(np.ascontiguousarray(image[:, :, 0] if channels == 1 else image))
    resized = np.array(picture.resize(size, resample))
    return resized[:, :, None] if channels == 1 else resized


def resize_ids(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``(H, W)`` or ``(H, W, C)`` integers to ``size`` = (width, height) by nearest neighbour."""
    if (ids.shape[1], ids.shape[0]) == size:
        return ids
    if ids.ndim == 3:
        return np.stack([resize_ids(ids[:, :, c], size) for c in range(ids.shape[2])], axis=2)
    picture = Image.fromarray(np.ascontiguousarray(ids, dtype=np.int32))
    return np.array(picture.resize(size, Image.Resampling.NEAREST)).astype(ids.dtype)
