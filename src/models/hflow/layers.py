"""Layers with equalised learning rates and the unbiased instance norm of hflow."""

__all__ = ["EqualConv", "EqualLinear", "Leaky", "UnbiasedInstanceNorm", "merge", "nearest_double"]

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.ops.auto_generate import ReluGrad

from ..layers import InstanceNorm

_SLOPE = 0.1
_LEAKY_GAIN = math.sqrt(2.0 / (1.0 + _SLOPE**2))
_HALF = math.sqrt(0.5)


class Leaky(nn.Cell):
    """LeakyReLU with slope 0.1, whose gradient is a function of the result.

    The next layer keeps the result anyway, so an activation map is stored once and not three times.
    """

    def __init__(self) -> None:
        super().__init__()
        self.relu_grad = ReluGrad()

    def construct(self, x: Tensor) -> Tensor:
        return ops.maximum(x, x * _SLOPE)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor]:
        return (self.relu_grad(dout, out) * (1.0 - _SLOPE) + dout * _SLOPE,)


def merge(a: Tensor, b: Tensor) -> Tensor:
    """(a + b) / sqrt(2): a residual sum that keeps the variance."""
    return (a + b) * _HALF


def nearest_double(x: Tensor) -> Tensor:
    """Repeat a (N, C, 1, 1) map to (N, C, 4, 4), as two doublings do."""
    n, c, _, _ = x.shape
    return ops.broadcast_to(x, (n, c, 4, 4))


def _activation(name: str) -> nn.Cell:
    return {"leaky": Leaky, "tanh": nn.Tanh, "linear": nn.Identity}[name]()


class EqualConv(nn.Cell):
    """Convolution whose stored weight is normalised: w' = w * lr * gain / sqrt(fan_in), b' = b * lr.

    The stored weight starts as N(0, 1) / lr (zero with ``zero``), so every layer starts with unit gain while Adam moves
    it ``lr`` times as fast. Stride 1, zero padding that keeps the size. ``activation`` is ``leaky``, ``tanh`` or
    ``linear``. Without ``bias`` the stored bias stays, as published, but is multiplied by zero.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        lr: float = 1.0,
        activation: str = "leaky",
        zero: bool = False,
        bias: bool = True,
    ):
        super().__init__()
        gain = {"leaky": _LEAKY_GAIN, "tanh": 5.0 / 3.0, "linear": 1.0}[activation]
        self.initial_std = 0.0 if zero else 1.0 / lr
        self.weight_scale = lr * gain / math.sqrt(in_channels * kernel * kernel)
        self.bias_scale = lr if bias else 0.0
        self.activate = _activation(activation)
        self.w = Parameter(Tensor(np.zeros((out_channels, in_channels, kernel, kernel), np.float32)))
        self.b = Parameter(Tensor(np.zeros(out_channels, np.float32)))
        self.conv = ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=(kernel - 1) // 2)
        self.add_bias = ops.BiasAdd()

    def construct(self, x: Tensor) -> Tensor:
        y = self.conv(x, self.w * self.weight_scale)
        return self.activate(self.add_bias(y, self.b if self.bias_scale == 1.0 else self.b * self.bias_scale))


class EqualLinear(nn.Cell):
    """The same for (N, in) vectors; the gain for ``tanh`` is that of ``leaky``, as published."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        lr: float = 1.0,
        activation: str = "leaky",
        zero: bool = False,
    ):
        super().__init__()
        gain = 1.0 if activation == "linear" else _LEAKY_GAIN
        self.initial_std = 0.0 if zero else 1.0 / lr
        self.weight_scale = lr * gain / math.sqrt(in_channels)
        self.bias_scale = lr
        self.activate = _activation(activation)
        self.w = Parameter(Tensor(np.zeros((out_channels, in_channels), np.float32)))
        self.b = Parameter(Tensor(np.zeros(out_channels, np.float32)))
        self.matmul = ops.MatMul(transpose_b=True)
        self.add_bias = ops.BiasAdd()

    def construct(self, x: Tensor) -> Tensor:
        y = self.matmul(x, self.w * self.weight_scale)
        return self.activate(self.add_bias(y, self.b if self.bias_scale == 1.0 else self.b * self.bias_scale))


class UnbiasedInstanceNorm(nn.Cell):
    """(x - mean) / sqrt(var + 1e-6) over the pixels of each channel, with the unbiased variance."""

    def __init__(self, channels: int, size: int):
        super().__init__()
        ratio = (size * size - 1) / (size * size)
        # var_unbiased + eps = (var + eps * ratio) / ratio
        self.scale = math.sqrt(ratio)
        self.norm = InstanceNorm(channels, 1e-6 * ratio)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(x) * self.scale
