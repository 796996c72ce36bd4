"""The 1x1 level: a prior over the top latent in parts, and the style network it feeds."""

__all__ = ["PartitionedTop", "StyleNetwork"]

from itertools import accumulate

from mindspore import Tensor, nn, ops

from .architecture import TopOptions
from .layers import EqualConv, EqualLinear
from .steps import point_chain


class StyleNetwork(nn.Cell):
    """Six layers from the (N, width, 1, 1) top latent to the (N, out_channels) style vector."""

    def __init__(self, width: int, out_channels: int, lr: float):
        super().__init__()
        self.fc1 = EqualLinear(width, out_channels, lr)
        self.fc_rest = nn.CellList([EqualLinear(out_channels, out_channels, lr) for _ in range(5)])

    def construct(self, t: Tensor) -> Tensor:
        x = self.fc1(t.reshape(t.shape[0], -1))
        for layer in self.fc_rest:
            x = layer(x)
        return x


class PartitionedTop(nn.Cell):
    """p(t_0) p(t_1 | t_0) ...: a flow for each part, conditioned on a 1x1 convolution of the parts before it.

    Maps are (N, channels, 1, 1), log-determinants (N,).
    """

    def __init__(self, options: TopOptions):
        super().__init__()
        o = options
        self.parts = o.parts
        self.channels = list(o.channels)

        def chain(i: int) -> nn.Cell:
            condition = o.condition_channels[i] if i else 0
            return point_chain(o.channels[i], o.layers[i], o.coupling_channels[i], condition, o.mix_scale, o.unitary)

        self.endblock_uncond = chain(0)
        self.conditionals = nn.CellList([chain(i) for i in range(1, o.parts)])
        before = list(accumulate(o.channels))[:-1]
        self.cond_encoders = nn.CellList(
            [EqualConv(c, w, 1, activation="linear") for c, w in zip(before, o.condition_channels[1:], strict=True)]
        )

    def split(self, t: Tensor) -> tuple[Tensor, ...]:
        """(N, width, 1, 1) into its parts."""
        if self.parts == 1:
            return (t,)
        return ops.split(t, self.channels, 1)

    def construct(self, t: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        parts = self.split(t)
        return self.encode(parts, parts)

    def encode(
        self, parts: tuple[Tensor, ...], conditions: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Latents and log-determinants of ``parts``; each is conditioned on the ``conditions`` before it."""
        z, logdet = self.endblock_uncond(parts[0])
        latents, logdets, known = (z,), (logdet,), conditions[0]
        for i in range(1, self.parts):
            z, logdet = self.conditionals[i - 1](parts[i], self.cond_encoders[i - 1](known))
            latents, logdets = (*latents, z), (*logdets, logdet)
            known = ops.cat((known, conditions[i]), 1)
        return latents, logdets

    def generate(self, latents: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Latents of the parts to (N, width, 1, 1) and the log-determinants of this direction."""
        known, logdet = self.endblock_uncond.generate(latents[0])
        logdets = (logdet,)
        for i in range(1, self.parts):
            part, logdet = self.conditionals[i - 1].generate(latents[i], self.cond_encoders[i - 1](known))
            known, logdets = ops.cat((known, part), 1), (*logdets, logdet)
        return known, logdets
