"""Sizes, crops and flips: pix2pixHD's ``resize_or_crop`` modes, one placement for all columns of a sample.

Source: Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", 2018,
and the preparation that its published code applies.
"""

__all__ = ["MODES", "Geometry", "Placement", "resize_ids", "resize_photo"]

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image

from src.dataset.reader import OptionError
from src.utils.errors import UserError

MODES = ("crop", "none", "resize_and_crop", "scale_width", "scale_width_and_crop")


class Placement(NamedTuple):
    """Where a crop's upper left corner lies, in pixels, and whether the result is mirrored left to right."""

    x: int
    y: int
    flip: bool


@dataclass(frozen=True)
class Geometry:
    """What becomes of a picture's size.

    Args:
        mode: one of :data:`MODES`.
        load_size: target width (or both sides, with ``resize_and_crop``) in pixels.
        fine_size: side of the square crop in pixels.
        stride: what the network needs both sides to be divisible by; ``none`` rounds to it.
    """

    mode: str
    load_size: int
    fine_size: int
    stride: int

    def __post_init__(self):
        if self.mode not in MODES:
            raise UserError(f"resize_or_crop {self.mode} is unknown: use one of {', '.join(MODES)}")

    @property
    def crops(self) -> bool:
        """Whether training cuts a random square out."""
        return "crop" in self.mode

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing and before cropping, in training."""
        if self.mode == "none":
            return _round_to(width, self.stride), _round_to(height, self.stride)
        return self.resized_whole(width, height)

    def resized_whole(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in evaluation: nothing is rounded or cropped, the evaluator pads and cuts back."""
        if self.mode == "resize_and_crop":
            return self.load_size, self.load_size
        if self.mode.startswith("scale_width"):
            return self.load_size, max(1, int(self.load_size * height / width))
        return width, height

    def cropped(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after cropping: pictures with a side above ``fine_size`` become squares."""
        if self.crops and (width > self.fine_size or height > self.fine_size):
            return self.fine_size, self.fine_size
        return width, height

    def draw(self, width: int, height: int, may_flip: bool, rng: np.random.Generator) -> Placement:
        """Draw a crop position, uniform over all that fit, and a flip with probability one half.

        Always takes three numbers from ``rng``, so that one option does not change what another draws.
        """
        x = int(rng.integers(0, max(0, width - self.fine_size) + 1))
        y = int(rng.integers(0, max(0, height - self.fine_size) + 1))
        flip = bool(rng.random() < 0.5)
        return Placement(x if self.crops else 0, y if self.crops else 0, flip and may_flip)

    def place(self, array: np.ndarray, placement: Placement) -> np.ndarray:
        """Crop and flip ``(H, W)`` or ``(H, W, C)``; what the crop covers beyond the border becomes 0."""
        height, width = array.shape[:2]
        new_width, new_height = self.cropped(width, height)
        if (new_width, new_height) != (width, height):
            array = array[placement.y : placement.y + new_height, placement.x : placement.x + new_width]
            missing = (new_height - array.shape[0], new_width - array.shape[1])
            if any(missing):
                array = np.pad(array, [(0, missing[0]), (0, missing[1])] + [(0, 0)] * (array.ndim - 2))
        return array[:, ::-1] if placement.flip else array

    def check_divisible(self, width: int, height: int, source: str) -> None:
        """Raise ``OptionError`` with ways out unless ``width`` x ``height`` ends in a size the network takes.

        ``source`` names the file the size comes from; only training needs this.
        """
        if self._fits(width, height):
            return
        final = self.cropped(*self.resized(width, height))
        raise OptionError(
            f"{source} ({width}x{height}) becomes {final[0]}x{final[1]} with resize_or_crop {self.mode}, "
            f"load_size {self.load_size}, fine_size {self.fine_size}, but the network's stride {self.stride} "
            f"must divide both sides: pass {' or '.join(self._ways_out(width, height))}"
        )

    def _fits(self, width: int, height: int) -> bool:
        final = self.cropped(*self.resized(width, height))
        return min(final) > 0 and final[0] % self.stride == 0 and final[1] % self.stride == 0

    def _ways_out(self, width: int, height: int) -> list[str]:
        """Options under which this size fits: rounding, where it works, and the nearest change of a number."""
        ways = []
        if replace(self, mode="none")._fits(width, height):
            ways.append("--resize_or_crop none (rounds both sides)")
        for option in ("fine_size", "load_size"):
            now = getattr(self, option)
            multiples = range(1, 2 * max(now, self.stride) // self.stride + 1)
            for size in sorted((k * self.stride for k in multiples), key=lambda size: abs(size - now)):
                if size != now and replace(self, **{option: size})._fits(width, height):
                    return [*ways, f"--{option} {size}"]
        side = max(self.stride, min(self.load_size, self.fine_size) // self.stride * self.stride)
        return [*ways, f"--resize_or_crop resize_and_crop --load_size {side} --fine_size {side}"]


def _round_to(value: int, base: int) -> int:
    return int(round(value / base) * base)


def resize_photo(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``(H, W, C)`` uint8 to ``size`` = (width, height), bicubic with Pillow's anti-aliasing."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    channels = image.shape[2]
    if channels == 4:  # Pillow weights colours with alpha when it resizes RGBA; channels are independent here
        return np.concatenate([resize_photo(image[:, :, :3], size), resize_photo(image[:, :, 3:], size)], axis=2)
    picture = Image.fromarray(np.ascontiguousarray(image[:, :, 0] if channels == 1 else image))
    resized = np.array(picture.resize(size, Image.Resampling.BICUBIC))
    return resized[:, :, None] if channels == 1 else resized


def resize_ids(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``(H, W)`` or ``(H, W, C)`` integers to ``size`` = (width, height) by nearest neighbour."""
    if (ids.shape[1], ids.shape[0]) == size:
        return ids
    if ids.ndim == 3:
        return np.stack([resize_ids(ids[:, :, c], size) for c in range(ids.shape[2])], axis=2)
    picture = Image.fromarray(np.ascontiguousarray(ids, dtype=np.int32))
    return np.array(picture.resize(size, Image.Resampling.NEAREST)).astype(ids.dtype)
