"""The residual U-Net inside the decoders."""

__all__ = ["UNet"]

import math

from mindspore import Tensor, nn

from .layers import EqualConv, UnbiasedInstanceNorm, merge
from .resample import unet_resample


class UNet(nn.Cell):
    """(N, in_channels, size, size) to (N, out_channels, size, size).

    It halves the size down to 4 pixels, at least once and at most 4 times; level i is ``int(in_channels * base ** i)``
    wide. ``normalised`` puts an instance norm before each level's convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, size: int, base: float, normalised: bool):
        super().__init__()
        floors = max(min(4, int(math.log2(size)) - 2), 1)
        widths = [int(in_channels * base**i) for i in range(floors + 1)]
        sizes = [size // 2**i for i in range(floors + 1)]
        order = range(floors)
        back = order[::-1]
        self.floors = floors
        self.normalised = normalised
        self.start = EqualConv(in_channels, in_channels, 3)
        self.down = nn.CellList([EqualConv(widths[i], widths[i + 1], 3) for i in order])
        self.down_b = nn.CellList([EqualConv(widths[i + 1], widths[i + 1], 3) for i in order])
        self.shrink = nn.CellList([unet_resample(sizes[i], up=False) for i in order])
        self.bottom = EqualConv(widths[-1], widths[-1], 1)
        self.up = nn.CellList([EqualConv(widths[i + 1], widths[i], 3) for i in back])
        self.up_b = nn.CellList([EqualConv(widths[i], widths[i], 3) for i in back])
        self.grow = nn.CellList([unet_resample(sizes[i + 1], up=True) for i in back])
        if normalised:
            self.down_norm = nn.CellList([UnbiasedInstanceNorm(widths[i], sizes[i]) for i in order])
            self.up_norm = nn.CellList([UnbiasedInstanceNorm(widths[i + 1], sizes[i]) for i in back])
        self.end_a = EqualConv(in_channels, in_channels, 3)
        self.end_b = EqualConv(in_channels, out_channels, 3, activation="linear")

    def construct(self, x: Tensor) -> Tensor:
        x = self.start(x)
        skips = ()
        for i in range(self.floors):
            skips = (x, *skips)
            if self.normalised:
                x = self.down_norm[i](x)
            x = self.shrink[i](self.down_b[i](self.down[i](x)))
        x = self.bottom(x)
        for i in range(self.floors):
            x = self.grow[i](x)
            if self.normalised:
                x = self.up_norm[i](x)
            x = merge(self.up_b[i](self.up[i](x)), skips[i])
        return self.end_b(self.end_a(x))
