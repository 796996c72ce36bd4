"""The base of the three conditional flows: sizes, latents, and a walk through their levels."""

__all__ = ["ConditionalFlow", "Level"]

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from mindspore import Parameter, Tensor, nn

from ..flows import InvertibleConv, Sequence, check_squeezable
from .likelihood import level_shapes

# condition number beyond which no digit of a float32 inverse is correct
_SINGULAR = 1e8


@dataclass(frozen=True)
class Level:
    """A level of a flow during a walk: its ops, its input and its condition."""

    name: str
    flows: Sequence
    x: Tensor
    condition: Tensor | None


class ConditionalFlow(nn.Cell):
    """A multi-scale flow on a target ``x_b`` (N, ``channels``, H, W) given ``x_a`` (N, ``condition_channels``, H, W).

    Images are in [0, 1] and of exactly ``size``. A subclass gives

    * ``construct(x_a, x_b, boundary=None) -> (log_p_a, logdet_a, log_p_b, logdet_b, latents)``: (N,) each, in nats, the
      first two zero where the condition is not modelled, and the raw latents of the target, one tensor a level;
    * ``decode(x_a, latents, raw, boundary=None) -> x_b``: where ``raw`` (n_block,) is 1 a level's latents are taken as
      ``construct`` returned them, where it is 0 they are standard normal noise (times a temperature) to be placed by
      the prior;
    * ``walk(x_a, x_b, boundary)``: its levels one after the other, eagerly.

    Attributes:
        latent_shapes: (C, H, W) of the latents of every level.
        dimensions, condition_dimensions: C*H*W of the target and of the condition.
        models_condition: whether the condition has a likelihood of its own.
        use_bmaps: whether a boundary map is a part of the condition.
        terms: number of weights of the published network that each of :meth:`sums` replaces.
    """

    models_condition = True
    use_bmaps = False
    terms = 1

    def __init__(
        self, size: tuple[int, int], n_flow: list[int], channels: int, condition_channels: int, smallest: int = 1
    ):
        super().__init__()
        check_squeezable(*size, len(n_flow), last=smallest)
        self.size, self.n_block = (size[0], size[1]), len(n_flow)
        self.channels, self.condition_channels = channels, condition_channels
        self.dimensions = channels * size[0] * size[1]
        self.condition_dimensions = condition_channels * size[0] * size[1]
        self.latent_shapes = level_shapes(channels, size, self.n_block)

    def walk(self, x_a: Tensor, x_b: Tensor, boundary: Tensor | None = None) -> Iterator[Level]:
        """Levels in forward order; each is entered only when the one before has been asked for."""
        raise NotImplementedError

    def sums(self) -> list[Parameter]:
        """Parameters that are sums of :attr:`terms` weights of the published network with the same gradient."""
        return []

    def initialise(self, x_a: Tensor, x_b: Tensor, boundary: Tensor | None = None) -> None:
        """Run the data-dependent initialisation of every op, from a first batch, unless it has already run."""
        for level in self.walk(x_a, x_b, boundary):
            level.flows.initialise(level.x, level.condition)

    def reconstruction_errors(self, x_a: Tensor, x_b: Tensor, boundary: Tensor | None = None) -> dict[str, float]:
        """For every level, the worst relative error of an input rebuilt from the level's output; it may be infinite."""
        return {level.name: max(level.flows.drift(level.x, level.condition)) for level in self.walk(x_a, x_b, boundary)}

    def singular_mixing(self) -> str | None:
        """Name a 1x1 mixing whose own matrix has no inverse in float32; None if there is none."""
        for name, cell in self.cells_and_names():
            # a subclass computes its matrix from the condition
            if type(cell) is InvertibleConv:
                matrix = cell.weight.asnumpy()[:, :, 0, 0]
                if not np.isfinite(matrix).all() or np.linalg.cond(matrix) > _SINGULAR:
                    return name
        return None

    def first_failure(self, x_a: Tensor, x_b: Tensor, boundary: Tensor | None = None) -> str | None:
        """Name the first op whose result or log-determinant is not finite on this batch; None if all are."""
        if not all(np.isfinite(x.asnumpy()).all() for x in (x_a, x_b)):
            return "the input images"
        for level in self.walk(x_a, x_b, boundary):
            failure = level.flows.first_failure(level.x, level.condition)
            if failure:
                return f"{level.name}, {failure}"
        return None
