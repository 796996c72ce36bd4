"""Images of any size for networks that take multiples of their stride."""

__all__ = ["pad_batch", "size_of"]

import numpy as np


def size_of(batch: dict[str, np.ndarray]) -> tuple[int, int]:
    """Height and width of the first map (N, C, H, W) of a batch."""
    height, width = next(array.shape[2:] for array in batch.values() if array.ndim == 4)
    return height, width


def pad_batch(batch: dict[str, np.ndarray], stride: int, smallest: int = 1) -> dict[str, np.ndarray]:
    """Extend every (N, C, H, W) map at the bottom and right by repeating its border.

    Sides become multiples of ``stride`` and at least ``smallest``, which is a multiple of it. Maps may differ in size.
    """
    padded = {}
    for name, array in batch.items():
        if array.ndim == 4:
            wanted = [max(smallest, -(-side // stride) * stride) for side in array.shape[2:]]
            pad = [(0, 0), (0, 0), *((0, want - side) for want, side in zip(wanted, array.shape[2:], strict=True))]
            array = np.pad(array, pad, mode="edge")
        padded[name] = array
    return padded
