"""Trade space for channels."""

__all__ = ["Squeeze", "check_squeezable"]

from mindspore import Tensor, ops

from ...utils.errors import UserError
from .op import InvertibleOp


def check_squeezable(height: int, width: int, levels: int, last: int = 1) -> None:
    """Raise :class:`UserError` unless both sides halve ``levels`` times and are at least ``last`` after that."""
    unit = 2**levels
    if height % unit or width % unit:
        near = f"{max(1, height // unit) * unit}x{max(1, width // unit) * unit}"
        raise UserError(
            f"an image of {height}x{width} cannot be halved {levels} times: "
            f"use multiples of {unit}, such as {near}, or a smaller n_block"
        )
    if min(height, width) // unit < last:
        raise UserError(
            f"an image of {height}x{width} leaves {height // unit}x{width // unit} in the last of {levels} blocks, "
            f"whose networks need at least {last}x{last}: use {last * unit} pixels or more a side, or a smaller n_block"
        )


class Squeeze(InvertibleOp):
    """(N, C, H, W) to (N, 4C, H/2, W/2) with ``y[n, 4c + 2i + j, u, v] = x[n, c, 2u + i, 2v + j]``.

    H and W must be even. The log-determinant is 0. (RealNVP, Dinh et al. 2017, section 3.6; Glow's channel order.)
    """

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        n, c, h, w = x.shape
        y = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 5, 2, 4)
        return y.reshape(n, 4 * c, h // 2, w // 2), ops.zeros((n,), x.dtype)

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        n, c, h, w = y.shape
        x = y.reshape(n, c // 4, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3)
        return x.reshape(n, c // 4, 2 * h, 2 * w)
