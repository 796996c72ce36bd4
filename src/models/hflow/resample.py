"""Changing the resolution: every resampling of hflow is a pair of small constant matrices, one for each axis.

As matrix products they are exact, have a gradient on every device, and several steps fold into one product. The
matrices carry the borders of the published filters, the asymmetric last row and column of the upsampling included.
"""

__all__ = [
    "Resample",
    "bilinear_matrix",
    "coupling_resample",
    "down_matrix",
    "encoder_resample",
    "unet_resample",
    "up_matrix",
]

import numpy as np
from mindspore import Tensor, nn, ops

_FILTER = np.array([1.0, 3.0, 3.0, 1.0]) / 8.0


def _mirror(index: int, size: int) -> int:
    if index < 0:
        return -index
    return 2 * (size - 1) - index if index >= size else index


def down_matrix(size: int) -> np.ndarray:
    """(size / 2, size): the filter [1, 3, 3, 1] / 8 with stride 2 over a signal mirrored by one."""
    matrix = np.zeros((size // 2, size))
    for row in range(size // 2):
        for tap, value in enumerate(_FILTER):
            matrix[row, _mirror(2 * row + tap - 1, size)] += value
    return matrix


def up_matrix(size: int) -> np.ndarray:
    """(2 size, size): twice that filter over the signal at odd positions, mirrored 1 before and 2 behind."""
    matrix = np.zeros((2 * size, size))
    for row in range(2 * size):
        for tap, value in enumerate(_FILTER):
            position = _mirror(row + tap - 1, 2 * size)
            if position % 2:
                matrix[row, position // 2] += 2.0 * value
    return matrix


def bilinear_matrix(size: int, out_size: int, align_corners: bool) -> np.ndarray:
    """(out_size, size): linear interpolation; halving without aligned corners is the mean of two."""
    matrix = np.zeros((out_size, size))
    for row in range(out_size):
        if align_corners:
            position = row * (size - 1) / max(out_size - 1, 1)
        else:
            position = max((row + 0.5) * size / out_size - 0.5, 0.0)
        low = min(int(position), size - 1)
        high = min(low + 1, size - 1)
        matrix[row, low] += 1.0 - (position - low)
        matrix[row, high] += position - low
    return matrix


class Resample(nn.Cell):
    """Apply a chain of resampling matrices to both axes of a square (N, C, size, size) map.

    ``matrices`` are in order of application; the result is (N, C, out, out) with ``out`` the rows of the last one.
    """

    def __init__(self, *matrices: np.ndarray):
        super().__init__()
        total = matrices[0]
        for matrix in matrices[1:]:
            total = matrix @ total
        self.out_size = len(total)
        self.left = Tensor(total[None].astype(np.float32))
        self.right = Tensor(np.ascontiguousarray(total.T).astype(np.float32))

    def construct(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        rows = ops.matmul(x.reshape(n * c * h, w), self.right).reshape(n * c, h, self.out_size)
        return ops.matmul(self.left, rows).reshape(n, c, self.out_size, self.out_size)


def _steps(size: int, count: int, up: bool, filtered_above: int, align_corners: bool) -> Resample:
    matrices = []
    for _ in range(count):
        out = 2 * size if up else size // 2
        if size > filtered_above:
            matrices.append(up_matrix(size) if up else down_matrix(size))
        else:
            matrices.append(bilinear_matrix(size, out, align_corners))
        size = out
    return Resample(*matrices)


def coupling_resample(size: int, count: int, up: bool) -> Resample:
    """Inside pooled couplings: the filter where the map is wider than 4, else bilinear, corners aligned."""
    return _steps(size, count, up, 4, True)


def unet_resample(size: int, up: bool) -> Resample:
    """Inside a decoder's U-Net: the filter where the map is wider than 8, else bilinear."""
    return _steps(size, 1, up, 8, False)


def encoder_resample(size: int, filtered: bool) -> Resample:
    """In an encoder: the filter where the map is wider than 4; else, and without ``filtered``, 2x2 means."""
    return _steps(size, 1, False, 4 if filtered else size, False)
