"""Determinants and inverses of the small channel matrices of 1x1 mixings, batched and with gradients.

Only operators that CPU, CUDA and Ascend all have: MindSpore's triangular solvers exist on two of the three.
"""

__all__ = ["TriangularInverse", "inverse", "logabsdet", "masks"]

from functools import cache

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from .primitives import batch_matmul

_determinant = ops.LogMatrixDeterminant()
_inverse = ops.MatrixInverse()


def logabsdet(w: Tensor) -> Tensor:
    """``log |det w|`` of (N, C, C), shape (N,), computed in float64: the determinant of 96 rows underflows early."""
    return ops.cast(_determinant(ops.cast(w, ms.float64))[1], ms.float32)


def inverse(w: Tensor) -> Tensor:
    """The inverse of (N, C, C), computed in float64 and rounded once."""
    return ops.cast(_inverse(ops.cast(w, ms.float64)), ms.float32)


@cache
def masks(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Strictly lower ones, strictly upper ones and the identity, each (size, size) float32."""
    lower = np.tril(np.ones((size, size), np.float32), -1)
    return Tensor(lower), Tensor(lower.T.copy()), Tensor(np.eye(size, dtype=np.float32))


@cache
def _levels(size: int, upper: bool) -> tuple[Tensor, ...]:
    rows, columns = np.arange(size)[:, None], np.arange(size)[None, :]
    levels, half = [], 1
    while half < size:
        pair = rows // (2 * half) == columns // (2 * half)
        block = pair & (rows // half % 2 == 1) & (columns // half % 2 == 0)
        levels.append(Tensor((block.T if upper else block).astype(np.float32)))
        half *= 2
    return tuple(levels)


class TriangularInverse(nn.Cell):
    """Inverses of triangular (N, size, size) matrices with the given diagonals (N, size, 1), none of them zero.

    ``[[A, 0], [B, D]]^-1 = [[A^-1, 0], [-D^-1 B A^-1, D^-1]]``, from 1x1 blocks upwards, all blocks of a level at once:
    as accurate as substitution (Du Croz and Higham 1992) in log2(size) steps, so that graphs stay small. Entries on the
    diagonal and on its far side are not read.
    """

    def __init__(self, size: int, upper: bool = False):
        super().__init__()
        self.levels = _levels(size, upper)
        self.identity = masks(size)[2]

    def construct(self, t: Tensor, diagonal: Tensor) -> Tensor:
        x = self.identity / diagonal
        for level in self.levels:
            x = x - batch_matmul(batch_matmul(x, t * level), x)
        return x
