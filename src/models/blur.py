"""Halving and doubling with a fixed filter, so that edges do not alias (Zhang 2019, "Making Convolutional Networks
Shift-Invariant Again", section 3), in the phase and with the borders that CUT's published networks have.

Both are one convolution of each channel with constants: there are no parameters. Maps are NCHW, and the filter computes
in the type of its input.
"""

__all__ = ["BlurDown", "BlurUp"]

import numpy as np
from mindspore import Tensor, nn, ops

from .layers import ReflectionPad


def _filters(taps: tuple[float, ...], channels: int) -> Tensor:
    """The product of ``taps`` along both axes, once for each channel."""
    return Tensor(np.tile(np.outer(taps, taps).astype(np.float32), (channels, 1, 1, 1)))


class BlurDown(nn.Cell):
    """[1, 2, 1] / 4 along both axes of a mirrored map at every second pixel: (N, C, H, W) to (N, C, (H+1)/2, (W+1)/2).

    H and W are at least 2.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.pad = ReflectionPad(1)
        self.filters = _filters((0.25, 0.5, 0.25), channels)
        self.conv = ops.Conv2D(channels, 3, stride=2, group=channels)

    def construct(self, x: Tensor) -> Tensor:
        return self.conv(self.pad(x), self.filters.astype(x.dtype))


class BlurUp(nn.Cell):
    """[1, 3, 3, 1] / 4 along both axes of a doubled map whose borders are repeated: (N, C, H, W) to (N, C, 2H, 2W).

    That is bilinear interpolation between the centres of pixels.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.filters = _filters((0.25, 0.75, 0.75, 0.25), channels)
        self.conv = ops.Conv2DTranspose(channels, 4, pad_mode="pad", pad=(3, 3, 3, 3), stride=2, group=channels)

    def construct(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        y = ops.concat((x[:, :, :1], x, x[:, :, h - 1 :]), 2)
        y = ops.concat((y[:, :, :, :1], y, y[:, :, :, w - 1 :]), 3)
        return self.conv(y, self.filters.astype(x.dtype), (n, self.channels, 2 * h, 2 * w))
