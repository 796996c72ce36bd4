"""The objective of a conditional flow and its gradient."""

__all__ = ["FlowGradients", "FlowObjective"]

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.models.glow.likelihood import bits_per_dimension
from src.models.glow.network import ConditionalFlow


class FlowObjective(nn.Cell):
    """``bits(x_b | x_a) + reg_factor * bits(x_a)``, means over the batch, in bits per dimension.

    ``construct(scale, x_a, x_b, boundary) -> (scale * total, losses)`` with ``losses`` the vector (total,
    bits of the condition, bits of the target). Networks that do not model the condition have no second term;
    ``boundary`` is ignored by networks without boundary maps.
    """

    def __init__(self, network: ConditionalFlow, reg_factor: float):
        super().__init__()
        self.network, self.reg_factor = network, reg_factor
        self.models_condition = network.models_condition

    def bits(self, x_a: Tensor, x_b: Tensor, boundary: Tensor) -> tuple[Tensor, Tensor, tuple]:
        """Bits per dimension of the condition and of the target, (N,) each, and the target's raw latents."""
        log_p_a, logdet_a, log_p_b, logdet_b, latents = self.network(x_a, x_b, boundary)
        bits_b = bits_per_dimension(log_p_b + logdet_b, self.network.dimensions)
        bits_a = ops.zeros_like(bits_b)
        if self.models_condition:
            bits_a = bits_per_dimension(log_p_a + logdet_a, self.network.condition_dimensions)
        return bits_a, bits_b, latents

    def construct(self, scale: Tensor, x_a: Tensor, x_b: Tensor, boundary: Tensor):
        bits_a, bits_b, _ = self.bits(x_a, x_b, boundary)
        left, right = bits_a.mean(), bits_b.mean()
        if self.models_condition:
            total = self.reg_factor * left + right
            return scale * total, ops.stack((total, left, right))
        return scale * right, ops.stack((right,))


class FlowGradients(nn.Cell):
    """See :meth:`src.models.system.System.gradients`."""

    def __init__(self, objective: FlowObjective, parameters: ms.ParameterTuple):
        super().__init__()
        self.of_objective = ms.value_and_grad(objective, None, parameters, has_aux=True)

    def construct(self, scale, x_a, x_b, boundary):
        (_, losses), gradients = self.of_objective(scale, x_a, x_b, boundary)
        return losses, (gradients,), ()
