"""Flow steps and their chain. ``construct`` leads from data to latent, ``inverse`` from latent to data."""

__all__ = ["ActNorm", "Step", "StepChain", "level_chain", "point_chain"]

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..flows import linalg
from ..reuse import compile_once
from .architecture import LevelOptions
from .couplings import ConvCoupling, PointCoupling, PooledCoupling
from .mixing import ChannelMix, OrthogonalMix, apply_mix, exponentials


class ActNorm(nn.Cell):
    """z = (x - an_bias) * exp(-an_scale) per channel; both start at zero, or are fitted to a first batch."""

    def __init__(self, channels: int):
        super().__init__()
        self.an_scale = Parameter(Tensor(np.zeros((1, channels, 1, 1), np.float32)))
        self.an_bias = Parameter(Tensor(np.zeros((1, channels, 1, 1), np.float32)))

    def construct(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        n, _, h, w = x.shape
        logdet = -(h * w) * self.an_scale.sum()
        return (x - self.an_bias) * ops.exp(-self.an_scale), ops.broadcast_to(logdet.reshape(1), (n,))

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return z * ops.exp(self.an_scale) + self.an_bias


class Step(nn.Cell):
    """Actnorm, affine coupling, channel mix: (N, C, H, W) to the same shape and the log-determinant (N,) in nats.

    ``coupling`` maps (x, condition) to bounded scales and shifts; ``invconv`` is the mix. A chain passes the matrix of
    its mix in, because it computes those of all steps at once, with their determinants.
    """

    def __init__(self, channels: int, coupling: nn.Cell, mix: nn.Cell):
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.coupling = coupling
        self.invconv = mix

    def construct(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, logdet = self.actnorm(x)
        s, b = self.coupling(x, condition)
        y, mixed = self.invconv((x - b) * ops.exp(-s))
        return y, logdet - s.sum((1, 2, 3)) + mixed

    def inverse(self, y: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.invconv.inverse(y)
        s, b = self.coupling(x, condition)
        return self.actnorm.inverse(x * ops.exp(s) + b)

    def encode(self, x: Tensor, condition: Tensor | None, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """``construct`` with the given mixing matrix and without its log-determinant."""
        x, logdet = self.actnorm(x)
        s, b = self.coupling(x, condition)
        return apply_mix((x - b) * ops.exp(-s), matrix), logdet - s.sum((1, 2, 3))

    def decode(self, y: Tensor, condition: Tensor | None, inverse_matrix: Tensor) -> tuple[Tensor, Tensor]:
        """``inverse`` with the given inverse matrix: data and log-determinant of this direction, mix excluded."""
        n, _, h, w = y.shape
        x = apply_mix(y, inverse_matrix)
        s, b = self.coupling(x, condition)
        logdet = s.sum((1, 2, 3)) + (h * w) * self.actnorm.an_scale.sum()
        return self.actnorm.inverse(x * ops.exp(s) + b), logdet


class StepChain(nn.Cell):
    """The steps of one level; step 0 is the nearest to the latent. Contract as :class:`Step`.

    All mixes of the chain are inverted, exponentiated and measured by one batched call each.
    """

    def __init__(self, steps: list[Step]):
        super().__init__()
        self.steps = nn.CellList(steps)
        self.count = len(steps)
        self.orthogonal = isinstance(steps[0].invconv, OrthogonalMix)
        self.scale = steps[0].invconv.scale

    def mixes(self) -> tuple[Tensor, Tensor]:
        """Every mixing matrix from data to latent (steps, C, C), and their log-determinants (steps,)."""
        if self.orthogonal:
            return exponentials(ops.stack([step.invconv.U for step in self.steps]), self.scale)
        matrices = ops.stack([step.invconv.K for step in self.steps]) * self.scale
        return matrices, linalg.logabsdet(matrices)

    def construct(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        n, _, h, w = x.shape
        matrices, logdets = self.mixes()
        total = ops.broadcast_to((logdets.sum() * (h * w)).reshape(1), (n,))
        for i in range(self.count):
            k = self.count - 1 - i
            x, logdet = self.steps[k].encode(x, condition, matrices[k])
            total = total + logdet
        return x, total

    def generate(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """From latent to data: the map and the log-determinant (N,) of this direction."""
        n, _, h, w = z.shape
        matrices, logdets = self.mixes()
        total = -ops.broadcast_to((logdets.sum() * (h * w)).reshape(1), (n,))
        backs = matrices.swapaxes(1, 2) if self.orthogonal else linalg.inverse(matrices)
        for k in range(self.count):
            z, logdet = self.steps[k].decode(z, condition, backs[k])
            total = total + logdet
        return z, total

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.generate(z, condition)[0]


def level_chain(options: LevelOptions) -> StepChain:
    """The chain of a spatial level, conditioned on a (N, condition_channels, size, size) map."""
    o = options
    steps = []
    # couplings that see the same part of the map
    alike: dict[tuple[str, int], list[nn.Cell]] = {}
    for index, split in enumerate(o.splits):
        pooled, width = o.pooled(split), o.coupling_channels
        if pooled and o.third:
            width //= 3
        common = (split, o.channels, width, o.resolution, index, o.condition_channels, o.coupling_kernel)
        if pooled:
            coupling = PooledCoupling(*common, o.coupling_downs, o.coupling_growth, o.reduced, o.double)
        else:
            coupling = ConvCoupling(*common)
        alike.setdefault((split, 0 if split == "channels" else index % 2), []).append(coupling)
        mix = OrthogonalMix if o.unitary else ChannelMix
        steps.append(Step(o.channels, coupling, mix(o.channels, o.mix_scale)))
    for couplings in alike.values():
        compile_once(couplings)
    return StepChain(steps)


def point_chain(
    channels: int, layers: int, width: int, condition_channels: int, mix_scale: float, unitary: bool
) -> StepChain:
    """A chain on (N, channels, 1, 1), conditional if there are condition channels."""
    mix = OrthogonalMix if unitary else ChannelMix
    couplings = [PointCoupling(channels, width, i, condition_channels) for i in range(layers)]
    compile_once(couplings)
    return StepChain([Step(channels, coupling, mix(channels, mix_scale)) for coupling in couplings])
