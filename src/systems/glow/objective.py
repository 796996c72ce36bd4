"""The training objective of conditional flows: bits per dimension of the target and of the condition."""

__all__ = ["FlowGradients", "FlowLoss", "FlowObjective"]

from collections.abc import Mapping

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ...contracts.objective import Objective, UpdateGroup
from ...contracts.round_trip import eagerly
from ...models.glow.directions import Encode
from ...models.glow.network import ConditionalFlow
from ...utils.errors import UserError
from .inputs import network_inputs

Batch = dict[str, np.ndarray]
#: ops with free parameters, by the ends of their names, and why they fail
_REASONS = {
    "InvertibleConv": ", whose 1x1 matrix is singular",
    "LogActNorm": "",
    "ExpActNorm": "",
    "ActNorm": ", whose scale has gone through zero",
}


class FlowLoss(nn.Cell):
    """``bits(x_b | x_a) + reg_factor * bits(x_a)``, means over the batch, in bits per dimension.

    ``construct(scale, x_a, x_b, boundary) -> (scale * total, losses)`` with ``losses`` the vector (total, bits of the
    condition, bits of the target). Networks that do not model the condition have only the last of the three.
    """

    def __init__(self, network: ConditionalFlow, reg_factor: float):
        super().__init__()
        self.encode, self.reg_factor = Encode(network), reg_factor
        self.models_condition = network.models_condition

    def construct(self, scale: Tensor, x_a: Tensor, x_b: Tensor, boundary: Tensor) -> tuple[Tensor, Tensor]:
        bits_a, bits_b, _ = self.encode(x_a, x_b, boundary)
        left, right = bits_a.mean(), bits_b.mean()
        if self.models_condition:
            total = self.reg_factor * left + right
            return scale * total, ops.stack((total, left, right))
        return scale * right, ops.stack((right,))


class FlowGradients(nn.Cell):
    """See :meth:`src.contracts.objective.Objective.gradients`; one backward pass serves all groups."""

    def __init__(self, loss: FlowLoss, groups: tuple[UpdateGroup, ...]):
        super().__init__()
        counts = [len(group.parameters) for group in groups]
        self.ends = tuple(sum(counts[: i + 1]) for i in range(len(counts)))
        weights = ParameterTuple([p for group in groups for p in group.parameters.values()])
        self.of_loss = ms.value_and_grad(loss, None, weights, has_aux=True)

    def construct(
        self, scale: Tensor, x_a: Tensor, x_b: Tensor, boundary: Tensor
    ) -> tuple[Tensor, tuple[tuple[Tensor, ...], ...], tuple[()]]:
        (_, losses), gradients = self.of_loss(scale, x_a, x_b, boundary)
        grouped, begin = (), 0
        for end in self.ends:
            grouped = grouped + (gradients[begin:end],)
            begin = end
        return losses, grouped, ()


class FlowObjective(Objective):
    """Maximum likelihood of images that were reduced to 8 bits and are dequantised anew in every step.

    Args:
        network: the flow.
        parameters: trained parameters, under structural names prefixed with the network's name.
        reg_factor: weight of the condition's own bits per dimension.
        lr, beta1, beta2: parameters of Adam.
        seed: seed of the noise.
        drift_freq: steps between checks of the inputs that the backward pass rebuilds; 0 where it rebuilds none.
        drift_tolerance: largest relative error of a rebuilt input.
        safeguards: options that keep all ops of such a network invertible, for messages; empty if there are none.
    """

    #: sums of weights are a separate group, because their learning rate differs
    clips_jointly = True

    def __init__(
        self,
        network: ConditionalFlow,
        parameters: Mapping[str, Parameter],
        *,
        reg_factor: float,
        lr: float,
        beta1: float,
        beta2: float,
        seed: int,
        drift_freq: int = 0,
        drift_tolerance: float = 0.0,
        safeguards: str = "",
    ):
        super().__init__()
        self.network, self.parameters, self.reg_factor, self.seed = network, parameters, reg_factor, seed
        self.lr, self.betas = lr, {"beta1": beta1, "beta2": beta2}
        self.drift_freq, self.drift_tolerance, self.safeguards = drift_freq, drift_tolerance, safeguards
        self.loss_names = ("total", "bits_condition", "bits") if network.models_condition else ("bits",)

    def inputs(self, batch: Batch, step: int = 0) -> tuple[np.ndarray, ...]:
        inputs = network_inputs(self.network, batch, (self.seed, step))
        if self.drift_freq and step % self.drift_freq == 0:
            self._check_drift(inputs)
        return tuple(inputs)

    def _check_drift(self, inputs: list[np.ndarray]) -> None:
        """Raise ``UserError`` where rebuilt inputs are too far from the true ones for good gradients."""
        errors = eagerly(self.network.reconstruction_errors, inputs)
        worst = max(errors, key=errors.get)
        if errors[worst] > self.drift_tolerance:
            raise UserError(
                f"rebuilding the inputs of {worst} from its output is off by {errors[worst]:.1e}, more than "
                f"drift_tolerance {self.drift_tolerance:.0e}: gradients would be wrong. Train with "
                "--reconstruct False --recompute True" + self._or_from_the_start()
            )

    def _or_from_the_start(self) -> str:
        return f", or with {self.safeguards} from the start" if self.safeguards else ""

    def groups(self, epoch: int) -> tuple[UpdateGroup, ...]:
        """One group, and one of the :meth:`ConditionalFlow.sums` where the network has any.

        Adam moves every weight by about the rate, however large its gradient. So a sum of equally placed weights moves
        that far times their number, and takes a rate so much higher where one weight stands for it.
        """
        sums = {id(p) for p in self.network.sums()}
        ordinary = {name: p for name, p in self.parameters.items() if id(p) not in sums}
        groups = (UpdateGroup("glow", ordinary, self.lr, **self.betas),)
        if sums:
            summed = {name: p for name, p in self.parameters.items() if id(p) in sums}
            groups += (UpdateGroup("sums", summed, self.lr * self.network.terms, **self.betas),)
        return groups

    def gradients(self, groups: tuple[UpdateGroup, ...]) -> nn.Cell:
        return FlowGradients(FlowLoss(self.network, self.reg_factor), groups)

    def initialise(self, batch: Batch) -> None:
        eagerly(self.network.initialise, network_inputs(self.network, batch, (self.seed, 0)))

    def explain_failure(self, batch: Batch, step: int = 0) -> str:
        """Name the first op whose result on this batch is not finite, and the remedy."""
        place = eagerly(self.network.first_failure, network_inputs(self.network, batch, (self.seed, step)))
        if place is None:
            return "On this batch every op is finite: it is a gradient that is not."
        reason = next((reason for op, reason in _REASONS.items() if f"{op} (" in place), "")
        return f"The first of them is in {place}{reason}. Train with a lower --lr{self._or_from_the_start()}."
