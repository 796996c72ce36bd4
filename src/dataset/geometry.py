"""Sizes, crops and flips: the geometry of images in training and in evaluation, for all kinds of data.

Sources: the published preparations of pix2pixHD (Wang et al., 2018: resize, then a crop that may leave the image),
CycleGAN (Zhu et al., 2017: resize, then a random crop) and Hierarchy Flow (Fan et al., 2023: random resized crop).
"""

__all__ = ["MODES", "Geometry", "Placement"]

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..imaging.flow import mirror_flow, resize_flow
from ..utils.errors import UserError
from .reader import OptionError
from .transforms import resize_ids, resize_photo

_BICUBIC, _BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR


class _Mode(NamedTuple):
    """A value of ``resize_or_crop``.

    ``scale`` says what is resized before the crop: the ``width``, the ``short`` side or ``both`` sides to
    ``load_size``; the whole image to the ``window`` of width x height; or nothing. ``part`` resizes a random part of
    the image to the window. ``crops``: whether a window is cut out at random afterwards.
    """

    scale: str = ""
    crops: bool = False
    # the published preparations that do not crop resize bilinearly
    filter: Image.Resampling = _BICUBIC


_MODES = {
    "center43": _Mode("window", filter=_BILINEAR),
    "crop": _Mode(crops=True),
    "none": _Mode(),
    "random_resized_crop": _Mode("part", filter=_BILINEAR),
    "resize_and_crop": _Mode("both", crops=True),
    "scale_short_and_crop": _Mode("short", crops=True),
    "scale_width": _Mode("width"),
    "scale_width_and_crop": _Mode("width", crops=True),
    "squash": _Mode("window", filter=_BILINEAR),
}

MODES: dict[str, tuple[str, ...]] = {
    "paired": ("crop", "none", "resize_and_crop", "scale_width", "scale_width_and_crop"),
    "unpaired": tuple(mode for mode in _MODES if mode != "scale_width"),
}
"""The modes that each kind of data allows."""

_RATIO = (3 / 4, 4 / 3)
_ATTEMPTS = 10


class Placement(NamedTuple):
    """A window of an image, in pixels, and whether it is mirrored left to right and upside down."""

    x: int
    y: int
    width: int
    height: int
    flip: bool
    v_flip: bool = False


@dataclass(frozen=True)
class Geometry:
    """The geometry of a kind of data: resizing, cropping and flipping.

    ``scale_width`` resizes the width to ``load_size``, ``scale_short`` the short side and ``resize`` both sides;
    ``..._and_crop`` then cuts a window of ``width`` x ``height`` out at random, and ``crop`` cuts only. ``squash``
    resizes the whole image to the window. ``random_resized_crop`` resizes a random part to it: a fraction of the area
    between ``scale_low`` and ``scale_high``, whose aspect ratio is that of the window up to a factor of 3/4 to 4/3.
    ``center43`` always takes the largest central part whose aspect ratio is between 3:4 and 4:3, as the published
    Hierarchy Flow training does with wide images. ``none`` changes nothing.

    Paired data differ from unpaired data in three ways. ``none`` rounds both sides to the stride in training. A window
    may leave the image, and what lies outside is 0; an image that is not larger than the window stays whole. Whole
    images, in evaluation, are resized exactly as in training, where unpaired ones get the scale that their crops have.

    Args:
        kind: kind of data, a key of :data:`MODES`.
        mode: one of its modes.
        load_size: side that is resized to, in pixels.
        width, height: the window in pixels.
        stride: number that both sides must be divisible by in training.
        scale_low, scale_high: limits of the fraction of the area.

    Raises:
        UserError: a mode of another kind of data, or fractions out of order.
    """

    kind: str
    mode: str
    load_size: int
    width: int
    height: int
    stride: int = 1
    scale_low: float = 0.8
    scale_high: float = 1.0

    def __post_init__(self) -> None:
        if self.mode not in MODES[self.kind]:
            raise UserError(
                f"resize_or_crop {self.mode} is not for {self.kind} data: use one of {', '.join(MODES[self.kind])}"
            )
        if not 0 < self.scale_low <= self.scale_high <= 1:
            raise UserError(
                f"scale_l {self.scale_low} and scale_h {self.scale_high} are fractions of an image's area: they must "
                "be above 0, at most 1 and in ascending order"
            )

    @property
    def settings(self) -> dict[str, object]:
        """The options that decide what the stored part of the work returns, for the fingerprint of records."""
        scale, crops, _ = _MODES[self.mode]
        used: dict[str, object] = {"resize_or_crop": self.mode}
        if self.kind == "paired":
            used["stride"] = self.stride
            used |= {"load_size": self.load_size} if scale else {}
            return used | ({"fine_size": self.width} if crops else {})
        used |= {"load_size": self.load_size} if crops else {}
        used |= {"width": self.width, "height": self.height} if scale or crops else {}
        return used | ({"scale_l": self.scale_low} if scale == "part" else {})

    # -- sizes -----------------------------------------------------------------------------------------------

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in training before random crops: the size that records hold for an image of that size."""
        scale = _MODES[self.mode].scale
        if scale == "width":
            return self.load_size, max(1, self.load_size * height // width)
        if scale == "short":
            short = min(width, height)
            return self.load_size * width // short, self.load_size * height // short
        if scale == "both":
            return self.load_size, self.load_size
        if scale == "window":
            return self.width, self.height
        if scale == "part":
            # small enough to read quickly, large enough that the smallest part need not be enlarged
            factor = max(self.width / width, self.height / height) / (self.scale_low**0.5 * _RATIO[0])
            if factor < 1:
                return round(width * factor), round(height * factor)
        elif self.mode == "none" and self.kind == "paired":
            width, height = (round(side / self.stride) * self.stride for side in (width, height))
        return width, height

    def resized_whole(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in evaluation, at least 1: nothing is rounded or cropped, the evaluator pads and cuts."""
        scale = _MODES[self.mode].scale
        if not scale:
            return width, height
        if self.kind == "paired":
            return self.resized(width, height)
        if scale not in ("short", "width"):
            return self.width, self.height
        factor = min(self.width, self.height) / min(width, height) if scale == "short" else self.load_size / width
        return max(1, round(width * factor)), max(1, round(height * factor))

    def cropped(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a training sample that is made of a resized image of that size."""
        scale, crops, _ = _MODES[self.mode]
        if scale == "part" or (crops and (width > self.width or height > self.height)):
            return self.width, self.height
        return width, height

    def check(self, width: int, height: int, source: str) -> None:
        """Raise unless an image of that size becomes a training sample that the network takes.

        ``source`` names the image.

        Raises:
            OptionError: the stride does not divide the sides of the sample, or an unpaired image is smaller than the
                window; the message says which options fit.
        """
        if self._fits(width, height):
            return
        size = self.resized(width, height)
        covered = self._covered(*size)
        options = "".join(f", {name} {value}" for name, value in self.settings.items() if name != "stride")[2:]
        if covered:
            size = self.cropped(*size)
            problem = f"the network's stride {self.stride} must divide both sides"
        else:
            problem = f"it is smaller than the crop of {self.width}x{self.height}"
        raise OptionError(
            f"{source} ({width}x{height}) becomes {size[0]}x{size[1]} with {options}, but {problem}: pass "
            f"{' or '.join(self._ways_out(width, height))}"
        )

    def _covered(self, width: int, height: int) -> bool:
        """Whether the window lies inside a resized image of that size, where it has to."""
        paired, crops = self.kind == "paired", _MODES[self.mode].crops
        return paired or not crops or (width >= self.width and height >= self.height)

    def _fits(self, width: int, height: int) -> bool:
        size = self.resized(width, height)
        final = self.cropped(*size)
        return self._covered(*size) and min(final) > 0 and not any(side % self.stride for side in final)

    def _ways_out(self, width: int, height: int) -> list[str]:
        """Options with which an image of that size fits: a mode, where one does, and the nearest numbers."""
        simple, remark = ("none", " (rounds both sides)") if self.kind == "paired" else ("squash", "")
        ways = [f"--resize_or_crop {simple}{remark}"] if replace(self, mode=simple)._fits(width, height) else []
        side = max(self.stride, min(self.load_size, self.width) // self.stride * self.stride)
        last: dict[str, Any] = {"mode": "resize_and_crop", "load_size": side, "width": side, "height": side}
        numbers = self._other_numbers(width, height)
        return [*ways, self._words(next((c for c in numbers if replace(self, **c)._fits(width, height)), last))]

    def _other_numbers(self, width: int, height: int) -> Iterator[dict[str, Any]]:
        if self.kind == "paired":
            yield from ({"width": side, "height": side} for side in self._multiples(self.width))
        else:
            # a window that fits has both sides below those of the resized image
            most = self.resized(width, height) if _MODES[self.mode].crops else (2 * self.width, 2 * self.height)
            width, height = (
                next((side for side in self._multiples(now) if side <= limit), now)
                for now, limit in zip((self.width, self.height), most, strict=True)
            )
            yield {"width": width, "height": height}
        yield from ({"load_size": side} for side in self._multiples(self.load_size))

    def _multiples(self, now: int) -> list[int]:
        """Multiples of the stride up to twice ``now``, the nearest first."""
        return sorted(range(self.stride, 2 * max(now, self.stride) + 1, self.stride), key=lambda side: abs(side - now))

    def _words(self, changes: dict[str, object]) -> str:
        names = {"mode": "resize_or_crop", "load_size": "load_size", "width": "crop_width", "height": "crop_height"}
        if self.kind == "paired":
            names |= {"width": "fine_size", "height": "fine_size"}
        return " ".join(f"--{name} {value}" for name, value in {names[k]: v for k, v in changes.items()}.items())

    # -- arrays ----------------------------------------------------------------------------------------------

    def store(self, arrays: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
        """The deterministic part of the preparation, whose results are stored in records.

        Args:
            arrays: images ``(H, W, C)`` uint8, ids ``(H, W)`` and encoded optical flow ``(H, W, 3)`` uint16, all of
                one size.
            source: name of the image, for messages.

        Raises:
            OptionError: see :meth:`check`.
        """
        height, width = next(iter(arrays.values())).shape[:2]
        self.check(width, height, source)
        if self.mode == "center43":
            x, y, w, h = _central_box(width, height)
            arrays = {name: array[y : y + h, x : x + w] for name, array in arrays.items()}
        return self._resize_all(arrays, self.resized(width, height))

    def whole(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Whole images in evaluation, at the size that :meth:`resized_whole` says; ``arrays`` as in :meth:`store`."""
        height, width = next(iter(arrays.values())).shape[:2]
        return self._resize_all(arrays, self.resized_whole(width, height))

    def sample(
        self, arrays: dict[str, np.ndarray], flip: bool, v_flip: bool, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """One random view of stored arrays of one size, the same for all, mirrored half of the time where allowed."""
        height, width = next(iter(arrays.values())).shape[:2]
        placement = self.draw(width, height, flip, v_flip, rng)
        return {name: self.place(array, placement) for name, array in arrays.items()}

    def draw(self, width: int, height: int, flip: bool, v_flip: bool, rng: np.random.Generator) -> Placement:
        """Draw a window of a stored image, uniform over all positions that fit, and flips with probability one half.

        How many numbers are taken from ``rng`` depends on kind and mode only, except for ``random_resized_crop``. Their
        order is part of what makes a run repeatable: it must not change.
        """
        _, crops, _ = _MODES[self.mode]
        size = self.cropped(width, height)
        if self.kind == "paired":
            x = int(rng.integers(0, max(0, width - self.width) + 1))
            y = int(rng.integers(0, max(0, height - self.height) + 1))
            flips = (rng.random() < 0.5, False)
            return Placement(x if crops else 0, y if crops else 0, *size, bool(flips[0] and flip))
        flips = rng.random(2) < 0.5
        x = y = 0
        if crops:
            x, y = int(rng.integers(0, width - self.width + 1)), int(rng.integers(0, height - self.height + 1))
        elif self.mode == "random_resized_crop":
            x, y, width, height = self._random_box(width, height, rng)
            size = width, height
        return Placement(x, y, *size, bool(flip and flips[0]), bool(v_flip and flips[1]))

    def place(self, array: np.ndarray, placement: Placement) -> np.ndarray:
        """Cut the window out of ids, an image or flow and flip it; what lies outside is 0, and unknown in flow."""
        x, y, width, height, flip, v_flip = placement
        array = array[y : y + height, x : x + width]
        missing = (height - array.shape[0], width - array.shape[1])
        if any(missing):
            array = np.pad(array, [(0, missing[0]), (0, missing[1])] + [(0, 0)] * (array.ndim - 2))
        if self.mode == "random_resized_crop":
            array = self._resize(array, (self.width, self.height))
        if _is_flow(array):
            return mirror_flow(array, flip, v_flip) if flip or v_flip else array
        array = array[:, ::-1] if flip else array
        return array[::-1] if v_flip else array

    def _resize_all(self, arrays: dict[str, np.ndarray], size: tuple[int, int]) -> dict[str, np.ndarray]:
        return {name: self._resize(array, size) for name, array in arrays.items()}

    def _resize(self, array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        if array.ndim == 2:
            return resize_ids(array, size)
        if _is_flow(array):
            return resize_flow(array, size)
        return resize_photo(array, size, _MODES[self.mode].filter)

    def _random_box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        shape = self.width / self.height
        for _ in range(_ATTEMPTS):
            area = width * height * rng.uniform(self.scale_low, self.scale_high)
            ratio = shape * np.exp(rng.uniform(np.log(_RATIO[0]), np.log(_RATIO[1])))
            w, h = round(float(np.sqrt(area * ratio))), round(float(np.sqrt(area / ratio)))
            if 0 < w <= width and 0 < h <= height:
                return int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h
        # an image of a very different aspect ratio: the largest part of the window's, anywhere
        w, h = max(1, min(width, round(height * shape))), max(1, min(height, round(width / shape)))
        return int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h


def _is_flow(array: np.ndarray) -> bool:
    return array.ndim == 3 and array.dtype == np.uint16


def _central_box(width: int, height: int) -> tuple[int, int, int, int]:
    w, h = width, height
    if width / height > _RATIO[1]:
        w = round(height * _RATIO[1])
    elif width / height < _RATIO[0]:
        h = round(width / _RATIO[0])
    return (width - w) // 2, (height - h) // 2, w, h
