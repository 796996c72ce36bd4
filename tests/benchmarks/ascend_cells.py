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


class _Counted(nn.Cell):
    """A convolution of 3 to 4 channels, a square as a product, a matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, pad_mode="pad", padding=1)
        self.weight = ms.Parameter(Tensor(np.ones((5, 4), np.float32)))
        self.product = ops.MatMul(transpose_b=True)

    def construct(self, x):
        y = self.conv(x)
        return self.product((y * y).reshape(4, 24).transpose(1, 0), self.weight)


class _CountedGradients(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        cell = _Counted()
        self.gradients = ms.value_and_grad(cell, 0, cell.trainable_params())

    def construct(self, x):
        return self.gradients(x)


def counted():
    """The same machinery around operators that Ascend has; an image of 8x12 becomes one of 4x6."""
    return _CountedGradients(), [np.ones((1, 3, 8, 12), np.float32)]
