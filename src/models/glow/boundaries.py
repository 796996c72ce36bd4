"""Boundary maps at the size of every block."""

__all__ = ["BoundaryPyramid"]

import numpy as np
from mindspore import Tensor, nn, ops
from PIL import Image


class BoundaryPyramid(nn.Cell):
    """A boundary map (N, C, H, W) in [0, 1] resized for every block: a tuple of (N, C, H/2^i, W/2^i), i from 1.

    It equals resizing the 8-bit image with Pillow's default filter (bicubic, widened when shrinking, rounded to 8 bits
    after the horizontal and after the vertical pass), which is how the published models were trained, but runs on the
    device as two small matrix products. ``do_ceil`` then makes every pixel that is not 0 a 1.
    """

    def __init__(self, size: tuple[int, int], n_block: int, do_ceil: bool = False):
        super().__init__()
        self.do_ceil = do_ceil
        sizes = [(size[0] >> i, size[1] >> i) for i in range(1, n_block + 1)]
        self.rows = [Tensor(_resize_matrix(size[0], height)) for height, _ in sizes]
        self.columns = [Tensor(_resize_matrix(size[1], width).T.copy()) for _, width in sizes]

    def construct(self, boundary: Tensor) -> tuple[Tensor, ...]:
        # An 8-bit value that went through float32 may be slightly smaller than the integer.
        image = ops.floor(boundary * 255.0 + 1e-3)
        maps = ()
        for i in range(len(self.rows)):
            narrow = _eight_bit(ops.matmul(image, self.columns[i]))
            small = _eight_bit(ops.matmul(self.rows[i], narrow)) / 255.0
            maps = maps + (ops.ceil(small) if self.do_ceil else small,)
        return maps


def _eight_bit(x: Tensor) -> Tensor:
    return ops.clamp(ops.floor(x + 0.5), 0.0, 255.0)


def _resize_matrix(source: int, target: int) -> np.ndarray:
    """(target, source) float32: Pillow's bicubic filter along one axis as a matrix."""
    identity = np.eye(source, dtype=np.float32)
    columns = [
        np.asarray(Image.fromarray(row[:, None]).resize((1, target), Image.Resampling.BICUBIC))[:, 0]
        for row in identity
    ]
    return np.stack(columns, 1).astype(np.float32)
