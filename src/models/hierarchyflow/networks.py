"""Hierarchy Flow (Fan et al. 2023, arXiv 2308.06909): couplings that widen an image's channels, and back.

There is no squeeze, no permutation and no determinant: the same couplings in reverse order undo the widening, and in
between the channel statistics are replaced by those predicted from a style image. Images are RGB in [0, 1]; the result
is not clamped. Parameter names equal those of the published PyTorch modules.
"""

__all__ = ["GATED", "SMALLEST_STYLE", "WEIGHT_TYPES", "HierarchyCoupling", "HierarchyFlow", "StyleEncoder"]

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ...utils.errors import UserError
from ..layers import InstanceNorm, ReflectionPad, conv
from ..recompute import recompute_stages

STYLE_DIM = 8
EPS = 1e-5
#: weight types that multiply channels in the forward pass
GATED = ("attention", "sigmoid", "softmax")
WEIGHT_TYPES = (*GATED, "fixed", "learned")
#: height and width that the style encoder's mirrored borders need
SMALLEST_STYLE = 4


class _ConvBlock(nn.Cell):
    """Reflection pad, convolution (``conv``), ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, padding: int):
        super().__init__()
        self.pad = ReflectionPad(padding)
        self.conv = conv(in_channels, out_channels, kernel, stride)
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(self.pad(x)))


class _LinearBlock(nn.Cell):
    """Dense layer (``fc``), with a ReLU except at the end of the MLP."""

    def __init__(self, in_channels: int, out_channels: int, activate: bool):
        super().__init__()
        self.fc = nn.Dense(in_channels, out_channels, weight_init="zeros")
        self.activate = activate
        self.relu = nn.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return self.relu(y) if self.activate else y


class _Mlp(nn.Cell):
    def __init__(self, in_channels: int, hidden: int, out_channels: int):
        super().__init__()
        self.model = nn.SequentialCell(
            _LinearBlock(in_channels, hidden, True),
            _LinearBlock(hidden, hidden, True),
            _LinearBlock(hidden, out_channels, False),
        )

    def construct(self, x: Tensor) -> Tensor:
        return self.model(x)


class _GlobalMean(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        return x.astype(ms.float32).mean((2, 3), keep_dims=True)


class StyleEncoder(nn.Cell):
    """(N, 3, H, W) in [0, 1] to a style code (N, 8, 1, 1): three convolutions, a mean, a linear map.

    H and W are at least :data:`SMALLEST_STYLE`.
    """

    def __init__(self, in_channel: int = 3, width: int = 64):
        super().__init__()
        self.model = nn.SequentialCell(
            _ConvBlock(in_channel, width, 7, 1, 3),
            _ConvBlock(width, 2 * width, 4, 2, 1),
            _ConvBlock(2 * width, 4 * width, 4, 2, 1),
            _GlobalMean(),
            conv(4 * width, STYLE_DIM, 1),
        )

    def construct(self, style: Tensor) -> Tensor:
        return self.model(style)


class _SliceWeights(nn.Cell):
    """One learned weight per slice, through a softmax or a sigmoid."""

    def __init__(self, n_slices: int, activate: str):
        super().__init__()
        self.weight = Parameter(Tensor(np.zeros(n_slices, np.float32)), name="weight")
        self.activate = nn.Softmax(-1) if activate == "softmax" else nn.Sigmoid()

    def construct(self) -> Tensor:
        return self.activate(self.weight)


class _ChannelAttention(nn.Cell):
    """Squeeze-and-excitation gate (N, C) from the channel means of (N, C, H, W)."""

    def __init__(self, channels: int, n_slices: int):
        super().__init__()
        self.fc = nn.SequentialCell(
            nn.Dense(channels, channels // n_slices, has_bias=False, weight_init="zeros"),
            nn.ReLU(),
            nn.Dense(channels // n_slices, channels, has_bias=False, weight_init="zeros"),
            nn.Sigmoid(),
        )

    def construct(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


class HierarchyCoupling(nn.Cell):
    """Widens c channels to C = S * c and narrows them back (sections 3.1 and 3.2).

    Forward: features F >= 0 of the input are split into S slices f_0..f_{S-1}, and slice i of the result is ``x - f_0 -
    ... - f_i``, weighted by ``weight_type``. F is returned too, because the reverse direction needs it.

    Backward: with z the incoming slices (their statistics replaced by the style's, unless the style is off), every
    published recursion over the slices is linear in z and F, so the result is one weighted sum of each.
    ``reverse='exact'``: ``t_{S-1} = z + f``, then ``t_i = g * t_{i+1} + (1 - g) * z_i + f_i``: with the style off it
    inverts forward for every g. ``reverse='public'`` is the recursion of the published code, ``t_i = w * (t_{i+1} +
    z_i) + (1 - w) * f_i``, which is no inverse.

    ``weight_type``: ``fixed`` (g = w = 0.5), ``learned`` (that number is a parameter), ``softmax`` and ``sigmoid`` (one
    weight a slice) and ``attention`` (one gate a channel and sample); the last three keep 0.5. What they multiply on
    the way forward is normalised in the reverse direction, so that they affect only the couplings after this one;
    softmax and sigmoid weights also mix the steps of the public recursion.

    Raises:
        UserError: a width that is no multiple of the one before, or an unknown weight type or reverse.
    """

    def __init__(self, in_channel: int, out_channel: int, weight_type: str = "learned", reverse: str = "exact"):
        super().__init__()
        if in_channel < 1 or out_channel < in_channel or out_channel % in_channel:
            raise UserError(
                f"out_channels: {out_channel} is not a multiple of {in_channel}, the width before it: "
                "each entry of the list must be a multiple of the entry in front of it (the image has 3)"
            )
        if weight_type not in WEIGHT_TYPES:
            raise UserError(f"weight_type {weight_type!r} is not one of {', '.join(WEIGHT_TYPES)}")
        if reverse not in ("exact", "public"):
            raise UserError(f"reverse {reverse!r} is neither exact nor public")
        self.in_channel = in_channel
        self.out_channel = out_channel
        self.n_slices = out_channel // in_channel
        self.weight_type = weight_type
        self.is_exact = reverse == "exact"
        hidden = 2 * in_channel
        self.affine_net = nn.SequentialCell(
            conv(in_channel, hidden, 3, 1, 1, "instance"),
            InstanceNorm(hidden),
            nn.ReLU(),
            conv(hidden, hidden, 3, 1, 1, "instance"),
            InstanceNorm(hidden),
            nn.ReLU(),
            conv(hidden, out_channel, 3, 1, 1),
            nn.ReLU(),
        )
        self.style_mlp = _Mlp(STYLE_DIM, 3 * out_channel, 2 * out_channel)
        if weight_type == "learned":
            self.fixed_weight = Parameter(Tensor(0.5, ms.float32), name="fixed_weight")
        elif weight_type == "attention":
            self.weight = _ChannelAttention(out_channel, self.n_slices)
        elif weight_type in ("softmax", "sigmoid"):
            self.weight = _SliceWeights(self.n_slices, weight_type)
        self._one = Tensor(np.ones(out_channel, np.float32))
        self._zero = Tensor(np.zeros(out_channel, np.float32))
        self._coefficients = tuple(Tensor(c) for c in _recursion(self.n_slices, self.is_exact, every_step=False))
        self._steps = tuple(Tensor(c) for c in _recursion(self.n_slices, self.is_exact, every_step=True))
        self._triangle = Tensor(np.tril(np.ones((self.n_slices, self.n_slices), np.float32)))
        self._eye = Tensor(np.eye(in_channel, dtype=np.float32).reshape(1, in_channel, 1, in_channel))

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, c, H, W) to the wide (N, C, H, W), the features F of that shape and its weights (N, C)."""
        n, c, h, w = x.shape
        # the sums stay in float32, or the inverse would not be exact
        features = self.affine_net(x).astype(x.dtype)
        # running sums over the slices, as a product with a triangle of ones: twice as fast as cumsum
        total = ops.matmul(self._triangle, features.reshape(n, self.n_slices, c * h * w))
        wide = x.reshape(n, 1, c * h * w) - total
        wide = wide.reshape(n, self.out_channel, h, w)
        if self.weight_type == "attention":
            gate = self.weight(wide)
            return wide * gate.reshape(n, self.out_channel, 1, 1), features, gate
        if self.weight_type in ("softmax", "sigmoid"):
            gate = self.weight().reshape(1, self.n_slices, 1)
            gate = ops.broadcast_to(gate, (n, self.n_slices, c)).reshape(n, self.out_channel)
            return wide * gate.reshape(n, self.out_channel, 1, 1), features, gate
        return wide, features, ops.ones((n, self.out_channel), x.dtype)

    def narrow(self, wide: Tensor, features: Tensor, gate: Tensor) -> Tensor:
        """The reverse direction with the style off: (N, C, H, W) to (N, c, H, W)."""
        n, _, h, w = wide.shape
        z_weights, f_weights = self._slice_weights()
        if self.is_exact:
            scale = 1.0 / gate
        else:
            scale = ops.ones_like(gate)
        return self._weighted_sum(wide, scale, z_weights, features, f_weights).reshape(n, self.in_channel, h, w)

    def narrow_styled(self, wide: Tensor, features: Tensor, style_code: Tensor) -> Tensor:
        """The reverse direction with each channel's mean and standard deviation taken from the style code (N, 8)."""
        n, _, h, w = wide.shape
        style = self.style_mlp(style_code)
        mean, std = style[:, : self.out_channel], style[:, self.out_channel :]
        z_weights, f_weights = self._slice_weights()
        # the published standard deviation divides by H*W - 1 where the group norm divides by H*W
        ratio = (h * w - 1.0) / (h * w)
        normal = ops.group_norm(wide, self.out_channel, self._one, self._zero, EPS * ratio)
        y = self._weighted_sum(normal, std * ratio**0.5, z_weights, features, f_weights)
        shift = mean.reshape(n, self.n_slices, self.in_channel) * z_weights.reshape(1, self.n_slices, 1)
        return y.reshape(n, self.in_channel, h, w) + shift.sum(1).reshape(n, self.in_channel, 1, 1)

    def _slice_weights(self) -> tuple[Tensor, Tensor]:
        """Weights of the slices of z and of F in the result: two vectors of length S."""
        if self.weight_type == "learned":
            w = self.fixed_weight
            power = ops.ones_like(w)
            rest = 1.0 - w
            z_weights, f_weights = (), ()
            for _ in range(self.n_slices - 1):
                z_weights = z_weights + (power * rest if self.is_exact else power * w,)
                f_weights = f_weights + (power if self.is_exact else power * rest,)
                power = power * w
            return ops.stack(z_weights + (power,)), ops.stack(f_weights + (power,))
        if not self.is_exact and self.weight_type in ("softmax", "sigmoid"):
            gate = self.weight().reshape(1, self.n_slices)
            return ops.matmul(gate, self._steps[0]).reshape(-1), ops.matmul(gate, self._steps[1]).reshape(-1)
        return self._coefficients

    def _weighted_sum(self, z: Tensor, scale: Tensor, z_weights: Tensor, features: Tensor, f_weights: Tensor) -> Tensor:
        """sum_s z_weights[s] * scale[n, s, :] * z_s + sum_s f_weights[s] * f_s, as (N, c, H * W)."""
        n, _, h, w = z.shape
        s, c = self.n_slices, self.in_channel
        weights = scale.reshape(n, 1, s, c) * z_weights.reshape(1, 1, s, 1)
        weights = (self._eye * weights).reshape(n, c, s * c)
        y = ops.matmul(weights, z.reshape(n, s * c, h * w))
        kept = ops.matmul(f_weights.reshape(1, s), features.reshape(n, s, c * h * w))
        return y + kept.reshape(n, c, h * w)


def _recursion(n_slices: int, exact: bool, every_step: bool, w: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of z and of F in the published recursion with the number ``w``.

    The last step's, two vectors (S,), or with ``every_step`` those of all steps in the order in which they are taken
    (deepest slice first), two matrices (S, S): the softmax and sigmoid weights mix the steps.
    """
    z, f = np.zeros(n_slices), np.zeros(n_slices)
    z[-1] = f[-1] = 1
    steps = [(z.copy(), f.copy())]
    for i in range(n_slices - 2, -1, -1):
        z, f = w * z, w * f
        z[i] += 1 - w if exact else w
        f[i] += 1 if exact else 1 - w
        steps.append((z.copy(), f.copy()))
    if not every_step:
        return z.astype(np.float32), f.astype(np.float32)
    return np.stack([p for p, _ in steps]).astype(np.float32), np.stack([q for _, q in steps]).astype(np.float32)


class HierarchyFlow(nn.Cell):
    """Content and style (N, 3, H, W) in [0, 1] to the content in the style of the other, same shape, not clamped.

    H and W of the content must exceed ``pad_size``: the border is mirrored so that the zero padding of the convolutions
    (3 pixels a coupling) stays outside the result.
    """

    def __init__(
        self,
        in_channel: int = 3,
        out_channels: tuple[int, ...] | list[int] = (30, 120),
        weight_type: str = "learned",
        reverse: str = "exact",
        pad_size: int = 10,
    ):
        super().__init__()
        if not out_channels:
            raise UserError("out_channels is empty: give at least one width, e.g. [30, 120]")
        self.pad_size = pad_size
        widths = [in_channel, *out_channels]
        self.blocks = nn.CellList(
            [HierarchyCoupling(a, b, weight_type, reverse) for a, b in zip(widths[:-1], widths[1:], strict=True)]
        )
        self.n_blocks = len(out_channels)
        self.style_net = StyleEncoder(in_channel)
        self.pad = ReflectionPad(pad_size)

    def construct(self, content: Tensor, style: Tensor) -> Tensor:
        return self.apply_style(content, self.style_net(style))

    def apply_style(self, content: Tensor, style_code: Tensor) -> Tensor:
        """Translate with a style code (N, 8, 1, 1) of ``style_net``: one style serves many images."""
        code = style_code.reshape(style_code.shape[0], STYLE_DIM).astype(ms.float32)
        x = self.pad(content)
        features = ()
        for i in range(self.n_blocks):
            x, f, _ = self.blocks[i](x)
            features = features + (f,)
        for i in range(self.n_blocks - 1, -1, -1):
            x = self.blocks[i].narrow_styled(x, features[i], code)
        return self._crop(x)

    def reconstruct(self, content: Tensor) -> Tensor:
        """Forward and back with the style off: the content itself if ``reverse`` is exact."""
        x = self.pad(content)
        features, gates = (), ()
        for i in range(self.n_blocks):
            x, f, gate = self.blocks[i](x)
            features, gates = features + (f,), gates + (gate,)
        for i in range(self.n_blocks - 1, -1, -1):
            x = self.blocks[i].narrow(x, features[i], gates[i])
        return self._crop(x)

    def recompute_stages(self) -> None:
        """Keep only the results of the couplings and of the style network's convolutions for the backward pass."""
        recompute_stages(self.style_net.model)
        for block in self.blocks:
            recompute_stages(block.affine_net)

    def _crop(self, x: Tensor) -> Tensor:
        p = self.pad_size
        h, w = x.shape[2], x.shape[3]
        return x[:, :, p : h - p, p : w - p]
