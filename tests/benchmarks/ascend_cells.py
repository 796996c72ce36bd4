"""Cells that Ascend cannot take as they are, for the simulation to reject."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops


class _OnlyOnHosts(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.segments = ops.SegmentMax()
        self.ids = Tensor(np.array([0, 0, 1, 1], np.int32))

    def construct(self, x):
        return ops.relu(self.segments(x, self.ids))


class _DependsOnValues(nn.Cell):
    def construct(self, x):
        return ops.masked_select(x, x > 0.5).sum()


class _NoGradient(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(3)

    def construct(self, x):
        return self.norm(x).sum()


class _Gradient(nn.Cell):
    def __init__(self, cell) -> None:
        super().__init__()
        self.gradient = ms.grad(cell)

    def construct(self, x):
        return self.gradient(x)


def only_on_hosts():
    """An operator that MindSpore would quietly run on the host."""
    return _OnlyOnHosts(), [np.ones((4, 4), np.float32)]


def depends_on_values():
    """A shape that only the run would know."""
    return _DependsOnValues(), [np.ones((4, 4), np.float32)]


def no_gradient():
    """An operator whose gradient Ascend does not have."""
    return _Gradient(_NoGradient()), [np.ones((1, 3, 8, 8), np.float32)]


def fine():
    """The same machinery around operators that Ascend has."""
    return _Gradient(nn.SequentialCell([nn.Conv2d(3, 4, 3), nn.ReLU()])), [np.ones((1, 3, 8, 8), np.float32)]
