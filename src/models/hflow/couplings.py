"""The networks of the affine couplings: they see one part of a map and return scales and shifts for the other.

``construct(x, condition) -> (s, b)`` with x (N, C, H, W); s in [-3, 3] and b in [-5, 5] are zero wherever x is visible,
so ``(x - b) * exp(-s)`` is invertible whatever the network does.
"""

__all__ = ["ConvCoupling", "PointCoupling", "PooledCoupling", "visible_mask"]

import math

import numpy as np
from mindspore import Tensor, nn, ops

from .architecture import HALVES, TILES
from .layers import EqualConv, EqualLinear, UnbiasedInstanceNorm, merge
from .resample import coupling_resample


def visible_mask(split: str, channels: int, size: int, index: int) -> np.ndarray:
    """The mask of visible values, 1 where visible, broadcastable to (1, channels, size, size).

    ``channels`` shows the first half (rounded down) of the channels to every step, because the mixing alternates them.
    ``blocks``, ``lblocks`` and ``hblocks`` are checkerboards of 2, 4 and 8 pixel tiles; odd steps see the tile at the
    origin. ``spatial`` is a checkerboard of single pixels; odd steps see the neighbours of the origin. Of ``vhalfs``
    odd steps see the right half, of ``hhalfs`` the lower half. Even steps see the complement.
    """
    if split == "channels":
        mask = np.zeros((1, channels, 1, 1), np.float32)
        mask[:, : channels - math.ceil(channels / 2)] = 1.0
        return mask
    row, column = np.indices((size, size))
    if split in HALVES:
        seen = (column if split == "vhalfs" else row) >= size // 2
    else:
        seen = (row // TILES[split] + column // TILES[split]) % 2 == (split == "spatial")
    return (seen if index % 2 else ~seen).astype(np.float32)[None, None]


class _Coupling(nn.Cell):
    """Base of the three couplings: the mask, applied to the input and to the outputs, and the clipping."""

    def __init__(self, split: str, channels: int, size: int, index: int):
        super().__init__()
        mask = visible_mask(split, channels, size, index)
        # sqrt(2) because about half of the values are hidden
        self.visible = Tensor(mask * np.float32(math.sqrt(2.0)))
        self.hidden = Tensor(1.0 - mask)

    def limit(self, s: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return ops.clamp(s * self.hidden, -3.0, 3.0), ops.clamp(b * self.hidden, -5.0, 5.0)


class ConvCoupling(_Coupling):
    """Three convolutions over the visible part and the condition (N, condition_channels, H, W).

    The shift does not start at zero, so the coupling does not start as the identity.
    """

    def __init__(
        self,
        split: str,
        channels: int,
        width: int,
        size: int,
        index: int,
        condition_channels: int,
        kernel: int,
    ):
        super().__init__(split, channels, size, index)
        half = width // 2
        self.cond_preproc_a = EqualConv(condition_channels, condition_channels, 3)
        self.conv_cond_connect = EqualConv(channels + condition_channels, channels, 3, activation="tanh")
        self.norm = UnbiasedInstanceNorm(channels, size)
        self.conv_1 = EqualConv(channels, width, kernel)
        self.conv_2 = EqualConv(width, width, kernel)
        self.conv_3 = EqualConv(width, width, kernel)
        self.conv_out_bias = EqualConv(half, half, 3)
        self.conv_out_bias_b = EqualConv(half, channels, 1, activation="linear")
        self.conv_out_scale = EqualConv(half, channels, 1, activation="linear", zero=True)

    def construct(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        condition = condition + self.cond_preproc_a(condition)
        h = self.conv_cond_connect(ops.cat((x * self.visible, condition), 1))
        h = self.conv_3(self.conv_2(self.conv_1(self.norm(h))))
        s, b = ops.chunk(h, 2, 1)
        return self.limit(self.conv_out_scale(s), self.conv_out_bias_b(self.conv_out_bias(b)))


class PointCoupling(_Coupling):
    """The same at 1x1 resolution with dense layers; without ``condition_channels`` it takes no condition."""

    def __init__(self, channels: int, width: int, index: int, condition_channels: int = 0):
        super().__init__("channels", channels, 1, index)
        half = width // 2
        if condition_channels:
            self.cond_preproc_a = EqualLinear(condition_channels, condition_channels)
            self.conv_cond_connect = EqualLinear(channels + condition_channels, channels)
        else:
            self.conv_0 = EqualLinear(channels, channels, activation="tanh")
        self.conv_1 = EqualLinear(channels, width)
        self.conv_2 = EqualLinear(width, width)
        self.conv_3 = EqualLinear(width, width)
        self.conv_out_bias = EqualLinear(half, half)
        self.conv_out_bias_b = EqualLinear(half, channels, activation="linear")
        self.conv_out_scale = EqualLinear(half, channels, activation="linear", zero=True)

    def construct(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        n, c = x.shape[:2]
        h = (x * self.visible).reshape(n, c)
        if condition is not None:
            condition = condition.reshape(n, -1)
            condition = condition + self.cond_preproc_a(condition)
            h = self.conv_cond_connect(ops.cat((h, condition), 1))
        else:
            h = self.conv_0(h)
        s, b = ops.chunk(self.conv_3(self.conv_2(self.conv_1(h))), 2, 1)
        b = self.conv_out_bias_b(self.conv_out_bias(b))
        return self.limit(self.conv_out_scale(s).reshape(n, c, 1, 1), b.reshape(n, c, 1, 1))


class PooledCoupling(_Coupling):
    """A U-Net whose lower levels are 1x1 convolutions on strongly pooled maps; it starts as the identity.

    Widths are ``int(width * growth ** i)``; each of the ``downs`` levels halves the size, or quarters it with
    ``double``. A visible half is mirrored onto the hidden half, so that the convolutions have an input there.
    """

    def __init__(
        self,
        split: str,
        channels: int,
        width: int,
        size: int,
        index: int,
        condition_channels: int,
        kernel: int,
        downs: int,
        growth: float,
        reduced: bool,
        double: bool,
    ):
        super().__init__(split, channels, size, index)
        inner = 1 if reduced else kernel
        count = 2 if double else 1
        half = width // 2
        widths = [int(width * growth**i) for i in range(downs + 1)]
        sizes = [size // 2 ** (count * i) for i in range(downs + 1)]
        floors = range(downs)
        self.downs = downs
        self.mirrored_axis = {"vhalfs": 3, "hhalfs": 2}.get(split, 0)
        if self.mirrored_axis:
            # a product with a constant is exact and available on every device and runtime
            self.mirror = Tensor(np.eye(size, dtype=np.float32)[None, ::-1].copy())
        self.conv_cond_connect_pre = EqualConv(condition_channels, condition_channels // 2, 1, activation="tanh")
        self.conv_cond_connect_un = EqualConv(channels + condition_channels // 2, width, 3)
        self.conv_1 = EqualConv(width, width, kernel)
        self.conv_2 = EqualConv(width, width, kernel)
        self.conv_3 = EqualConv(width, width, kernel)
        self.down = nn.CellList([EqualConv(widths[i], widths[i + 1], inner) for i in floors])
        self.down_b = nn.CellList([EqualConv(widths[i + 1], widths[i + 1], inner) for i in floors])
        self.down_c = nn.CellList(
            [EqualConv(widths[i] + widths[i + 1], widths[i + 1], inner, activation="linear") for i in floors]
        )
        self.shrink = nn.CellList([coupling_resample(sizes[i], count, up=False) for i in floors])
        self.shrink_norm = nn.CellList([UnbiasedInstanceNorm(widths[i], sizes[i + 1]) for i in floors])
        self.bottom = EqualConv(widths[-1], widths[-1], 1 if size // 2**downs == 1 else 3)
        back = floors[::-1]
        self.up = nn.CellList([EqualConv(widths[i + 1], widths[i + 1], inner) for i in back])
        self.up_b = nn.CellList([EqualConv(widths[i + 1], widths[i], inner) for i in back])
        self.up_c = nn.CellList(
            [EqualConv(widths[i] + widths[i + 1], widths[i], inner, activation="linear") for i in back]
        )
        self.grow = nn.CellList([coupling_resample(sizes[i + 1], count, up=True) for i in back])
        self.grow_norm = nn.CellList([UnbiasedInstanceNorm(widths[i + 1], sizes[i]) for i in back])
        self.conv_scale_out = EqualConv(half, half, 3)
        self.conv_scale_out_b = EqualConv(half, channels, 1, activation="linear", zero=True)
        self.conv_bias_out = EqualConv(half, half, 3)
        self.conv_bias_out_b = EqualConv(half, channels, 1, activation="linear", zero=True)

    def mirrored(self, x: Tensor) -> Tensor:
        """``x`` left to right for ``vhalfs``, upside down for ``hhalfs``, and as it is for other splits."""
        if self.mirrored_axis == 0:
            return x
        n, c, h, w = x.shape
        flat = x.reshape(n * c, h, w)
        flat = ops.matmul(flat, self.mirror) if self.mirrored_axis == 3 else ops.matmul(self.mirror, flat)
        return flat.reshape(n, c, h, w)

    def construct(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        h = ops.cat((self.mirrored(x * self.visible), self.conv_cond_connect_pre(condition)), 1)
        h = self.conv_2(self.conv_1(self.conv_cond_connect_un(h)))
        skips = ()
        for i in range(self.downs):
            skips = (h, *skips)
            h = self.shrink_norm[i](self.shrink[i](h))
            h = self.down_c[i](ops.cat((h, self.down_b[i](self.down[i](h))), 1))
        h = self.bottom(h)
        for i in range(self.downs):
            h = self.grow_norm[i](self.grow[i](h))
            h = self.up_c[i](ops.cat((h, self.up_b[i](self.up[i](h))), 1))
            h = merge(h, skips[i])
        s, b = ops.chunk(self.conv_3(h), 2, 1)
        s = self.conv_scale_out_b(self.conv_scale_out(s))
        return self.limit(s, self.conv_bias_out_b(self.conv_bias_out(b)))
