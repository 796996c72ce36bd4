"""The moving average of a network's weights."""

__all__ = ["Average"]

from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ..parameters import named_parameters


class Average(nn.Cell):
    """``construct(decay)``: every parameter of ``average`` becomes decay * itself + (1 - decay) * the trained one.

    The result is ``decay`` once all are done.
    """

    def __init__(self, trained: nn.Cell, average: nn.Cell):
        super().__init__()
        sources, targets = named_parameters(trained), named_parameters(average)
        self.sources = ParameterTuple(sources.values())
        self.targets = ParameterTuple(targets[name] for name in sources)
        self.map = ops.HyperMap()

    def construct(self, decay: Tensor) -> Tensor:
        # the result must depend on the map: the compiler removes a map whose result is unused, with its assignments
        return ops.depend(decay, self.map(ops.partial(_follow, decay), self.targets, self.sources))


def _follow(decay: Tensor, target: Parameter, source: Parameter) -> Tensor:
    return ops.assign(target, target * decay + source * (1.0 - decay))
