"""From label and instance maps to the inputs of pix2pixHD's networks (Wang et al. 2018, section 3.3 and 3.4)."""

__all__ = ["NOTHING", "InputEncoder", "boundary_map", "instance_mean"]

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

#: placeholder of an input that these options do not have
NOTHING = np.zeros(1, np.float32)


def boundary_map(ids: Tensor) -> Tensor:
    """1 where a pixel's id differs from its left, right, upper or lower neighbour, else 0.

    (N, 1, H, W) int32 to (N, 1, H, W) float32. Both sides of a boundary are marked; the image's border is none.
    """
    across = (ids[:, :, :, 1:] != ids[:, :, :, :-1]).astype(ms.float32)
    down = (ids[:, :, 1:] != ids[:, :, :-1]).astype(ms.float32)
    column, row = ops.zeros_like(across[:, :, :, :1]), ops.zeros_like(down[:, :, :1])
    horizontal = ops.maximum(ops.concat((across, column), 3), ops.concat((column, across), 3))
    vertical = ops.maximum(ops.concat((down, row), 2), ops.concat((row, down), 2))
    return ops.maximum(horizontal, vertical)


def instance_mean(features: Tensor, ids: Tensor, regions: int) -> Tensor:
    """Replace every pixel by the mean over its region, per sample and channel; differentiable.

    Args:
        features: (N, C, H, W).
        ids: (N, 1, H, W) int32 in [0, regions).
        regions: static upper bound of the ids. Empty regions cost nothing but a row.
    """
    n, c, h, w = features.shape
    offset = Tensor(np.arange(n, dtype=np.int32).reshape(n, 1) * regions)
    index = (ids.reshape(n, h * w) + offset).reshape(n * h * w)
    rows = features.reshape(n, c, h * w).transpose(0, 2, 1).reshape(n * h * w, c)
    total = ops.unsorted_segment_sum(rows, index, n * regions)
    count = ops.unsorted_segment_sum(ops.ones((n * h * w, 1), features.dtype), index, n * regions)
    mean = ops.gather(total / ops.maximum(count, Tensor(1.0, features.dtype)), index, 0)
    return mean.reshape(n, h * w, c).transpose(0, 2, 1).reshape(n, c, h, w)


class InputEncoder(nn.Cell):
    """Concatenate one-hot labels (or the RGB condition) with the instance boundaries.

    ``label_nc > 0``: (N, 1, H, W) int32 labels to (N, label_nc [+ 1], H, W); ``label_nc == 0``: (N, C, H, W) float32
    passes through [+ 1]. The extra channel is there unless ``no_instance``. The result has type ``dtype``.
    """

    def __init__(self, label_nc: int, no_instance: bool, dtype: Any = ms.float32):
        super().__init__()
        self.label_nc, self.no_instance, self.dtype = label_nc, no_instance, dtype
        self.classes = Tensor(np.arange(max(label_nc, 1), dtype=np.int32).reshape(1, -1, 1, 1))

    def construct(self, label: Tensor, inst: Tensor) -> Tensor:
        # classes are joined with the boundaries as bools, a quarter of the bytes
        kind = self.dtype if self.label_nc == 0 else ms.bool_
        label = label.astype(kind) if self.label_nc == 0 else label == self.classes
        if not self.no_instance:
            label = ops.concat((label, boundary_map(inst).astype(kind)), 1)
        return label.astype(self.dtype)
