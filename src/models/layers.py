"""Layers whose MindSpore versions have pitfalls or change between releases, each defined once.

All of them are correct, forward and backward, in PyNative and GRAPH mode on the CPU, and consist of operators that
Ascend and CUDA have too. Shapes are NCHW.
"""

__all__ = [
    "AvgPool",
    "BatchStatistics",
    "FoldedConv",
    "InstanceNorm",
    "LeakyReLU",
    "MaxPool",
    "NarrowConv",
    "PooledConv",
    "ReflectionPad",
    "SameAvgPool",
    "ScaledMeanPool",
    "ZeroPad",
    "cancel_bias",
    "conv",
    "deconv",
    "half_square",
    "mean_pool",
    "norm_layer",
    "on_ascend",
    "weightless_conv",
]

from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops


def on_ascend() -> bool:
    """Whether what is built now will run on Ascend."""
    return ms.get_context("device_target") == "Ascend"


def conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, padding: int = 0, norm: str = ""
) -> nn.Cell:
    """Convolution with bias and symmetric zero padding, as ``torch.nn.Conv2d``.

    ``norm`` is the kind of :func:`norm_layer` that follows, if any: see :func:`cancel_bias`.
    """
    cell = nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride,
        pad_mode="pad",
        padding=padding,
        has_bias=True,
        weight_init="zeros",
    )
    return cancel_bias(cell, norm)


def cancel_bias(cell: nn.Cell, norm: str) -> nn.Cell:
    """``cell``, a convolution, without its bias if an instance norm follows, which subtracts every constant again.

    The bias stays a parameter, because published files have it, but is neither added nor trained: no result depends on
    it, and its gradient is rounding. Other norms keep it: a batch norm's running mean was measured with it.
    """
    if norm == "instance":
        cell.has_bias = False
        cell.bias.requires_grad = False
    return cell


class PooledConv(nn.Conv2d):
    """:func:`conv` whose result is reduced to the largest of each 2x2 square, as :class:`MaxPool` does.

    The largest is taken before the bias is added, which is the same, rounding included, and touches a quarter.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, padding: int):
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            pad_mode="pad",
            padding=padding,
            has_bias=True,
            weight_init="zeros",
        )
        # no Cell: a precision of this one would be its, too, and there is no pooling of bfloat16
        self.largest = ops.MaxPool(2, 2)

    def construct(self, x: Tensor) -> Tensor:
        y = self.conv2d(x, self.weight)
        if y.dtype == ms.bfloat16:
            y = self.largest(y.astype(ms.float32)).astype(ms.bfloat16)
        else:
            y = self.largest(y)
        return self.bias_add(y, self.bias)


def deconv(
    in_channels: int, out_channels: int, padding: tuple[int, int, int, int] = (1, 0, 1, 0), norm: str = ""
) -> nn.Cell:
    """Transposed convolution that doubles the size: ``ConvTranspose2d(3, stride 2, padding 1, output_padding 1)``.

    ``padding`` is cut off at the top, bottom, left and right. MindSpore's own ``output_padding`` appends a zero row and
    column after the bias; one row at the top and one column at the left is the published phase, and (0, 1, 0, 1) is
    ``pad_mode='same'``, whose results lie one pixel further right and down. ``norm``: see :func:`conv`.
    """
    cell = nn.Conv2dTranspose(
        in_channels,
        out_channels,
        3,
        2,
        pad_mode="pad",
        padding=padding,
        has_bias=True,
        weight_init="zeros",
    )
    return cancel_bias(cell, norm)


class _NoBfloat16(nn.Cell):
    """An operator that MindSpore lacks in bfloat16 on every device: such inputs are computed in float32."""

    def __init__(self, operator: nn.Cell):
        super().__init__()
        self.operator = operator

    def construct(self, x: Tensor) -> Tensor:
        if x.dtype == ms.bfloat16:
            return self.operator(x.astype(ms.float32)).astype(x.dtype)
        return self.operator(x)


def _borders(padding: int) -> tuple[tuple[int, int], ...]:
    return (0, 0), (0, 0), (padding, padding), (padding, padding)


class ReflectionPad(_NoBfloat16):
    """Mirror ``padding`` pixels at each border without repeating the border itself; H and W must be larger."""

    def __init__(self, padding: int):
        super().__init__(nn.Pad(_borders(padding), mode="REFLECT"))


class ZeroPad(_NoBfloat16):
    """``padding`` pixels of zeros at each border."""

    def __init__(self, padding: int):
        super().__init__(nn.Pad(_borders(padding), mode="CONSTANT"))


class ScaledMeanPool(nn.Cell):
    """3x3 mean whose zero padding is not counted, from operators that every Ascend chip has.

    The mean that counts the padding is divided by the same mean of ones, which is the fraction of a window inside.
    """

    def __init__(self, stride: int):
        super().__init__()
        self.pad = nn.Pad(_borders(1), mode="CONSTANT")
        self.mean = nn.AvgPool2d(3, stride)

    def construct(self, x: Tensor) -> Tensor:
        inside = self.mean(self.pad(ops.ones_like(x[:1, :1])))
        return self.mean(self.pad(x)) / inside


def mean_pool(stride: int) -> nn.Cell:
    """3x3 mean with zero padding of 1 that is not counted, in the form that this device has."""
    try:
        return nn.AvgPool2d(3, stride, pad_mode="pad", padding=1, count_include_pad=False)
    except ValueError:
        # MindSpore refuses padded means on Ascend 910B and 910_93
        return ScaledMeanPool(stride)


class AvgPool(_NoBfloat16):
    """3x3 mean with stride 2 whose zero padding is not counted, as pix2pixHD halves its images."""

    def __init__(self) -> None:
        super().__init__(mean_pool(2))


class SameAvgPool(_NoBfloat16):
    """:class:`AvgPool` with ``pad_mode='same'``: windows of even sides are [2i, 2i + 2] instead of [2i - 1, 2i + 1]."""

    def __init__(self) -> None:
        super().__init__(nn.AvgPool2d(3, 2, pad_mode="same"))


class MaxPool(_NoBfloat16):
    """Largest of each 2x2 square; an odd last row or column is dropped. Ascend has it for float32 and float16 only."""

    def __init__(self) -> None:
        super().__init__(nn.MaxPool2d(2, 2))


class LeakyReLU(nn.Cell):
    """``max(x, slope * x)`` for slopes below 1.

    Ascend has one kernel for it and one for its gradient, a PReLU of constant slope. CPUs are faster with two ReLUs:
    twice as fast as ``nn.LeakyReLU`` backward. ``fused`` asks for the first form or the second; None is what suits the
    device. They are equal but for the gradient at exactly 0, which is the slope or 0.
    """

    def __init__(self, slope: float = 0.2, fused: bool | None = None):
        super().__init__()
        self.slope, self.fused = slope, on_ascend() if fused is None else fused
        self.relu, self.prelu = ops.ReLU(), ops.PReLU()
        self.weight = Tensor(np.array([slope], np.float32))

    def construct(self, x: Tensor) -> Tensor:
        if self.fused:
            return self.prelu(x, self.weight.astype(x.dtype))
        return self.relu(x) - self.slope * self.relu(-x)


class InstanceNorm(nn.Cell):
    """Instance normalisation without affine parameters, biased variance, statistics of the sample at test time too.

    Computes in float32 and returns the type of its input.

    It is a group norm with one channel a group. A batch norm of the view (1, N*C, H, W) is up to 15 % faster on CPUs at
    large sizes, but its gradients are a thousand times less exact (2e-4 of their norm), which small maps amplify.
    """

    def __init__(self, channels: int, eps: float = 1e-5):
        super().__init__()
        self.channels, self.eps = channels, eps
        self.one, self.zero = Tensor(np.ones(channels, np.float32)), Tensor(np.zeros(channels, np.float32))

    def construct(self, x: Tensor) -> Tensor:
        if x.dtype == ms.float32:
            return ops.group_norm(x, self.channels, self.one, self.zero, self.eps)
        return ops.group_norm(x.astype(ms.float32), self.channels, self.one, self.zero, self.eps).astype(x.dtype)


class NarrowConv(nn.Cell):
    """Unpadded stride-1 convolution to a few channels, such as RGB: (N, in, H, W) to (N, out, H-k+1, W-k+1).

    A kernel of k rows is k horizontal convolutions whose results are shifted and summed. One convolution makes all of
    them at once with ``out * k`` channels: the same sums as :func:`conv`, and up to five times faster on CPUs, which
    three output channels use poorly. On Ascend it would be 2k kernels and as many backward that read and write maps of
    ``out * k`` channels, so there it is one convolution. ``by_rows`` asks for the one or the other; None is what suits
    the device. The result is float32 in every precision: this is the last layer of a network, and a bfloat16 image
    would show bands.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, by_rows: bool | None = None):
        super().__init__()
        self.by_rows = not on_ascend() if by_rows is None else by_rows
        self.shape = (out_channels * kernel, in_channels, 1, kernel)
        self.out_channels, self.kernel = out_channels, kernel
        self.weight = Parameter(Tensor(np.zeros((out_channels, in_channels, kernel, kernel), np.float32)), "weight")
        self.bias = Parameter(Tensor(np.zeros(out_channels, np.float32)), "bias")
        self.conv = ops.Conv2D(out_channels * kernel, (1, kernel)) if self.by_rows else ops.Conv2D(out_channels, kernel)
        self.add_bias = ops.BiasAdd()
        self.compute_type = None

    def set_compute_type(self, dtype: Any) -> None:
        """Convolve in ``dtype``; see :func:`src.models.precision.set_precision`."""
        self.compute_type = dtype

    def construct(self, x: Tensor) -> Tensor:
        weight = self.weight
        if self.by_rows:
            weight = weight.transpose(2, 0, 1, 3).reshape(self.shape)
        if self.compute_type is None:
            z = self.conv(x, weight)
        else:
            z = self.conv(x.astype(self.compute_type), weight.astype(self.compute_type)).astype(ms.float32)
        if not self.by_rows:
            return self.add_bias(z, self.bias)
        height = x.shape[2] - self.kernel + 1
        y = z[:, : self.out_channels, :height]
        for i in range(1, self.kernel):
            y = y + z[:, i * self.out_channels : (i + 1) * self.out_channels, i : i + height]
        return self.add_bias(y, self.bias)


class FoldedConv(nn.Cell):
    """Convolution without weights of its own, odd ``kernel``, stride 1, zeros around so that the size stays.

    ``construct(x, weight)``: (N, in, H, W) and (out, in, kernel, kernel) to (N, out, H, W). In training a 1x1
    convolution makes what every tap adds, ``out * kernel^2`` channels, and folding shifts and sums them. These are the
    same products, but CPUs copy every input of a wider kernel once for each tap, forward and twice backward, which for
    few output channels costs more than the products. Otherwise it is ``ops.Conv2D``, which exports.
    """

    def __init__(self, out_channels: int, kernel: int):
        super().__init__()
        self.out_channels, self.taps = out_channels, kernel * kernel
        self.plain = ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=kernel // 2)
        self.turn, self.transpose, self.reshape = ops.ReverseV2((2, 3)), ops.Transpose(), ops.Reshape()
        self.pixels = ops.Conv2D(out_channels * self.taps, 1)
        self.fold = ops.Col2Im(kernel, 1, kernel // 2, 1)

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        if not self.training:
            return self.plain(x, weight)
        n, c, height, width = x.shape
        weight = self.transpose(self.turn(weight), (0, 2, 3, 1))
        added = self.pixels(x, self.reshape(weight, (self.out_channels * self.taps, c, 1, 1)))
        added = self.reshape(added, (n, self.out_channels, self.taps, height * width))
        return self.fold(added, Tensor((height, width), ms.int32))


def weightless_conv(in_channels: int, out_channels: int, kernel: int, padding: int, stride: int = 1) -> Callable:
    """Convolution of ``(x, weight)`` with ``padding`` zeros at each border, in the form that this device has."""
    keeps_size = kernel > 1 and kernel % 2 == 1 and padding == kernel // 2 and stride == 1
    if keeps_size and in_channels >= 4 * out_channels and ms.get_context("device_target") == "CPU":
        return FoldedConv(out_channels, kernel)
    return ops.Conv2D(out_channels, kernel, pad_mode="pad", pad=padding, stride=stride)


class BatchStatistics(nn.BatchNorm2d):
    """Batch normalisation by the batch at hand, in training and at test time; running statistics stay as loaded."""

    def construct(self, x: Tensor) -> Tensor:
        y = x.astype(ms.float32)
        y = y - y.mean((0, 2, 3), keep_dims=True)
        deviation = ops.sqrt((y * y).mean((0, 2, 3), keep_dims=True) + self.eps)
        shape = (1, self.num_features, 1, 1)
        return (y * (self.gamma.reshape(shape) / deviation) + self.beta.reshape(shape)).astype(x.dtype)


def norm_layer(norm: str, channels: int) -> nn.Cell:
    """A normalisation layer.

    Args:
        norm: ``instance`` (no parameters); ``batch`` (affine, running statistics at test time); or
            ``batch_statistics``, the same parameters with the statistics of the batch at all times.
        channels: channels of the input.
    """
    if norm == "instance":
        return InstanceNorm(channels)
    kind = BatchStatistics if norm == "batch_statistics" else nn.BatchNorm2d
    return kind(channels, eps=1e-5, momentum=0.9)


def half_square(fused: bool | None = None) -> Callable[[Tensor], Tensor]:
    """The function from a tensor to half the sum of its squares, a float32 scalar.

    Ascend has one kernel for it. That for CPUs adds one square after another, so that sums of ten million lose 2 %, and
    of 45 million 12 %; a sum of its own adds in pairs. ``fused`` asks for the one kernel or not; None is what suits the
    device.
    """
    return _fused_half_square if (on_ascend() if fused is None else fused) else _summed_half_square


_l2_loss = ops.L2Loss()


def _fused_half_square(x: Tensor) -> Tensor:
    return _l2_loss(x.astype(ms.float32))


def _summed_half_square(x: Tensor) -> Tensor:
    return 0.5 * ops.square(x.astype(ms.float32)).sum()
