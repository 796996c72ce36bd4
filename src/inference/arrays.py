"""Conversion of the user's numpy arrays and PIL images to lists of checked arrays, and of results back."""

__all__ = ["Form", "as_maps", "as_units", "check_output", "fitted", "match_length"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..imaging.images import MAX_PIXELS, SIXTEEN_BIT_MODES, image_to_unit, pixels_of, unit_to_image
from ..utils.errors import UserError
from ..utils.text import counted

OUTPUTS = ("float", "numpy", "pil")


@dataclass(frozen=True)
class Form:
    """The form of the inputs, so that results are returned in the same form.

    Attributes:
        kind: ``one`` item, a ``stack`` (an array with one more axis) or a ``list``.
        pil: for every item whether it is a PIL image.
    """

    kind: str
    pil: tuple[bool, ...]

    def pictures(self, units: Sequence[np.ndarray], output: str | None) -> Any:
        """Results, each float32 (C, H, W) in [-1, 1], as ``output`` asks: see :meth:`result`."""
        return self.result([self.picture(u, i, output) for i, u in enumerate(units)])

    def picture(self, unit: np.ndarray, index: int, output: str | None) -> np.ndarray | Image.Image:
        """One result in the form of input ``index``, unless ``output`` names another.

        ``numpy``: uint8 (H, W, C), or (H, W) for one channel; ``pil``; ``float``: float32 (H, W, C) in [-1, 1].
        """
        if output == "float":
            return np.ascontiguousarray(unit.transpose(1, 2, 0))
        image = unit_to_image(unit)
        image = image[:, :, 0] if image.shape[2] == 1 else image
        return Image.fromarray(image) if (self.pil[index] if output is None else output == "pil") else image

    def result(self, items: list[Any]) -> Any:
        """One item, a list, or an array where a stack was given and the items are arrays of one shape."""
        if self.kind == "one":
            return items[0]
        arrays = all(isinstance(item, np.ndarray) for item in items)
        if self.kind == "stack" and items and arrays and len({item.shape for item in items}) == 1:
            return np.stack(items)
        return items


def check_output(output: str | None) -> None:
    """Raise ``UserError`` unless ``output`` is None or one of :data:`OUTPUTS`."""
    if output is not None and output not in OUTPUTS:
        raise UserError(f"output {output} is not one of {', '.join(OUTPUTS)}; leave it out for the form of the input")


def as_units(given: Any, channels: int, what: str = "image") -> tuple[list[np.ndarray], Form]:
    """Images to float32 (``channels``, H, W) in [-1, 1].

    Args:
        given: a PIL image, an array (H, W, C) (or (H, W) where C is 1), a stack (N, H, W, C), or a list of such items,
            whose sizes may differ. Arrays are uint8, or floats in [-1, 1].
        channels: channels that the network takes; PIL images are converted to them, arrays must have them.
        what: a noun for messages.

    Raises:
        UserError: another type, shape or range.
    """
    items, kind = _listed(given, 3 if channels > 1 else 2, what)
    units = []
    for index, item in enumerate(items):
        name = what if kind == "one" else f"{what} {index}"
        units.append(_unit_of_pil(item, channels, name) if _is_pil(item) else _unit_of_array(item, channels, name))
    return units, Form(kind, tuple(map(_is_pil, items)))


def as_maps(given: Any, what: str = "label map", limit: int = 65536) -> tuple[list[np.ndarray], Form]:
    """Maps of numbers to int32 (H, W).

    Args:
        given: an integer array (H, W), a stack (N, H, W), a PIL image of mode L, P, I or I;16, or a list of such.
        what: a noun for messages.
        limit: numbers are at least 0 and below this.

    Raises:
        UserError: another type or shape, a colour image, or a number out of range.
    """
    items, kind = _listed(given, 2, what)
    maps = []
    for index, item in enumerate(items):
        name = what if kind == "one" else f"{what} {index}"
        if _is_pil(item):
            if item.mode not in ("1", "L", "P", *SIXTEEN_BIT_MODES):
                raise UserError(f"{name} is a PIL image of mode {item.mode}: maps hold one number a pixel (L, P, I;16)")
            item = np.asarray(item)
            item = item.astype(np.uint8) if item.dtype == bool else item
        item = item[:, :, 0] if item.ndim == 3 and item.shape[2] == 1 else item
        if item.ndim != 2 or item.dtype.kind not in "iu":
            raise UserError(f"{name} is (H, W) of integers, not {item.shape} of {item.dtype}")
        _check_size(item.shape, name)
        low, high = int(item.min()), int(item.max())
        if low < 0 or high >= limit:
            raise UserError(f"{name} holds {low if low < 0 else high}: numbers from 0 to {limit - 1} are allowed")
        maps.append(np.ascontiguousarray(item, np.int32))
    return maps, Form(kind, tuple(map(_is_pil, items)))


def fitted(unit: np.ndarray, size: tuple[int, int], resize: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """An image (C, H, W) in [-1, 1] at ``size`` = (height, width); an image of that size is returned unchanged.

    Otherwise it is resized as images from files are: ``resize`` takes (H, W, C) uint8 and returns (H, W, C) or (H, W).
    """
    if unit.shape[1:] == size:
        return unit
    return image_to_unit(np.atleast_3d(resize(unit_to_image(unit))))


def match_length(items: list, count: int, what: str) -> list:
    """``items``, one for each of ``count`` inputs; a single one serves all.

    Raises:
        UserError: there is neither one item nor ``count``.
    """
    if len(items) not in (1, count):
        raise UserError(f"{len(items)} {what} for {counted(count, 'input')}: give one, or one for each")
    return items * count if len(items) == 1 else items


def _is_pil(item: Any) -> bool:
    return isinstance(item, Image.Image)


def _listed(given: Any, ndim: int, what: str) -> tuple[list[Any], str]:
    if _is_pil(given):
        return [given], "one"
    if isinstance(given, np.ndarray):
        stacked = given.ndim == ndim + 1 and not (ndim == 2 and given.shape[2] == 1)
        items, kind = (list(given), "stack") if stacked else ([given], "one")
    elif isinstance(given, (list, tuple)):
        items, kind = list(given), "list"
    else:
        raise UserError(f"expected {what} as a numpy array, a PIL image, or a list of them, not {type(given).__name__}")
    if not items:
        raise UserError(f"no {what} was given: the list is empty")
    for item in items:
        if not _is_pil(item) and not isinstance(item, np.ndarray):
            raise UserError(f"expected {what} as a numpy array or a PIL image, not {type(item).__name__}")
    return items, kind


def _check_size(shape: tuple[int, ...], name: str) -> None:
    height, width = shape[:2]
    if not 0 < height * width <= MAX_PIXELS:
        raise UserError(f"{name} has {width}x{height} pixels: from 1 to {MAX_PIXELS} are allowed")


def _unit_of_pil(item: Image.Image, channels: int, name: str) -> np.ndarray:
    if item.mode == "F" or item.mode in SIXTEEN_BIT_MODES:
        raise UserError(f"{name} is a PIL image of mode {item.mode}: convert it to 8 bits a channel (RGB or L)")
    _check_size((item.height, item.width), name)
    try:
        return image_to_unit(pixels_of(ImageOps.exif_transpose(item), channels))
    except (KeyError, ValueError):
        raise UserError(f"{name} is a PIL image of mode {item.mode}: this network takes {channels} channels") from None


def _unit_of_array(item: np.ndarray, channels: int, name: str) -> np.ndarray:
    item = item[:, :, None] if item.ndim == 2 and channels == 1 else item
    if item.ndim != 3 or item.shape[2] != channels:
        raise UserError(f"{name} has shape {item.shape}: this network takes (H, W, {channels})")
    _check_size(item.shape, name)
    if item.dtype == np.uint8:
        return image_to_unit(item)
    if item.dtype.kind != "f":
        raise UserError(f"{name} is of type {item.dtype}: images are uint8, or floats in [-1, 1]")
    # written so that NaN is out of range, too
    if not (item.min() >= -1.001 and item.max() <= 1.001):
        raise UserError(
            f"{name} holds floats from {item.min():.4g} to {item.max():.4g}: floats are in [-1, 1]; "
            "pass 0..255 as uint8"
        )
    return np.ascontiguousarray(item.transpose(2, 0, 1), np.float32)
