"""C-Glow: one Glow whose ops are conditioned on the condition image itself."""

__all__ = ["CGlow"]

from collections.abc import Iterator

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ...utils.errors import UserError
from ..flows import (
    AffineCoupling,
    ConditionalActNorm,
    ConditionalInvertibleConv,
    InvertibleOp,
    Sequence,
    Split,
    Squeeze,
    gaussian_log_prob,
)
from ..flows.mixing import random_rotation
from ..flows.nets import Chain, Conv, Dense, Flatten, Initialiser, Net, ReLU, Tanh, gaussian, parameter, zeros
from ..flows.primitives import exp, halves, reshape
from .network import ConditionalFlow, Level

#: three convolutions of kernel and stride 2 lie between the condition and the dense layers
_PATCH = 8


class _ImageNet(Net):
    """Parameters of an op from the condition image: three 2x2 patch convolutions, three dense layers, tanh.

    ``cond_init='reference'`` is the published start: the patch convolutions and the first two dense layers are zero, so
    a ReLU sits at 0 with gradient 0, and neither they nor the last layer's weight ever learn. The op then never depends
    on the condition: only ``x_Linear.4.bias`` is trained. ``'fixed'`` draws these layers as PyTorch does by default and
    starts the last weight at zero, so that every layer learns.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        x_size: tuple[int, int, int],
        hidden: tuple[int, int],
        outputs: int,
        cond_init: str,
        last_weight: Initialiser,
        last_bias: Initialiser,
    ):
        super().__init__()
        channels, height, width = x_size
        xc, xs = hidden
        start = zeros if cond_init == "reference" else None
        self.x_Con = Chain(
            Conv(rng, channels, xc, 2, stride=2, weight_init=start),
            ReLU(),
            Conv(rng, xc, xc, 2, stride=2, weight_init=start),
            ReLU(),
            Conv(rng, xc, xc, 2, stride=2, weight_init=start),
            ReLU(),
            Flatten(),
        )
        self.x_Linear = Chain(
            Dense(rng, xc * (height // _PATCH) * (width // _PATCH), xs, start, start),
            ReLU(),
            Dense(rng, xs, xs, start, start),
            ReLU(),
            Dense(rng, xs, outputs, last_weight, last_bias),
            Tanh(),
        )
        self.trunk_weights = len(self.x_Con.weights())

    def weights(self) -> tuple[Parameter, ...]:
        return self.x_Con.weights() + self.x_Linear.weights()

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        features = self.x_Con.compute(x, weights, at)
        return self.x_Linear.compute(features, weights, at + self.trunk_weights)


class _BiasAndLogs(nn.Cell):
    def __init__(self, rng: np.random.Generator, channels: int):
        super().__init__()
        draw = gaussian(0.05)
        self.bias = parameter(draw(rng, (1, channels, 1, 1)), "bias")
        self.logs = parameter(draw(rng, (1, channels, 1, 1)), "logs")


class _AffineConv(Conv):
    """Convolution without bias, then ``(y + bias) exp(logs)`` per channel; nothing depends on data."""

    def __init__(self, rng: np.random.Generator, in_channels: int, out_channels: int, kernel: int):
        draw = gaussian(0.05)
        super().__init__(rng, in_channels, out_channels, kernel, kernel // 2, weight_init=draw, has_bias=False)
        self.actnorm = _BiasAndLogs(rng, out_channels)

    def weights(self) -> tuple[Parameter, ...]:
        return (self.weight, self.actnorm.bias, self.actnorm.logs)

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        return (self.conv(x, weights[at]) + weights[at + 1]) * exp(weights[at + 2])


class _ZeroOutput(Conv):
    """Zero-padded 3x3 convolution that starts at zero, plus a second bias, times ``exp(3 logs)`` per channel."""

    def __init__(self, rng: np.random.Generator, in_channels: int, out_channels: int):
        super().__init__(rng, in_channels, out_channels, 3, padding=1, weight_init=zeros, bias_init=zeros)
        self.logs = parameter(np.zeros((out_channels, 1, 1)), "logs")
        self.newbias = parameter(np.zeros((out_channels, 1, 1)), "newbias")

    def weights(self) -> tuple[Parameter, ...]:
        return (self.weight, self.bias, self.logs, self.newbias)

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        y = self.add_bias(self.conv(x, weights[at]), weights[at + 1])
        return (y + weights[at + 3]) * exp(3.0 * weights[at + 2])


class _CouplingNets(nn.Cell):
    """The two networks of a coupling: one resizes the condition to the level, the other takes both as input."""

    def __init__(self, rng: np.random.Generator, x_channels: int, channels: int, level: int, width: int):
        super().__init__()
        half, patch = channels // 2, 2 ** (level + 1)
        draw = gaussian(0.1)
        self.resize_x = Chain(
            Conv(rng, x_channels, 16, 3, 1, weight_init=draw),
            ReLU(),
            Conv(rng, 16, half, patch, stride=patch, weight_init=zeros),
            ReLU(),
            Conv(rng, half, half, 3, 1, weight_init=draw),
            ReLU(),
        )
        self.f = Chain(
            _AffineConv(rng, channels, width, 3),
            ReLU(),
            _AffineConv(rng, width, width, 1),
            ReLU(),
            _ZeroOutput(rng, width, channels),
            Tanh(),
        )


class _Step(nn.Cell):
    """The networks of one step of flow."""

    def __init__(
        self,
        rng: np.random.Generator,
        x_size: tuple[int, int, int],
        channels: int,
        level: int,
        hidden: tuple[int, int],
        width: int,
        cond_init: str,
    ):
        super().__init__()
        c = channels
        self.actnorm = _ImageNet(rng, x_size, hidden, 2 * c, cond_init, zeros, zeros)
        if cond_init == "reference":
            last = gaussian(0.1), gaussian(0.1)
        else:
            start = np.arctanh(0.999 * random_rotation(rng, c)).reshape(-1)
            last = zeros, lambda rng, shape: start.astype(np.float32)
        self.invconv = _ImageNet(rng, x_size, hidden, c * c, cond_init, *last)
        self.affine = _CouplingNets(rng, x_size[0], c, level, width)

    def op(self) -> Sequence:
        """The step of flow that these networks make."""
        coupling = AffineCoupling(self.affine.f, self.affine.resize_x, condition_first=True, interleaved=True)
        return Sequence([_ExpActNorm(self.actnorm), _Mixing(self.invconv), coupling], "store")


class _ExpActNorm(ConditionalActNorm):
    """``y = exp(log s) (x + t)``, both within (-1, 1)."""

    def scale_and_shift(self, condition: Tensor, weights: tuple, at: int) -> tuple[Tensor, Tensor, Tensor]:
        h = self.cond_net.compute(condition, weights, at)
        log_s, t = halves(reshape(h, (h.shape[0], -1, 1, 1)))
        return exp(log_s), log_s, t

    def initialise(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return InvertibleOp.initialise(self, x, condition)


class _Mixing(ConditionalInvertibleConv):
    """A matrix a sample, all entries within (-1, 1)."""

    def __init__(self, cond_net: Net):
        InvertibleOp.__init__(self)
        self.cond_net = cond_net
        self.channels = round(cond_net.x_Linear[4].weight.shape[0] ** 0.5)


class _SplitNet(nn.Cell):
    def __init__(self, rng: np.random.Generator, channels: int):
        super().__init__()
        self.conv = Chain(Conv(rng, channels // 2, channels, 3, 1, weight_init=gaussian(0.1)), Tanh())


class _Layers(nn.Cell):
    def __init__(self, layers: list[nn.Cell]):
        super().__init__()
        self.layers = nn.CellList(layers)


class CGlow(ConditionalFlow):
    """Lu and Huang 2020, "Structured Output Learning with Conditional Generative Flows", as Full-Glow's baseline.

    Each step has three networks of its own that read the condition ``x_a`` (N, C, H, W) at full size; the flow acts on
    the target ``x_b`` of the same size. See :class:`ConditionalFlow` for shapes and ranges. Every scale is bounded by a
    tanh; the matrices of the 1x1 mixings are not.

    As published, splits draw their latents anew when decoding and a temperature of 0 means 1; here latents are kept and
    0 is 0. The prior at the top is standard normal; ``new_mean`` and ``new_logs`` are kept in checkpoints, but neither
    used nor trained.

    Args:
        size: (H, W), multiples of 8 and of 2^n_block.
        n_flow: steps a level.
        x_hidden_size, x_hidden_channels: widths of the dense layers and convolutions that read the condition.
        y_hidden_channels: width of the coupling networks.
        cond_init: ``reference`` or ``fixed``, see the networks above: with the published start only couplings ever
            depend on the condition.
        memory: what the backward pass keeps, see :class:`src.models.flows.Sequence`.
    """

    models_condition = False

    def __init__(
        self,
        size: tuple[int, int],
        n_flow: list[int],
        channels: int = 3,
        condition_channels: int = 3,
        x_hidden_size: int = 26,
        x_hidden_channels: int = 52,
        y_hidden_channels: int = 104,
        cond_init: str = "reference",
        memory: str = "recompute",
        seed: int = 0,
    ):
        super().__init__(size, n_flow, channels, condition_channels)
        if size[0] % _PATCH or size[1] % _PATCH:
            raise UserError(
                f"C-Glow reads its condition in patches of {_PATCH}x{_PATCH}: {size[0]}x{size[1]} does not fit"
            )
        rng = np.random.default_rng(seed)
        top = (1, *self.latent_shapes[-1])
        self.new_mean = parameter(np.zeros(top), "new_mean", trainable=False)
        self.new_logs = parameter(np.zeros(top), "new_logs", trainable=False)
        layers: list[nn.Cell] = []
        steps: list[list[_Step]] = []
        split_nets: list[_SplitNet] = []
        c = channels
        hidden = (x_hidden_channels, x_hidden_size)
        for level, flows in enumerate(n_flow):
            c *= 4
            own = [
                _Step(rng, (condition_channels, *size), c, level, hidden, y_hidden_channels, cond_init)
                for _ in range(flows)
            ]
            steps.append(own)
            # The squeeze has no weights, but an index in the published names.
            layers += [Squeeze(), *own]
            if level < len(n_flow) - 1:
                split_nets.append(_SplitNet(rng, c))
                layers.append(split_nets[-1])
                c //= 2
        self.flow = _Layers(layers)
        # These Cells only arrange the networks above and own no weights.
        self.squeeze = Squeeze()
        self.levels = nn.CellList([Sequence([step.op() for step in own], memory, alike=True) for own in steps])
        self.splits = nn.CellList([Split(net.conv, interleaved=True) for net in split_nets])

    def construct(
        self, x_a: Tensor, x_b: Tensor, boundary: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
        x, log_p, logdet, latents = x_b, 0.0, 0.0, ()
        for level in range(self.n_block):
            x, _ = self.squeeze(x)
            x, level_logdet = self.levels[level](x, x_a)
            logdet = logdet + level_logdet
            if level < self.n_block - 1:
                x, z, level_p = self.splits[level].divide(x)
            else:
                nothing = ops.zeros_like(x)
                z, level_p = x, gaussian_log_prob(x, nothing, nothing)
            log_p = log_p + level_p
            latents = latents + (z,)
        zero = ops.zeros_like(log_p)
        return zero, zero, log_p, logdet, latents

    def decode(self, x_a: Tensor, latents: tuple, raw: Tensor, boundary: Tensor | None = None) -> Tensor:
        x = latents[self.n_block - 1]
        for back in range(self.n_block):
            level = self.n_block - 1 - back
            if level < self.n_block - 1:
                given, split = raw[level], self.splits[level]
                z = given * latents[level] + (1.0 - given) * split.latent(x, latents[level])
                x = split.join(x, z)
            x = self.squeeze.inverse(self.levels[level].inverse(x, x_a))
        return x

    def walk(self, x_a: Tensor, x_b: Tensor, boundary: Tensor | None = None) -> Iterator[Level]:
        x = x_b
        for index, flows in enumerate(self.levels):
            x = self.squeeze.initialise(x)
            yield Level(f"block {index}", flows, x, x_a)
            x = flows.transform(x, x_a, flows.own_weights())[0]
            x = x[:, : x.shape[1] // 2]
