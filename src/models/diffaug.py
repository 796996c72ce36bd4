"""DiffAugment (Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training"), for discriminators.

Real and generated images are changed at random before a discriminator sees them, in its own loss and in that of the
generator, so that it cannot learn few images by heart, and the generator does not learn the changes. The three policies
are those of the published code.
"""

__all__ = ["POLICIES", "DiffAugment", "draw_augmentation", "policies_of"]

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ..utils.errors import UserError

POLICIES = ("color", "translation", "cutout")
# largest shift, and side of the square that is cut out, as shares of the image's sides
_SHIFT, _HOLE = 0.125, 0.5


def policies_of(text: str) -> tuple[str, ...]:
    """The policies that option ``diffaug`` names, in its order.

    Raises:
        UserError: an unknown one, or one twice.
    """
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    for i, name in enumerate(names):
        if name not in POLICIES:
            raise UserError(f"diffaug {text}: {name} is not one of {', '.join(POLICIES)}")
        if name in names[:i]:
            raise UserError(f"diffaug {text} names {name} twice: name each policy once")
    return names


def draw_augmentation(
    policies: Sequence[str], count: int, size: tuple[int, int], step: int, seed: int
) -> tuple[np.ndarray, ...]:
    """The random numbers of one step for ``count`` images of ``size`` = (height, width): one array, or none to do.

    It is float32 (``count``, 7), a function of (``seed``, ``step``) alone: added brightness, factors of saturation and
    contrast, shift of rows and columns, and row and column of the middle of what is cut out, the last four whole.
    """
    if not policies:
        return ()
    rng = np.random.default_rng([seed, 11, step])
    colours = [rng.random(count) - 0.5, rng.random(count) * 2.0, rng.random(count) + 0.5]
    most = [int(side * _SHIFT + 0.5) for side in size]
    shifts = [rng.integers(-far, far + 1, count) for far in most]
    middles = [rng.integers(0, side + 1 - _hole(side) % 2, count) for side in size]
    return (np.stack([*colours, *shifts, *middles], 1).astype(np.float32),)


def _hole(side: int) -> int:
    return int(side * _HOLE + 0.5)


class DiffAugment(nn.Cell):
    """``construct(images, draws) -> images`` (N, C, H, W), differentiable; without policies it changes nothing.

    Args:
        policies: names of :data:`POLICIES`, applied in this order.
        channels: the last channels, which are those of the image in [-1, 1]; colours change there alone, and what lies
            before them, a condition, is moved and cut with the image.
    """

    def __init__(self, policies: Sequence[str], channels: int):
        super().__init__()
        self.policies, self.channels = tuple(policies), channels

    def construct(self, images: Tensor, draws: tuple[Tensor, ...]) -> Tensor:
        for policy in self.policies:
            drawn = draws[0]
            if policy == "color":
                images = self._recoloured(images, drawn[:, :3].astype(images.dtype))
            elif policy == "translation":
                images = self._shifted(images, drawn[:, 3].astype(ms.int32), drawn[:, 4].astype(ms.int32))
            else:
                images = self._with_hole(images, drawn[:, 5], drawn[:, 6])
        return images

    def _recoloured(self, images: Tensor, drawn: Tensor) -> Tensor:
        brightness, saturation, contrast = (drawn[:, i].reshape(-1, 1, 1, 1) for i in range(3))
        first = images.shape[1] - self.channels
        picture = images[:, first:] + brightness
        grey = picture.mean(1, keep_dims=True)
        picture = (picture - grey) * saturation + grey
        # a sum of half precision over a whole image would overflow
        mean = picture.astype(ms.float32).mean((1, 2, 3), keep_dims=True).astype(picture.dtype)
        picture = (picture - mean) * contrast + mean
        return ops.concat((images[:, :first], picture), 1) if first else picture

    def _shifted(self, images: Tensor, down: Tensor, right: Tensor) -> Tensor:
        moved = _moved_rows(images, down)
        return _moved_rows(moved.transpose(0, 1, 3, 2), right).transpose(0, 1, 3, 2)

    def _with_hole(self, images: Tensor, row: Tensor, column: Tensor) -> Tensor:
        height, width = images.shape[2:]
        hole = _inside(row, height).reshape(-1, 1, height, 1) * _inside(column, width).reshape(-1, 1, 1, width)
        return images * (1.0 - hole).astype(images.dtype)


def _moved_rows(images: Tensor, by: Tensor) -> Tensor:
    """Row ``y + by`` in the place of row y, and 0 where there is none."""
    count, channels, height, width = images.shape
    source = ms.numpy.arange(height).astype(ms.int32) + by.reshape(-1, 1)
    inside = ops.logical_and(source >= 0, source < height).astype(images.dtype)
    planes = ms.numpy.arange(count * channels).astype(ms.int32).reshape(count, channels, 1) * height
    places = planes + source.clip(0, height - 1).reshape(count, 1, height)
    rows = ops.gather(images.reshape(-1, width), places.reshape(-1), 0).reshape(images.shape)
    return rows * inside.reshape(count, 1, height, 1)


def _inside(middle: Tensor, side: int) -> Tensor:
    """1 in the rows (N, ``side``) that are cut out, 0 elsewhere."""
    hole = _hole(side)
    first = middle.reshape(-1, 1) - float(hole // 2)
    rows = ms.numpy.arange(side).astype(ms.float32)
    return ops.logical_and(rows >= first, rows < first + float(hole)).astype(ms.float32)
