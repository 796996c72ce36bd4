"""Full-Glow: two Glows, the second conditioned op by op on the first."""

__all__ = ["BOUNDARY_CHANNELS", "FullGlow", "Glow"]

from collections.abc import Callable, Iterator

import numpy as np
from mindspore import Tensor, nn

from ..flows import (
    ActNorm,
    AffineCoupling,
    ConditionalActNorm,
    ConditionalInvertibleConv,
    ConditionalInvertibleConvLU,
    InvertibleConv,
    InvertibleConvLU,
    InvertibleOp,
    Sequence,
    Split,
    Squeeze,
    TopPrior,
)
from ..flows.nets import ZeroConv
from ..flows.primitives import concat, halves
from .boundaries import BoundaryPyramid
from .condition_nets import MIN_BLOCK_SIZE, ConditionNet, CouplingCondition, coupling_net
from .network import ConditionalFlow, Level
from .twin import TwinOp, conditions_of

#: boundary maps are read as colour images
BOUNDARY_CHANNELS = 3


class _Flow(nn.Cell):
    """One step of flow: actnorm, 1x1 mixing, affine coupling. The right Glow's are conditional."""

    def __init__(
        self,
        rng: np.random.Generator,
        channels: int,
        size: tuple[int, int],
        condition_channels: int,
        do_lu: bool,
        width: int,
        limit: float | None,
    ):
        super().__init__()
        self.channels = channels
        c, cc = channels, condition_channels
        if cc == 0:
            self.act_norm = ActNorm(c, limit)
            self.inv_conv = InvertibleConvLU(rng, c, limit) if do_lu else InvertibleConv(rng, c)
            self.coupling = AffineCoupling(coupling_net(rng, c // 2, c, width), limit=limit)
            return
        self.act_norm = ConditionalActNorm(ConditionNet(rng, cc, size, 2 * c, flagged=True), limit)
        if do_lu:
            net = ConditionNet(rng, cc, size, 2 * c * c + c)
            self.inv_conv = ConditionalInvertibleConvLU(rng, c, net, limit)
        else:
            self.inv_conv = ConditionalInvertibleConv(rng, c, ConditionNet(rng, cc, size, c * c))
        self.coupling = AffineCoupling(
            coupling_net(rng, c // 2 + c, c, width), CouplingCondition(rng, cc, c), limit=limit
        )

    @property
    def ops(self) -> tuple[InvertibleOp, InvertibleOp, InvertibleOp]:
        """The three ops in forward order."""
        return self.act_norm, self.inv_conv, self.coupling


class _Block(nn.Cell):
    """The flows of one level and the network of its prior."""

    def __init__(
        self,
        rng: np.random.Generator,
        channels: int,
        size: tuple[int, int],
        n_flow: int,
        last: bool,
        condition_channels: int,
        do_lu: bool,
        width: int,
        limit: float | None,
    ):
        super().__init__()
        self.flows = nn.CellList(
            [_Flow(rng, channels, size, condition_channels, do_lu, width, limit) for _ in range(n_flow)]
        )
        kept = channels if last else channels // 2
        self.gaussian = ZeroConv(rng, kept, 2 * kept)


class Glow(nn.Cell):
    """The weights of one Glow: ``blocks[b].flows[f].{act_norm, inv_conv, coupling}`` and ``blocks[b].gaussian``.

    ``condition_channels(c)`` is the number of channels that condition an op on c channels; 0: unconditional.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        channels: int,
        size: tuple[int, int],
        n_flow: list[int],
        condition_channels: Callable[[int], int],
        do_lu: bool,
        width: int,
        limit: float | None,
    ):
        super().__init__()
        blocks, (height, width_) = [], size
        for level, flows in enumerate(n_flow):
            channels, height, width_ = 4 * channels, height // 2, width_ // 2
            last = level == len(n_flow) - 1
            blocks.append(
                _Block(
                    rng,
                    channels,
                    (height, width_),
                    flows,
                    last,
                    condition_channels(channels),
                    do_lu,
                    width,
                    limit,
                )
            )
            channels //= 2
        self.blocks = nn.CellList(blocks)


class FullGlow(ConditionalFlow):
    """Sorkhei, Henter and Kjellström 2021, "Full-Glow: Fully conditional Glow for more realistic image generation".

    The left Glow models the condition ``x_a``; each op of the right Glow, which models ``x_b``, sees the output of the
    op at the same place on the left. See :class:`ConditionalFlow` for shapes and ranges.

    Level ``b`` works on ``channels * 2^(b+2)`` channels at H/2^(b+1) x W/2^(b+1) and leaves half of them behind as
    latents; the last leaves all: :attr:`latent_shapes`. Sides must be multiples of 2^n_block and the last level at
    least 5x5.

    Args:
        size: (H, W).
        n_flow: steps of flow for every level; their number is ``n_block``.
        do_lu: LU form of the 1x1 mixings, which are then never singular.
        use_bmaps: condition on a boundary map (N, 3, H, W) in [0, 1] as well; ``do_ceil`` makes it binary.
        width: channels inside the coupling networks, 512 as published.
        limit: bound of every log-scale; None for the published, unbounded parametrisation.
        memory: what the backward pass keeps, see :class:`src.models.flows.Sequence`.
    """

    def __init__(
        self,
        size: tuple[int, int],
        n_flow: list[int],
        channels: int = 3,
        condition_channels: int = 3,
        do_lu: bool = True,
        use_bmaps: bool = False,
        do_ceil: bool = False,
        width: int = 512,
        limit: float | None = None,
        memory: str = "recompute",
        seed: int = 0,
    ):
        super().__init__(size, n_flow, channels, condition_channels, smallest=MIN_BLOCK_SIZE)
        self.use_bmaps = use_bmaps
        rng = np.random.default_rng(seed)
        extra = BOUNDARY_CHANNELS if use_bmaps else 0
        ratio = condition_channels / channels
        self.left_glow = Glow(rng, condition_channels, size, n_flow, lambda c: 0, do_lu, width, limit)
        self.right_glow = Glow(rng, channels, size, n_flow, lambda c: round(c * ratio) + extra, do_lu, width, limit)
        # These Cells only arrange the ops of the two Glows and own no weights.
        self.squeeze = Squeeze()
        if use_bmaps:
            self.boundaries = BoundaryPyramid(size, self.n_block, do_ceil)
        pairs = list(zip(self.left_glow.blocks, self.right_glow.blocks, strict=True))
        self.levels = nn.CellList([_twin_level(left, right, use_bmaps, memory) for left, right in pairs])
        self.left_splits, self.left_top = _priors(self.left_glow)
        self.right_splits, self.right_top = _priors(self.right_glow)

    def maps(self, boundary: Tensor | None) -> tuple:
        """The condition of every level: its boundary map, or None."""
        if self.use_bmaps:
            return self.boundaries(boundary)
        return (None,) * self.n_block

    def construct(
        self, x_a: Tensor, x_b: Tensor, boundary: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
        maps = self.maps(boundary)
        x = concat((x_a, x_b))
        log_p_a, log_p_b, logdet, latents = 0.0, 0.0, 0.0, ()
        for level in range(self.n_block):
            x, _ = self.squeeze(x)
            x, level_logdet = self.levels[level](x, maps[level])
            logdet = logdet + level_logdet
            left, right = self._halves(x)
            if level < self.n_block - 1:
                left, _, level_p_a = self.left_splits[level].divide(left)
                right, z, level_p_b = self.right_splits[level].divide(right)
                x = concat((left, right))
            else:
                z, level_p_a, level_p_b = right, self.left_top(left), self.right_top(right)
            log_p_a, log_p_b = log_p_a + level_p_a, log_p_b + level_p_b
            latents = latents + (z,)
        return log_p_a, logdet[:, 0], log_p_b, logdet[:, 1], latents  # type: ignore[index]  # one block at least

    def decode(self, x_a: Tensor, latents: tuple, raw: Tensor, boundary: Tensor | None = None) -> Tensor:
        maps = self.maps(boundary)
        conditions = ()
        left = x_a
        for level in range(self.n_block):
            left, _ = self.squeeze(left)
            left, level_conditions = conditions_of(self.levels[level].flows, left, maps[level])
            conditions = conditions + (level_conditions,)
            if level < self.n_block - 1:
                left, _ = halves(left)
        x = None
        for back in range(self.n_block):
            level = self.n_block - 1 - back
            given = raw[level]
            if level == self.n_block - 1:
                x = given * latents[level] + (1.0 - given) * self.right_top.latent(latents[level])
            else:
                split = self.right_splits[level]
                z = given * latents[level] + (1.0 - given) * split.latent(x, latents[level])
                x = split.join(x, z)
            x = self._undo_level(level, x, conditions[level])
            x = self.squeeze.inverse(x)
        return x

    def _undo_level(self, level: int, x: Tensor, conditions: tuple) -> Tensor:
        flows = self.levels[level].flows
        place = len(conditions)
        for back in range(len(flows)):
            twins = flows[len(flows) - 1 - back].flows
            for op_back in range(len(twins)):
                place = place - 1
                x = twins[len(twins) - 1 - op_back].right.inverse(x, conditions[place])
        return x

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The left and the right activation of a pair."""
        if self.condition_channels == self.channels:
            return halves(x)
        c = x.shape[1] * self.condition_channels // (self.condition_channels + self.channels)
        return x[:, :c], x[:, c:]

    def walk(self, x_a: Tensor, x_b: Tensor, boundary: Tensor | None = None) -> Iterator[Level]:
        maps = self.maps(boundary)
        x = concat((x_a, x_b))
        for level in range(self.n_block):
            x = self.squeeze.initialise(x)
            flows = self.levels[level]
            yield Level(f"block {level}", flows, x, maps[level])
            left, right = self._halves(flows.transform(x, maps[level], flows.own_weights())[0])
            x = concat((halves(left)[0], halves(right)[0]))


def _twin_level(left: _Block, right: _Block, use_bmaps: bool, memory: str) -> Sequence:
    """All flows of a level; the backward pass recomputes or rebuilds flow by flow."""
    return Sequence(
        [
            Sequence(
                [TwinOp(a, b, a_flow.channels, use_bmaps) for a, b in zip(a_flow.ops, b_flow.ops, strict=True)],
                "store",
            )
            for a_flow, b_flow in zip(left.flows, right.flows, strict=True)
        ],
        memory,
        alike=True,
    )


def _priors(glow: Glow) -> tuple[nn.CellList, TopPrior]:
    """The splits of all levels but the last, and the prior of the last."""
    nets = [block.gaussian for block in glow.blocks]
    return nn.CellList([Split(net) for net in nets[:-1]]), TopPrior(nets[-1])
