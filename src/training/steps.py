"""One compiled training step: gradients, their mean over devices, the finite check, clipping and every update.

Nothing runs in Python between the updates of one step, and nothing is read back to the host: overflow handling, the
loss scale and gradient accumulation live in parameters of the step.
"""

__all__ = ["StepOptions", "TrainStep"]

from collections.abc import Sequence
from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..contracts.objective import UpdateGroup
from ..models.layers import half_square
from .buckets import Average, averaging_buckets, joining_buckets
from .optimizers import Adam
from .overflow import LARGEST_NORM, LARGEST_SCALE, OverflowMark


@dataclass(frozen=True)
class StepOptions:
    """Settings of the update: loss scale, accumulation, clipping and averaging over devices.

    Attributes:
        loss_scale: factor on the loss while gradients are computed; gradients are divided by it before they are used.
        dynamic_loss_scale: halve the scale on overflow, double it after ``scale_window`` good steps, up to 2**24.
        accumulation: steps whose gradients are averaged into one update.
        clip_norm: largest global norm of a group's gradient; 0 leaves it alone.
        clip_jointly: measure that norm over all groups together instead of each by itself.
        world: number of devices whose gradients are averaged.
        saturates_at: on devices that only saturate, the number that an overflow gives; 0 where it gives infinity.
    """

    loss_scale: float = 1.0
    dynamic_loss_scale: bool = False
    scale_window: int = 1000
    accumulation: int = 1
    clip_norm: float = 0.0
    world: int = 1
    clip_jointly: bool = False
    saturates_at: float = 0.0


class TrainStep(nn.Cell):
    """``construct(*inputs) -> (losses, norms, outputs)``: one step of every group, all from the same weights.

    ``losses`` is the float32 vector of loss terms and ``norms`` the gradient norm of each group, both means over or of
    all devices. If any of them is not finite, no parameter and no moment changes, in no group and on no device:
    replicas that disagree part for good. ``bad_steps`` counts such steps in a row.

    ``kept`` are running statistics and buffers (see :class:`Objective`); what a bad step's forward pass changed in them
    is taken back. ``finite`` is 1 after a good step and 0 after a bad one.

    With accumulation two of these Cells work together: ``TrainStep(..., applies=False)`` only adds to ``sums``, and the
    one that applies takes the same ``sums`` and runs on every n-th step. The host picks, so neither branches.
    """

    def __init__(
        self,
        gradients: nn.Cell,
        groups: tuple[UpdateGroup, ...],
        options: StepOptions | None = None,
        applies: bool = True,
        sums: nn.CellList | None = None,
        kept: tuple[Sequence[Parameter], Sequence[nn.Cell]] = ((), ()),
    ):
        super().__init__()
        options = options or StepOptions()
        self.options, self.groups, self.applies = options, groups, applies
        self.gradients = gradients
        self.n_groups = len(groups)
        self.rescales = options.dynamic_loss_scale or options.loss_scale != 1.0 or options.accumulation > 1
        self.scale = _scalar(options.loss_scale, "scale")
        self.good_steps, self.bad_steps = _scalar(0, "good_steps"), _scalar(0, "bad_steps")
        self.accumulates = options.accumulation > 1
        if self.accumulates:
            self.sums = sums or nn.CellList([_GradientSum(group) for group in groups])
        self.share, self.averages = 1.0 / options.world, applies and options.world > 1
        sizes = [[parameter.size for parameter in group.parameters.values()] for group in groups]
        self.buckets = nn.CellList(averaging_buckets(sizes) if self.averages else joining_buckets(sizes))
        if applies:
            self.optimizers = nn.CellList([Adam(group, own) for group, own in zip(groups, self.buckets, strict=True)])
        self.statistics, self.buffers = ms.ParameterTuple(kept[0]), tuple(kept[1])
        self.finite = _scalar(1, "finite")
        self.saturates = options.saturates_at > 0
        if self.saturates:
            self.overflow = OverflowMark(options.saturates_at, ms.get_context("device_target") == "Ascend")
        # without a loss scale the backward pass begins with this device's share of the mean, which costs nothing
        self.begins_with_share = self.averages and not self.rescales
        self.share_value = _scalar(self.share, "share")
        if self.averages:
            self.average = Average(self.buckets)
        elif options.world > 1:
            self.all_reduce = ops.AllReduce()
        # compiled loops nest a call for each turn, so everything that runs over all parameters is a map
        self.map, self.half_square = ops.HyperMap(), half_square()

    def construct(self, *inputs: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        scale, before = self.share_value.value() if self.begins_with_share else self.scale.value(), ()
        if len(self.statistics) > 0:
            # copied before the forward pass changes them
            before = self.map(_copy, self.statistics)
            scale = ops.depend(scale, before)
        if self.saturates:
            scale, inputs = self.overflow.clear(scale, inputs)
        losses, gradients, outputs = self.gradients(scale, *inputs)
        if self.saturates:
            gradients = self.overflow(losses, gradients)
        losses, ready = self._mean(losses, self._joined(gradients))
        norms = ()
        for i in range(self.n_groups):
            norms = norms + (self._norm(ready[i]),)
        norms = ops.stack(norms)
        finite = self._finite(losses, norms)
        losses = ops.depend(losses, self._revert(before, finite))
        if self.applies:
            self._count(finite)
            losses = ops.depend(losses, self._update(ready, norms, finite))
            if self.accumulates:
                for total in self.sums:
                    # the result must depend on the map, or the compiler removes it
                    losses = ops.depend(losses, total.clear())
        return losses, norms, outputs

    def _joined(self, gradients: tuple[tuple[Tensor, ...], ...]) -> tuple[tuple[Tensor, ...], ...]:
        """Buckets of every group, without the loss scale; of the sums where steps are accumulated."""
        factor = 1.0 / (self.scale.value() * self.options.accumulation)
        if self.averages and not self.accumulates:
            factor = factor * self.share
        joined = ()
        for i in range(self.n_groups):
            group = gradients[i]
            if self.accumulates:
                group = self.sums[i](factor, group)
            group = self.buckets[i].join(group)
            if self.rescales and not self.accumulates:
                group = self.map(ops.partial(_times, factor), group)
            elif self.rescales and self.averages:
                group = self.map(ops.partial(_times, self.share), group)
            joined = joined + (group,)
        return joined

    def _mean(
        self, losses: Tensor, joined: tuple[tuple[Tensor, ...], ...]
    ) -> tuple[Tensor, tuple[tuple[Tensor, ...], ...]]:
        """Means over all devices: of the losses, and before an update of the buckets, which hold shares of theirs."""
        if self.options.world == 1:
            return losses, joined
        if self.averages:
            losses, joined = self.average(losses, joined)
        else:
            losses = self.all_reduce(losses)
        return losses * self.share, joined

    def _finite(self, losses: Tensor, norms: Tensor) -> Tensor:
        """Whether everything is: a bool tensor (), equal on all devices before an update."""
        finite = ops.logical_and(ops.isfinite(losses).all(), ops.isfinite(norms).all())
        if self.saturates:
            finite = ops.logical_and(finite, (norms < LARGEST_NORM).all())
        return finite

    def _revert(self, before: tuple[Tensor, ...], finite: Tensor) -> tuple:
        """Restore running statistics and buffers after the forward pass of a bad step."""
        done = (finite,)
        if len(self.statistics) > 0:
            done = done + (self.map(ops.partial(_keep, finite), self.statistics, before),)
        for buffer in self.buffers:
            done = done + (buffer.revert(finite),)
        return done

    def counters(self) -> dict[str, Parameter]:
        """Loss scale and overflow counts, for checkpoints."""
        return {"scale": self.scale, "good_steps": self.good_steps, "bad_steps": self.bad_steps}

    def _norm(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Global L2 norm; infinite or NaN as soon as one element is."""
        return ops.sqrt(2.0 * ops.stack(self.map(self.half_square, gradients)).sum())

    def _count(self, finite: Tensor) -> None:
        """Count consecutive bad steps on the device and update the dynamic loss scale."""
        ops.assign(self.finite, finite.astype(ms.float32))
        good = ops.select(finite, self.good_steps + 1.0, ops.zeros_like(self.good_steps))
        ops.assign(self.bad_steps, ops.select(finite, ops.zeros_like(self.bad_steps), self.bad_steps + 1.0))
        if self.options.dynamic_loss_scale:
            grown = good >= self.options.scale_window
            # a scale that was given above the bound stays
            doubled = ops.maximum(ops.minimum(self.scale * 2.0, LARGEST_SCALE), self.scale * 1.0)
            scale = ops.select(grown, doubled, self.scale * 1.0)
            ops.assign(self.scale, ops.select(finite, scale, ops.maximum(scale * 0.5, ops.ones_like(scale))))
            good = ops.select(grown, ops.zeros_like(good), good)
        ops.assign(self.good_steps, good)

    def _update(self, ready: tuple, norms: Tensor, finite: Tensor) -> Tensor:
        shrinks = self._shrinks(norms) if self.options.clip_norm > 0 else None
        done = ()
        for i in range(self.n_groups):
            shrink = None if shrinks is None else shrinks[i]
            done = done + (self.optimizers[i](ready[i], finite, shrink),)
        return ops.stack(done)

    def _shrinks(self, norms: Tensor) -> Tensor:
        """The factor of each group's gradients, below 1 where their norm is larger than allowed."""
        if self.options.clip_jointly:
            norms = ops.ones_like(norms) * ops.sqrt((norms * norms).sum())
        return ops.minimum(self.options.clip_norm / (norms + 1e-6), ops.ones_like(norms))


class _GradientSum(nn.Cell):
    """Running sum of one group's gradients; training state while an accumulation is under way."""

    def __init__(self, group: UpdateGroup):
        super().__init__()
        self.names = list(group.parameters)
        self.totals = ms.ParameterTuple(
            [
                Parameter(Tensor(np.zeros(p.shape, np.float32)), name=f"sum.{name}", requires_grad=False)
                for name, p in group.parameters.items()
            ]
        )
        self.map = ops.HyperMap()

    def construct(self, factor: Tensor, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return self.map(ops.partial(_add_to, factor), self.totals, gradients)

    def clear(self) -> tuple[Tensor, ...]:
        return self.map(_clear, self.totals)


def _copy(parameter: Parameter) -> Tensor:
    # a product, because the bare parameter may be read after it has changed
    return parameter * 1.0


def _keep(finite: Tensor, parameter: Parameter, before: Tensor) -> Tensor:
    return ops.assign(parameter, ops.select(finite, parameter * 1.0, before))


def _times(factor: Tensor, gradient: Tensor) -> Tensor:
    return gradient * factor


def _add_to(factor: Tensor, total: Parameter, gradient: Tensor) -> Tensor:
    return ops.assign(total, total + gradient * factor)


def _clear(total: Parameter) -> Tensor:
    return ops.assign(total, ops.zeros_like(total))


def _scalar(value: float, name: str) -> Parameter:
    return Parameter(Tensor(value, ms.float32), name=name, requires_grad=False)
