"""Channel mixing: a free matrix with its log-determinant, or an orthogonal one as a matrix exponential.

A 1x1 convolution by W changes volume by H * W * log|det W|. Ranges: the free matrix may come close to singular, where
its inverse loses digits in proportion to its condition number. The orthogonal one is its own inverse's transpose while
its argument is small enough for the series of the exponential; beyond that its log-determinant is NaN, never a wrong 0.
"""

__all__ = ["ChannelMix", "OrthogonalMix", "apply_mix", "exponentials", "skew_exp", "squarings"]

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..flows import linalg

# sum of squares of W^T W - 1 before the last correction, which leaves 3/8 of it as the log-determinant
_MOST_ERROR = 0.01


def squarings(size: int) -> int:
    """Halvings that bring the initial norm 2 sqrt(2 size) of a skew argument down to 1/4."""
    return max(0, math.ceil(math.log2(8.0 * math.sqrt(2.0 * size))))


def skew_exp(skew: Tensor, halvings: int) -> tuple[Tensor, Tensor]:
    """exp of skew-symmetric (B, n, n) matrices, float32, by scaling, a Taylor series of degree 8 and squaring.

    There is no matrix exponential on the CPU. Error against float64 is about 2e-6 while the spectral norm is below ``2
    ** halvings / 2``. Squaring erodes orthogonality in float32, so one Newton step restores it; the gradient passes
    that step by, as it changes nothing to first order. Cost: 6 + ``halvings`` products of n x n matrices.

    Returns:
        The exponentials, and their log-determinants (B,): 0, or NaN where the norm was so large that they are
        not orthogonal.
    """
    n = skew.shape[-1]
    eye = ops.eye(n, n, skew.dtype).reshape(1, n, n)
    a = skew * (1.0 / 2**halvings)
    a2 = ops.matmul(a, a)
    a3 = ops.matmul(a2, a)
    a4 = ops.matmul(a2, a2)
    tail = eye * (1 / 24) + a * (1 / 120) + a2 * (1 / 720) + a3 * (1 / 5040) + a4 * (1 / 40320)
    w = eye + a + a2 * 0.5 + a3 * (1 / 6) + ops.matmul(a4, tail)
    for _ in range(halvings):
        w = ops.matmul(w, w)
    gram = ops.matmul(w.swapaxes(1, 2), w)
    error = ops.stop_gradient((gram - eye) * (gram - eye)).sum((1, 2))
    # 0 / 0 where the error is too large, because some runtimes lack branches
    left = ops.maximum(_MOST_ERROR - error, ops.zeros_like(error))
    return w + ops.stop_gradient(0.5 * (w - ops.matmul(w, gram))), left / left - 1.0


def exponentials(matrices: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """(B, n, n) orthogonal mixes exp((U - U^T) * scale) of stored matrices U, and log-determinants as above."""
    return skew_exp((matrices - matrices.swapaxes(1, 2)) * scale, squarings(matrices.shape[-1]))


def apply_mix(x: Tensor, matrix: Tensor) -> Tensor:
    """Multiply the channels of (N, C, H, W) by a (C, C) matrix."""
    n, c, h, w = x.shape
    if h * w == 1:
        return ops.matmul(x.reshape(n, c), matrix.swapaxes(0, 1)).reshape(n, c, 1, 1)
    return ops.matmul(matrix.reshape(1, c, c), x.reshape(n, c, h * w)).reshape(n, c, h, w)


class ChannelMix(nn.Cell):
    """W = scale * K with a free K, which starts orthogonal over ``scale``.

    ``construct(x) -> (W x, logdet)``, ``inverse(y) -> W^-1 y``. A chain of steps computes all determinants and inverses
    of a level in one call and applies the matrices itself.
    """

    def __init__(self, channels: int, scale: float):
        super().__init__()
        self.scale = scale
        self.K = Parameter(Tensor(np.eye(channels, dtype=np.float32) / scale))

    def matrix(self) -> Tensor:
        return self.K * self.scale

    def construct(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        w = self.matrix()
        n, _, height, width = x.shape
        logdet = linalg.logabsdet(w.reshape((1, *w.shape)))[0] * (height * width)
        return apply_mix(x, w), ops.broadcast_to(logdet.reshape(1), (n,))

    def inverse(self, y: Tensor, condition: Tensor | None = None) -> Tensor:
        w = self.matrix()
        # by module: in a method of this name the compiler takes a bare `inverse` for the method itself
        return apply_mix(y, linalg.inverse(w.reshape((1, *w.shape)))[0])


class OrthogonalMix(nn.Cell):
    """W = exp((U - U^T) * scale): volume preserving, inverse W^T. U starts as N(0, 1) / scale."""

    def __init__(self, channels: int, scale: float):
        super().__init__()
        self.scale = scale
        self.U = Parameter(Tensor(np.zeros((channels, channels), np.float32)))

    def exponential(self) -> tuple[Tensor, Tensor]:
        """W (1, n, n) and its log-determinant (1,)."""
        n = self.U.shape[0]
        return exponentials(self.U.reshape(1, n, n), self.scale)

    def matrix(self) -> Tensor:
        return self.exponential()[0][0]

    def construct(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        w, logdet = self.exponential()
        return apply_mix(x, w[0]), ops.broadcast_to(logdet, (x.shape[0],))

    def inverse(self, y: Tensor, condition: Tensor | None = None) -> Tensor:
        return apply_mix(y, self.matrix().swapaxes(0, 1))
