"""Layers of the networks inside invertible ops: convolutions and dense layers with explicit weights.

Names of weights follow PyTorch (``weight`` OIHW, ``bias``), so that published checkpoints keep their names.
"""

__all__ = [
    "BorderConv",
    "Chain",
    "Conv",
    "Dense",
    "Flatten",
    "Initialiser",
    "OutputDense",
    "ReLU",
    "Tanh",
    "ZeroConv",
    "fan_in_uniform",
    "gaussian",
    "initialized_flag",
    "parameter",
    "zeros",
]

from collections.abc import Callable

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..layers import weightless_conv
from .op import Net
from .primitives import exp, ones_like, relu, reshape, tanh

#: draws the first value of a weight: ``(rng, shape)`` to a float32 array
Initialiser = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """All zeros; ``rng`` is not used."""
    return np.zeros(shape, np.float32)


def gaussian(std: float) -> Initialiser:
    """An initialiser: normal with mean 0 and this standard deviation."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return (std * rng.standard_normal(shape)).astype(np.float32)

    return draw


def fan_in_uniform(fan_in: int) -> Initialiser:
    """An initialiser: uniform in +-1/sqrt(fan_in), PyTorch's default for weights and biases of both layer types."""
    bound = 1.0 / np.sqrt(fan_in)

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.uniform(-bound, bound, shape).astype(np.float32)

    return draw


def parameter(value: np.ndarray, name: str, trainable: bool = True) -> Parameter:
    """A float32 Parameter holding ``value``."""
    return Parameter(Tensor(np.asarray(value, np.float32)), name=name, requires_grad=trainable)


def initialized_flag() -> Parameter:
    """The saved mark (0 or 1) that data-dependent initialisation has run."""
    return Parameter(Tensor(0, ms.int32), name="initialized", requires_grad=False)


class Conv(Net):
    """2-D convolution with bias; ``padding`` zeros at each border (0: valid)."""

    def __init__(
        self,
        rng: np.random.Generator,
        in_channels: int,
        out_channels: int,
        kernel: int,
        padding: int = 0,
        stride: int = 1,
        weight_init: Initialiser | None = None,
        bias_init: Initialiser | None = None,
        has_bias: bool = True,
    ):
        super().__init__()
        default = fan_in_uniform(in_channels * kernel * kernel)
        self.conv = weightless_conv(in_channels, out_channels, kernel, padding, stride)
        self.add_bias = ops.BiasAdd()
        self.has_bias = has_bias
        self.weight = parameter((weight_init or default)(rng, (out_channels, in_channels, kernel, kernel)), "weight")
        if has_bias:
            self.bias = parameter((bias_init or default)(rng, (out_channels,)), "bias")

    def weights(self) -> tuple[Parameter, ...]:
        if self.has_bias:
            return (self.weight, self.bias)
        return (self.weight,)

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        y = self.conv(x, weights[at])
        if self.has_bias:
            y = self.add_bias(y, weights[at + 1])
        return y


class Dense(Net):
    """Fully connected layer: (N, in) to (N, out), ``weight`` (out, in)."""

    def __init__(
        self,
        rng: np.random.Generator,
        in_features: int,
        out_features: int,
        weight_init: Initialiser | None = None,
        bias_init: Initialiser | None = None,
    ):
        super().__init__()
        default = fan_in_uniform(in_features)
        self.matmul = ops.MatMul(transpose_b=True)
        self.add_bias = ops.BiasAdd()
        self.weight = parameter((weight_init or default)(rng, (out_features, in_features)), "weight")
        self.bias = parameter((bias_init or default)(rng, (out_features,)), "bias")

    def weights(self) -> tuple[Parameter, ...]:
        return (self.weight, self.bias)

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        return self.add_bias(self.matmul(x, weights[at]), weights[at + 1])


class OutputDense(Net):
    """The last layer of a network that computes an op's parameters: its weight starts at zero, so only the bias acts.

    ``start`` sets the bias, at construction or by data-dependent initialisation; with ``flagged`` the saved mark
    ``initialized`` records that the initialisation has run.
    """

    def __init__(self, in_features: int, out_features: int, flagged: bool = False):
        super().__init__()
        self.linear = Dense(np.random.default_rng(0), in_features, out_features, zeros, zeros)
        self.flagged = flagged
        if flagged:
            self.initialized = initialized_flag()

    def start(self, bias: np.ndarray) -> None:
        """Set the bias and the mark."""
        ops.assign(self.linear.bias, Tensor(np.asarray(bias, np.float32)))
        if self.flagged:
            ops.assign(self.initialized, Tensor(1, ms.int32))

    def weights(self) -> tuple[Parameter, ...]:
        return self.linear.weights()

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        return self.linear.compute(x, weights, at)


class ZeroConv(Net):
    """3x3 convolution that starts at zero, its input padded with ONES, times ``exp(3 * scale)`` per output channel.

    Glow's last layer of every coupling network and of every prior (Kingma and Dhariwal 2018, code). Padding with ones
    tells the layer where the border is. It is computed as a zero-padded convolution plus the contribution of the ones
    (:class:`BorderConv`): no padded copy of the wide input is made.
    """

    def __init__(self, rng: np.random.Generator, in_channels: int, out_channels: int):
        super().__init__()
        self.scale = parameter(np.zeros((1, out_channels, 1, 1)), "scale")
        self.conv = Conv(rng, in_channels, out_channels, 3, padding=1, weight_init=zeros, bias_init=zeros)
        self.sum_inputs = ops.ReduceSum(keep_dims=True)
        self.border = BorderConv(out_channels)

    def weights(self) -> tuple[Parameter, ...]:
        return (self.scale, self.conv.weight, self.conv.bias)

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        y = self.conv.compute(x, weights, at + 1)
        y = y + self.border(y, self.sum_inputs(weights[at + 1], 1))
        return y * exp(3.0 * weights[at])


class BorderConv(nn.Cell):
    """Contribution of a padding of ones to a 3x3 convolution, for an input channel that is 0 inside.

    ``construct(like, weight)``: ``weight`` (C, 1, 3, 3) to (1, C, H, W) for the H and W of ``like`` (N, C, H, W). Away
    from the border it is 0 up to rounding.
    """

    def __init__(self, out_channels: int):
        super().__init__()
        self.conv = ops.Conv2D(out_channels, 3, pad_mode="pad", pad=1)
        self.sum_taps = ops.ReduceSum(keep_dims=True)

    def construct(self, like: Tensor, weight: Tensor) -> Tensor:
        one = ones_like(like[:1, :1])
        total = reshape(self.sum_taps(weight, (1, 2, 3)), (1, -1, 1, 1))
        return total - self.conv(one, weight)


class ReLU(Net):
    """max(x, 0)."""

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        return relu(x)


class Tanh(Net):
    """Hyperbolic tangent."""

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        return tanh(x)


class Flatten(Net):
    """(N, ...) to (N, features)."""

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        return reshape(x, (x.shape[0], -1))


class Chain(nn.SequentialCell):
    """Nets one after the other; the i-th child keeps the name ``i``, as in PyTorch's ``Sequential``."""

    def __init__(self, *nets: Net):
        super().__init__(*nets)
        counts = [len(net.weights()) for net in nets]
        #: index of each child's first weight
        self.offsets = tuple(sum(counts[:i]) for i in range(len(counts)))

    def weights(self) -> tuple[Parameter, ...]:
        """The weights of all children, in order."""
        out = ()
        for net in self.cell_list:
            out = out + net.weights()
        return out

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        """The children applied in order, each to its part of ``weights``."""
        for i in range(len(self.offsets)):
            x = self.cell_list[i].compute(x, weights, at + self.offsets[i])
        return x

    def initialise(self, x: Tensor) -> Tensor:
        """Initialise every child on the first batch as the children before it transform it."""
        for net in self.cell_list:
            x = net.initialise(x)
        return x

    def construct(self, x: Tensor) -> Tensor:
        return self.compute(x, self.weights())
