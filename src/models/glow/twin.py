"""Two flows side by side, the right one conditioned op by op on the left one."""

__all__ = ["TwinOp", "conditions_of"]

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..flows import InvertibleOp
from ..flows.primitives import concat, halves


class TwinOp(InvertibleOp):
    """Op-to-op conditioning (Sorkhei et al. 2021, section 3.2) as one invertible op on a pair of activations.

    ``x`` is (N, C, H, W): ``left_channels`` of the left activation, then those of the right one. The left op takes the
    first alone; the right op takes the second with the left op's OUTPUT as its condition, to which the condition of the
    pair (a boundary map) is joined if ``conditional``. Because the left output is part of ``y``, the pair can be
    inverted, so a sequence of these needs to keep nothing: neither activations nor conditions.

    ``logdet`` is (N, 2): one column for the left op, one for the right. Their sum is that of the pair.
    """

    def __init__(self, left: InvertibleOp, right: InvertibleOp, left_channels: int, conditional: bool = False):
        super().__init__()
        self.left, self.right, self.conditional = left, right, conditional
        self.left_channels = left_channels
        self.left_weights = len(left.weights())
        self.stack = ops.Stack(1)
        left.bind()
        right.bind()

    def weights(self) -> tuple[Parameter, ...]:
        return self.left.weights() + self.right.weights()

    def pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The left and the right activation."""
        c = self.left_channels
        if x.shape[1] == 2 * c:
            return halves(x)
        return x[:, :c], x[:, c:]

    def right_condition(self, left_output: Tensor, condition: Tensor | None) -> Tensor:
        """Condition of the right op: the left output, joined with the pair's condition if there is one."""
        if self.conditional:
            return concat((left_output, condition))
        return left_output

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        left, right = self.pair(x)
        left, left_logdet = self.left.transform(left, None, weights, at)
        given = self.right_condition(left, condition)
        right, right_logdet = self.right.transform(right, given, weights, at + self.left_weights)
        return concat((left, right)), self.stack((left_logdet, right_logdet))

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        left, right = self.pair(y)
        given = self.right_condition(left, condition)
        right = self.right.invert(right, given, weights, at + self.left_weights)
        left = self.left.invert(left, None, weights, at)
        return concat((left, right))

    def initialise(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        left, right = self.pair(x)
        left = self.left.initialise(left)
        right = self.right.initialise(right, self.right_condition(left, condition))
        return concat((left, right))

    def describe(self, logdet: Tensor) -> str:
        left_is_fine = np.isfinite(logdet[:, 0].asnumpy()).all()
        side, op = ("right", self.right) if left_is_fine else ("left", self.left)
        return f"{side} {op.describe(logdet)}"


def conditions_of(flows: list[nn.Cell], left: Tensor, condition: Tensor | None) -> tuple[Tensor, tuple]:
    """Run the left halves of a block's twin ops: its output, and the condition of every right op in order."""
    conditions = ()
    for flow in flows:
        for op in flow.flows:
            left, _ = op.left(left)
            conditions = conditions + (op.right_condition(left, condition),)
    return left, conditions
