"""Two flows side by side, the right one conditioned op by op on the left one."""

__all__ = ["TwinOp", "conditions_of"]

from mindspore import Tensor, nn, ops

from src.models.flows import InvertibleOp


class TwinOp(InvertibleOp):
    """Op-to-op conditioning (Sorkhei et al. 2021, section 3.2) as one invertible op on a pair of activations.

    ``x`` is (N, 2C, H, W): the left activation, then the right one. The left op takes the first alone; the right op
    takes the second with the left op's OUTPUT as its condition, to which the condition of the pair (a boundary map)
    is joined if ``conditional``. Because the left output is part of ``y``, the pair can be inverted, so a sequence of
    these needs to keep nothing: neither activations nor conditions.

    ``logdet`` is (N, 2): one column for the left op, one for the right. Their sum is that of the pair.
    """

    def __init__(self, left: InvertibleOp, right: InvertibleOp, conditional: bool = False):
        super().__init__()
        self.left, self.right, self.conditional = left, right, conditional
        self.left_weights = len(left.weights())

    def weights(self):
        return self.left.weights() + self.right.weights()

    def right_condition(self, left_output: Tensor, condition: Tensor | None) -> Tensor:
        """What the right op sees of the left one."""
        if self.conditional:
            return ops.cat((left_output, condition), 1)
        return left_output

    def transform(self, x: Tensor, condition: Tensor | None, *weights: Tensor):
        c = x.shape[1] // 2
        left, left_logdet = self.left.transform(x[:, :c], None, *weights[: self.left_weights])
        given = self.right_condition(left, condition)
        right, right_logdet = self.right.transform(x[:, c:], given, *weights[self.left_weights :])
        return ops.cat((left, right), 1), ops.stack((left_logdet, right_logdet), 1)

    def invert(self, y: Tensor, condition: Tensor | None, *weights: Tensor):
        c = y.shape[1] // 2
        given = self.right_condition(y[:, :c], condition)
        right = self.right.invert(y[:, c:], given, *weights[self.left_weights :])
        left = self.left.invert(y[:, :c], None, *weights[: self.left_weights])
        return ops.cat((left, right), 1)

    def initialise(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        c = x.shape[1] // 2
        left = self.left.initialise(x[:, :c])
        right = self.right.initialise(x[:, c:], self.right_condition(left, condition))
        return ops.cat((left, right), 1)


def conditions_of(flows: list[nn.Cell], left: Tensor, condition: Tensor | None) -> tuple[Tensor, tuple]:
    """Run the left halves of a block's twin ops: its output, and the condition of every right op in order."""
    conditions = ()
    for flow in flows:
        for op in flow.flows:
            left, _ = op.left(left)
            conditions = conditions + (op.right_condition(left, condition),)
    return left, conditions
