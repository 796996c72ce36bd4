"""What unpaired translation does to a picture's size, in training and in evaluation.

Sources: the published preparation of CycleGAN (resize, then a random crop) and of Hierarchy Flow (random
resized crop).
"""

__all__ = ["UNPAIRED_MODES", "Cropper"]

from dataclasses import dataclass

import numpy as np
from PIL import Image

from src.dataset.transforms import resize_ids, resize_photo
from src.utils.errors import UserError

UNPAIRED_MODES = (
    "center43",
    "crop",
    "none",
    "random_resized_crop",
    "resize_and_crop",
    "scale_short_and_crop",
    "scale_width_and_crop",
    "squash",
)
_CROPS = ("crop", "resize_and_crop", "scale_short_and_crop", "scale_width_and_crop")
_RATIO = (3 / 4, 4 / 3)
_ATTEMPTS = 10


@dataclass(frozen=True)
class Cropper:
    """Sizes of one domain.

    ``scale_short_and_crop`` scales the short side to ``load_size``, ``scale_width_and_crop`` the width, and
    ``resize_and_crop`` both sides; then a window of ``width`` x ``height`` is cut out anywhere. ``crop`` only
    cuts. ``squash`` stretches the whole picture to that size. ``random_resized_crop`` stretches a random part
    to it: a share of the area between ``scale_low`` and ``scale_high``, whose shape is that of the result up
    to a factor of 3/4 to 4/3. ``center43`` always takes the largest central part of shape at most 4:3, which
    is what the published Hierarchy Flow training does with wide pictures. ``none`` changes nothing.

    ``stride`` is what the network needs both sides to be divisible by.
    """

    mode: str
    load_size: int
    width: int
    height: int
    scale_low: float = 0.8
    scale_high: float = 1.0
    stride: int = 1

    def __post_init__(self):
        if self.mode not in UNPAIRED_MODES:
            raise UserError(
                f"resize_or_crop {self.mode} is not for unpaired pictures: use one of {', '.join(UNPAIRED_MODES)}"
            )
        if not 0 < self.scale_low <= self.scale_high <= 1:
            raise UserError(
                f"scale_l {self.scale_low} and scale_h {self.scale_high} are shares of a picture's area: they "
                "must be above 0, at most 1 and in ascending order"
            )
        if self.mode != "none" and (self.width % self.stride or self.height % self.stride):
            raise UserError(
                f"pictures of {self.width}x{self.height} do not fit the network: both sides must be multiples "
                f"of {self.stride}: change --width, --height or --fine_size"
            )

    @property
    def settings(self) -> dict[str, object]:
        """The options that decide what :meth:`store` returns."""
        settings: dict[str, object] = {"resize_or_crop": self.mode}
        if self.mode in _CROPS:
            settings |= {"load_size": self.load_size, "width": self.width, "height": self.height}
        elif self.mode == "random_resized_crop":
            settings |= {"width": self.width, "height": self.height, "scale_l": self.scale_low}
        elif self.mode != "none":
            settings |= {"width": self.width, "height": self.height}
        return settings

    def store(self, arrays: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
        """The part of the work that is the same every time: what records hold.

        ``arrays`` are ``(H, W, C)`` uint8 photos and ``(H, W)`` ids of one shape. Raises ``UserError`` naming
        ``source`` if the picture is too small for the crop.
        """
        height, width = next(iter(arrays.values())).shape[:2]
        if self.mode == "center43":
            x, y, w, h = _central_box(width, height)
            arrays = {name: array[y : y + h, x : x + w] for name, array in arrays.items()}
        new = self.stored_size(width, height)
        if self.mode in _CROPS and (new[0] < self.width or new[1] < self.height):
            raise UserError(
                f"{source} ({width}x{height}) becomes {new[0]}x{new[1]}, smaller than the crop of "
                f"{self.width}x{self.height}: pass a larger --load_size or a smaller crop"
            )
        if self.mode == "none" and (new[0] % self.stride or new[1] % self.stride):
            raise UserError(
                f"{source} ({width}x{height}) does not fit the network, whose stride is {self.stride}: pass "
                "--resize_or_crop squash, or a mode that crops"
            )
        return {name: self._resize(array, new) for name, array in arrays.items()}

    def stored_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of what :meth:`store` returns for a picture of that size."""
        if self.mode == "scale_short_and_crop":
            short = min(width, height)
            return self.load_size * width // short, self.load_size * height // short
        if self.mode == "scale_width_and_crop":
            return self.load_size, max(1, self.load_size * height // width)
        if self.mode == "resize_and_crop":
            return self.load_size, self.load_size
        if self.mode in ("squash", "center43"):
            return self.width, self.height
        if self.mode == "random_resized_crop":
            # small enough to read quickly, large enough that the smallest part need not be enlarged
            factor = max(self.width / width, self.height / height) / (self.scale_low**0.5 * _RATIO[0])
            if factor < 1:
                return round(width * factor), round(height * factor)
        return width, height

    def sample(
        self, arrays: dict[str, np.ndarray], flip: bool, v_flip: bool, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """One random crop of stored arrays, the same for all, mirrored half of the time where allowed.

        Takes the same numbers from ``rng`` in every mode but ``random_resized_crop``.
        """
        height, width = next(iter(arrays.values())).shape[:2]
        flips = rng.random(2) < 0.5
        if self.mode in _CROPS:
            x = int(rng.integers(0, width - self.width + 1))
            y = int(rng.integers(0, height - self.height + 1))
            box = slice(y, y + self.height), slice(x, x + self.width)
            arrays = {name: array[box] for name, array in arrays.items()}
        elif self.mode == "random_resized_crop":
            x, y, w, h = self._random_box(width, height, rng)
            size = self.width, self.height
            arrays = {n: self._resize(array[y : y + h, x : x + w], size) for n, array in arrays.items()}
        if flip and flips[0]:
            arrays = {name: array[:, ::-1] for name, array in arrays.items()}
        if v_flip and flips[1]:
            arrays = {name: array[::-1] for name, array in arrays.items()}
        return arrays

    def whole(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The whole picture at the scale that training sees, its shape kept unless training squashes it."""
        height, width = next(iter(arrays.values())).shape[:2]
        if self.mode in ("none", "crop"):
            return arrays
        if self.mode in ("squash", "random_resized_crop", "center43", "resize_and_crop"):
            size = self.width, self.height
        else:
            short = min(self.width, self.height) / min(width, height)
            scale = short if self.mode == "scale_short_and_crop" else self.load_size / width
            size = max(1, round(width * scale)), max(1, round(height * scale))
        return {name: self._resize(array, size) for name, array in arrays.items()}

    def _resize(self, array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        if array.ndim == 2:
            return resize_ids(array, size)
        if self.mode in _CROPS:
            return resize_photo(array, size)
        # the published preparations that do not crop resize bilinearly
        if (array.shape[1], array.shape[0]) == size:
            return array
        picture = Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array))
        return np.array(picture.resize(size, Image.Resampling.BILINEAR)).reshape(size[1], size[0], -1)

    def _random_box(self, width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        shape = self.width / self.height
        for _ in range(_ATTEMPTS):
            area = width * height * rng.uniform(self.scale_low, self.scale_high)
            ratio = shape * np.exp(rng.uniform(np.log(_RATIO[0]), np.log(_RATIO[1])))
            w, h = round(float(np.sqrt(area * ratio))), round(float(np.sqrt(area / ratio)))
            if 0 < w <= width and 0 < h <= height:
                return int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h
        # a picture of a very different shape: the largest part of the result's shape, anywhere
        w, h = min(width, round(height * shape)), min(height, round(width / shape))
        return int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1)), w, h


def _central_box(width: int, height: int) -> tuple[int, int, int, int]:
    w, h = width, height
    if width / height > _RATIO[1]:
        w = round(height * _RATIO[1])
    elif width / height < _RATIO[0]:
        h = round(width / _RATIO[0])
    return (width - w) // 2, (height - h) // 2, w, h
