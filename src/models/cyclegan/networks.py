"""CycleGAN's generator and patch discriminators (Zhu et al. 2017, section 4): Cells without losses.

Two published families share the layers and differ in how the generator doubles the size and in the depth of the
discriminator; CUT's networks are those of the second with blurred changes of size. The indices inside every ``model``
equal those of the family, so a parameter has its published name.
"""

__all__ = ["PATCHES", "PatchDiscriminator", "ResidualBlock", "ResnetGenerator", "UpsampleConv"]

from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..blur import BlurDown, BlurUp
from ..layers import InstanceNorm, LeakyReLU, NarrowConv, ReflectionPad, cancel_bias, conv, deconv
from ..recompute import recompute_stages

#: receptive fields of the discriminators, and the smallest height and width for which they have an output
PATCHES = {94: 32, 70: 24}

# Row t of the matrix gives the taps of a 3-tap kernel that meet tap t of the 4-tap transposed kernel.
_NEAREST_TAPS = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float32)


class UpsampleConv(nn.Cell):
    """Nearest-neighbour doubling, then a zero padded 3x3 convolution: (N, in, H, W) to (N, out, 2H, 2W).

    The two together are exactly one transposed convolution with a 4x4 kernel that is a fixed linear map of the 3x3
    kernel: 2.2 times fewer multiplications and no doubled copy of the input. ``weight`` keeps its 3x3 form, so files
    and gradients are those of the published pair of layers. ``norm``: see :func:`src.models.layers.conv`.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: str = ""):
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.weight = Parameter(Tensor(np.zeros((out_channels, in_channels, 3, 3), np.float32)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(out_channels, np.float32)), name="bias")
        self.has_bias = True
        cancel_bias(self, norm)
        self._taps = Tensor(np.ascontiguousarray(np.kron(_NEAREST_TAPS, _NEAREST_TAPS).T))
        self.conv_transpose = ops.Conv2DTranspose(in_channels, 4, pad_mode="pad", pad=(1, 1, 1, 1), stride=2)
        self.bias_add = ops.BiasAdd()
        self.compute_type = ms.float32

    def set_compute_type(self, dtype: Any) -> None:
        """Convolve in ``dtype``; see :func:`src.models.precision.set_precision`."""
        self.compute_type = dtype

    def construct(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        kernel = ops.matmul(self.weight.reshape(self.out_channels * self.in_channels, 9), self._taps)
        kernel = kernel.reshape(self.out_channels, self.in_channels, 4, 4).transpose(1, 0, 2, 3)
        dtype = self.compute_type
        y = self.conv_transpose(x.astype(dtype), kernel.astype(dtype), (n, self.out_channels, 2 * h, 2 * w))
        return self.bias_add(y, self.bias.astype(dtype)) if self.has_bias else y


class ResidualBlock(nn.Cell):
    """x + f(x) with two reflection padded 3x3 convolutions; no activation after the sum.

    ``name`` is what the family calls the inner sequence: ``block`` or ``conv_block``.
    """

    def __init__(self, channels: int, name: str = "block"):
        super().__init__()
        body = nn.SequentialCell(
            ReflectionPad(1),
            conv(channels, channels, 3, norm="instance"),
            InstanceNorm(channels),
            nn.ReLU(),
            ReflectionPad(1),
            conv(channels, channels, 3, norm="instance"),
            InstanceNorm(channels),
        )
        setattr(self, name, body)
        self._body = [body]

    def construct(self, x: Tensor) -> Tensor:
        return x + self._body[0](x)


def _normed(
    in_channels: int, out_channels: int, kernel: int, stride: int, activation: nn.Cell, shown: bool = False
) -> list[nn.Cell]:
    """A convolution padded by 1, its norm and an activation; ``shown`` where others than the norm see its result."""
    norm = "" if shown else "instance"
    return [conv(in_channels, out_channels, kernel, stride, 1, norm), InstanceNorm(out_channels), activation]


class ResnetGenerator(nn.Cell):
    """(N, channels, H, W) in [-1, 1] to the same shape and range; H and W are multiples of 4, with blocks from 8 on.

    ``upsampling`` is ``nearest`` (doubling then convolution, the huggan family), ``transposed`` (the junyanz family) or
    ``blurred`` (doubling with a fixed filter, then convolution). ``downsampling`` is ``strided``, or ``blurred``: a
    convolution at full size, then a fixed filter that halves it (Zhang 2019, as CUT uses it). The residual blocks are
    independent. The outer reflection pads are 3 for any ``channels``. ``shown`` are layers whose results are used as
    they are, so that a convolution there adds its bias although a norm follows.
    """

    def __init__(
        self,
        channels: int = 3,
        base_channels: int = 64,
        n_residual_blocks: int = 9,
        upsampling: str = "nearest",
        downsampling: str = "strided",
        shown: Sequence[int] = (),
    ):
        super().__init__()
        width = base_channels
        first = conv(channels, width, 7, norm="" if 1 in shown else "instance")
        cells = [ReflectionPad(3), first, InstanceNorm(width), nn.ReLU()]
        for _ in range(2):
            blurs = downsampling == "blurred"
            cells += _normed(width, 2 * width, 3, 1 if blurs else 2, nn.ReLU(), len(cells) in shown)
            if blurs:
                cells += [BlurDown(2 * width)]
            width *= 2
        name = "block" if upsampling == "nearest" else "conv_block"
        cells += [ResidualBlock(width, name) for _ in range(n_residual_blocks)]
        for _ in range(2):
            if upsampling == "nearest":
                # holds the index of the published doubling layer, which UpsampleConv does as well
                cells += [nn.Identity(), UpsampleConv(width, width // 2, "instance")]
            elif upsampling == "blurred":
                cells += [BlurUp(width), conv(width, width // 2, 3, 1, 1, "instance")]
            else:
                cells += [deconv(width, width // 2, norm="instance")]
            width //= 2
            cells += [InstanceNorm(width), nn.ReLU()]
        cells += [ReflectionPad(3), NarrowConv(width, channels, 7), nn.Tanh()]
        self.model = nn.SequentialCell(cells)

    def construct(self, x: Tensor) -> Tensor:
        return self.model(x)

    def recompute_stages(self) -> None:
        """See :func:`src.models.recompute.recompute_stages`."""
        recompute_stages(self.model)


class PatchDiscriminator(nn.Cell):
    """(N, channels, H, W) to patch scores (N, 1, h, w), without a sigmoid; H and W are at least ``PATCHES[patch]``.

    ``patch=94``: four halvings, then a convolution that keeps the size (h = H/16; the huggan family). ``patch=70``:
    three halvings and two convolutions that lose a pixel each (h = H/8 - 2, the junyanz family). Both have the same
    number of parameters. ``downsampling`` is that of :class:`ResnetGenerator`.
    """

    def __init__(self, channels: int = 3, base_channels: int = 64, patch: int = 94, downsampling: str = "strided"):
        super().__init__()
        blurs = downsampling == "blurred"
        last_stride = 2 if patch == 94 else 1
        width = base_channels
        cells = [conv(channels, width, 4, 1 if blurs else 2, 1), LeakyReLU(0.2)]
        if blurs:
            cells += [BlurDown(width)]
        for stride in (2, 2, last_stride):
            halves = blurs and stride == 2
            cells += _normed(width, 2 * width, 4, 1 if halves else stride, LeakyReLU(0.2))
            width *= 2
            if halves:
                cells += [BlurDown(width)]
        if patch == 94:
            # one more row above and column to the left keeps the size under a 4x4 kernel
            head = nn.Conv2d(width, 1, 4, 1, pad_mode="pad", padding=(2, 1, 2, 1), has_bias=True, weight_init="zeros")
            cells += [nn.Identity(), head]
        else:
            cells += [conv(width, 1, 4, 1, 1)]
        self.model = nn.SequentialCell(cells)

    def construct(self, x: Tensor) -> Tensor:
        return self.model(x)

    def recompute_stages(self) -> None:
        """See :func:`src.models.recompute.recompute_stages`."""
        recompute_stages(self.model)
