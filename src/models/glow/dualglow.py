"""DUAL-Glow: two unconditional Glows that meet in the priors of the second."""

__all__ = ["DualGlow"]

from collections.abc import Iterator

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..flows import (
    ActNorm,
    AffineCoupling,
    InvertibleConv,
    Sequence,
    Squeeze,
    gaussian_log_prob,
)
from ..flows.nets import (
    BorderConv,
    Chain,
    Conv,
    Initialiser,
    Net,
    ReLU,
    gaussian,
    initialized_flag,
    parameter,
    zeros,
)
from ..flows.primitives import concat, exp, halves, zeros_like
from ..flows.split import mean_and_log_sd
from ..layers import LeakyReLU
from .likelihood import level_shapes
from .network import ConditionalFlow, Level

#: Glow's code stores log-scales divided by this, which multiplies their learning rate
_LOG_SCALE_FACTOR = 3.0


def _normalisation(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Shifts and stored log-scales, each (1, C, 1, 1), that bring ``x`` to mean 0 and mean square 1 per channel."""
    v = x.asnumpy().astype(np.float64)
    mean = v.mean((0, 2, 3), keepdims=True)
    log_scale = -np.log(np.sqrt(((v - mean) ** 2).mean((0, 2, 3), keepdims=True)) + 1e-6)
    return (-mean).astype(np.float32), (log_scale / _LOG_SCALE_FACTOR).astype(np.float32)


class _LogActNorm(ActNorm):
    """``y = exp(3 scale) (x + loc)``."""

    def __init__(self, channels: int):
        super().__init__(channels)
        ops.assign(self.scale, ops.zeros_like(self.scale))

    def scales(self, scale: Tensor) -> tuple[Tensor, Tensor]:
        log_scale = _LOG_SCALE_FACTOR * scale
        return exp(log_scale), log_scale

    def initialise(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if not int(self.initialized.asnumpy()):
            loc, scale = _normalisation(x)
            ops.assign(self.loc, Tensor(loc))
            ops.assign(self.scale, Tensor(scale))
            ops.assign(self.initialized, Tensor(1, ms.int32))
        return super().initialise(x, condition)


class _EdgeConv(Conv):
    """3x3 convolution that sees one more channel: 1 on the zero padding, 0 inside ("edge bias")."""

    def __init__(
        self, rng: np.random.Generator, in_channels: int, out_channels: int, weight_init: Initialiser, has_bias: bool
    ):
        super().__init__(rng, in_channels + 1, out_channels, 3, 1, 1, weight_init, zeros, has_bias)
        self.border = BorderConv(out_channels)

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        c = x.shape[1]
        y = self.conv(x, weights[at][:, :c])
        y = y + self.border(y, weights[at][:, c:])
        if self.has_bias:
            y = self.add_bias(y, weights[at + 1])
        return y


class _NormalisedConv(Net):
    """Convolution without bias, then an activation normalisation that starts from the data."""

    def __init__(self, conv: Net, channels: int):
        super().__init__()
        self.conv = conv
        self.loc = parameter(np.zeros((1, channels, 1, 1)), "loc")
        self.scale = parameter(np.zeros((1, channels, 1, 1)), "scale")
        self.initialized = initialized_flag()

    def weights(self) -> tuple[Parameter, ...]:
        return (*self.conv.weights(), self.loc, self.scale)

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        return exp(_LOG_SCALE_FACTOR * weights[at + 2]) * (self.conv.compute(x, weights, at) + weights[at + 1])

    def initialise(self, x: Tensor) -> Tensor:
        if not int(self.initialized.asnumpy()):
            loc, scale = _normalisation(self.conv(x))
            ops.assign(self.loc, Tensor(loc))
            ops.assign(self.scale, Tensor(scale))
            ops.assign(self.initialized, Tensor(1, ms.int32))
        return super().initialise(x)


class _ZeroEdgeConv(Net):
    """Edge-biased 3x3 convolution that starts at zero, times ``exp(3 scale)`` per channel."""

    def __init__(self, rng: np.random.Generator, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = _EdgeConv(rng, in_channels, out_channels, zeros, True)
        self.scale = parameter(np.zeros((1, out_channels, 1, 1)), "scale")

    def weights(self) -> tuple[Parameter, ...]:
        return (*self.conv.weights(), self.scale)

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        return self.conv.compute(x, weights, at) * exp(_LOG_SCALE_FACTOR * weights[at + 2])


def _step(rng: np.random.Generator, channels: int, width: int) -> Sequence:
    draw = gaussian(0.05)
    net = Chain(
        _NormalisedConv(_EdgeConv(rng, channels // 2, width, draw, False), width),
        ReLU(),
        _NormalisedConv(Conv(rng, width, width, 1, weight_init=draw, has_bias=False), width),
        ReLU(),
        _ZeroEdgeConv(rng, width, channels),
    )
    return Sequence(
        [_LogActNorm(channels), InvertibleConv(rng, channels), AffineCoupling(net, interleaved=True)], "store"
    )


class _Glow(nn.Cell):
    """Weights of one of the two Glows: its levels, and the network of the top prior."""

    def __init__(self, rng: np.random.Generator, channels: int, n_flow: list[int], width: int, memory: str):
        super().__init__()
        levels, c = [], channels
        for level, flows in enumerate(n_flow):
            c *= 4
            levels.append(Sequence([_step(rng, c, width) for _ in range(flows)], memory, alike=True))
            c //= 2 if level < len(n_flow) - 1 else 1
        self.levels = nn.CellList(levels)
        self.top = _ZeroEdgeConv(rng, c, 2 * c)


class _Bridge(nn.Cell):
    """Prior means for the target's latents from the condition's latents of the same level."""

    def __init__(self, rng: np.random.Generator, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = Conv(rng, in_channels, out_channels, 5, 2, weight_init=_uniform, has_bias=False)
        self.leaky = LeakyReLU(0.2)

    def construct(self, z: Tensor) -> Tensor:
        return self.leaky(self.conv(z))


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(-0.05, 0.05, shape).astype(np.float32)


class DualGlow(ConditionalFlow):
    """Sun et al. 2019, "DUAL-GLOW: Conditional Flow-Based Generative Model for Modality Transfer", on 2-D images.

    One Glow models the condition ``x_a``, another the target ``x_b``; the condition enters only through the means of
    the target's priors, level by level. See :class:`ConditionalFlow` for shapes and ranges. The published network is
    the 3-D one with a depth of 1; its 3x3x3 convolutions are 3x3 here. Their two other slices see only padding, where
    the border channel is 1: for each output they add 18 weights to its bias, or to the shift of the normalisation that
    follows. One parameter stands for those 19 here (:meth:`sums`), with the same function and, at 19 times the rate,
    the same training.

    Args:
        size: (H, W), multiples of 2^n_block.
        n_flow: steps a level.
        width: channels inside the coupling networks.
        memory: what the backward pass keeps, see :class:`src.models.flows.Sequence`.
    """

    terms = 1 + 2 * 3 * 3

    def __init__(
        self,
        size: tuple[int, int],
        n_flow: list[int],
        channels: int = 3,
        condition_channels: int = 3,
        width: int = 512,
        memory: str = "recompute",
        seed: int = 0,
    ):
        super().__init__(size, n_flow, channels, condition_channels)
        rng = np.random.default_rng(seed)
        self.condition_glow = _Glow(rng, condition_channels, n_flow, width, memory)
        self.target_glow = _Glow(rng, channels, n_flow, width, memory)
        condition_shapes = level_shapes(condition_channels, size, self.n_block)
        self.bridges = nn.CellList(
            [_Bridge(rng, a[0], b[0]) for a, b in zip(condition_shapes, self.latent_shapes, strict=True)]
        )
        self.squeeze = Squeeze()

    def sums(self) -> list[Parameter]:
        found = []
        for _, cell in self.cells_and_names():
            if isinstance(cell, _NormalisedConv) and isinstance(cell.conv, _EdgeConv):
                found.append(cell.loc)
            elif isinstance(cell, _EdgeConv) and cell.has_bias:
                found.append(cell.bias)
        return found

    def construct(
        self, x_a: Tensor, x_b: Tensor, boundary: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
        latents_a, logdet_a = self._flow(self.condition_glow, x_a)
        latents_b, logdet_b = self._flow(self.target_glow, x_b)
        log_p_a, log_p_b = 0.0, 0.0
        for level in range(self.n_block):
            z_a, z_b = latents_a[level], latents_b[level]
            mean, log_sd = self._own_prior(self.condition_glow, level, z_a)
            log_p_a = log_p_a + gaussian_log_prob(z_a, mean, log_sd)
            mean, log_sd = self._own_prior(self.target_glow, level, z_b)
            log_p_b = log_p_b + gaussian_log_prob(z_b, mean + self.bridges[level](z_a), log_sd)
        return log_p_a, logdet_a, log_p_b, logdet_b, latents_b

    def _flow(self, glow: _Glow, x: Tensor) -> tuple[tuple, Tensor]:
        latents, logdet = (), 0.0
        for level in range(self.n_block):
            x, _ = self.squeeze(x)
            x, level_logdet = glow.levels[level](x)
            logdet = logdet + level_logdet
            if level < self.n_block - 1:
                x, z = halves(x)
            else:
                z = x
            latents = latents + (z,)
        return latents, logdet

    def _own_prior(self, glow: _Glow, level: int, z: Tensor) -> tuple[Tensor, Tensor]:
        """Standard normal below the top, learned at the top."""
        nothing = zeros_like(z)
        if level < self.n_block - 1:
            return nothing, nothing
        return mean_and_log_sd(glow.top(nothing))

    def decode(self, x_a: Tensor, latents: tuple, raw: Tensor, boundary: Tensor | None = None) -> Tensor:
        latents_a, _ = self._flow(self.condition_glow, x_a)
        x = None
        for back in range(self.n_block):
            level = self.n_block - 1 - back
            given, z = raw[level], latents[level]
            mean, log_sd = self._own_prior(self.target_glow, level, z)
            placed = mean + self.bridges[level](latents_a[level]) + exp(log_sd) * z
            z = given * z + (1.0 - given) * placed
            x = z if level == self.n_block - 1 else concat((x, z))
            x = self.squeeze.inverse(self.target_glow.levels[level].inverse(x))
        return x

    def walk(self, x_a: Tensor, x_b: Tensor, boundary: Tensor | None = None) -> Iterator[Level]:
        for name, glow, x in (("condition", self.condition_glow, x_a), ("target", self.target_glow, x_b)):
            for index, flows in enumerate(glow.levels):
                x = self.squeeze.initialise(x)
                yield Level(f"{name} block {index}", flows, x, None)
                x = flows.transform(x, None, flows.own_weights())[0]
                x = x[:, : x.shape[1] // 2]
