"""The two directions of a conditional flow as Cells: images to latents with their likelihood, latents to images."""

__all__ = ["Decode", "Encode"]

from mindspore import Tensor, nn, ops

from .likelihood import bits_per_dimension
from .network import ConditionalFlow


class Encode(nn.Cell):
    """``construct(x_a, x_b, boundary) -> (bits_a, bits_b, latents)``.

    ``bits_a`` and ``bits_b`` are bits per dimension of the condition and of the target, (N,) each, the first zero where
    the condition is not modelled; ``latents`` are the target's raw ones, one tensor a level. ``boundary`` is ignored by
    networks without boundary maps.
    """

    def __init__(self, network: ConditionalFlow):
        super().__init__()
        self.network = network

    def construct(self, x_a: Tensor, x_b: Tensor, boundary: Tensor) -> tuple[Tensor, Tensor, tuple]:
        log_p_a, logdet_a, log_p_b, logdet_b, latents = self.network(x_a, x_b, boundary)
        bits_b = bits_per_dimension(log_p_b + logdet_b, self.network.dimensions)
        bits_a = ops.zeros_like(bits_b)
        if self.network.models_condition:
            bits_a = bits_per_dimension(log_p_a + logdet_a, self.network.condition_dimensions)
        return bits_a, bits_b, latents


class Decode(nn.Cell):
    """``construct(x_a, boundary, raw, *latents) -> x_b``, see :class:`ConditionalFlow`."""

    def __init__(self, network: ConditionalFlow):
        super().__init__()
        self.network = network

    def construct(self, x_a: Tensor, boundary: Tensor, raw: Tensor, *latents: Tensor) -> Tensor:
        # one argument a level: a compiled graph takes the values of a tuple for constants
        return self.network.decode(x_a, latents, raw, boundary)
