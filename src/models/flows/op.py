"""The contracts of an invertible op and of a network inside one."""

__all__ = ["Inverse", "InvertibleOp", "Net"]

from mindspore import Parameter, Tensor, nn


class Net(nn.Cell):
    """A Cell that is a pure function of its input and of an explicit tuple of weights.

    MindSpore forbids Parameters inside a custom backward pass in compiled code, so every part of a sequence that
    rebuilds its inputs (:class:`src.models.flows.sequence.Sequence`) computes with the weights that it is given:
    ``compute(x, weights, at)`` reads them from the tuple ``weights``, from index ``at`` on. Called as an ordinary Cell
    it uses the Parameters that it holds.
    """

    def weights(self) -> tuple[Parameter, ...]:
        """Every Parameter that ``compute`` expects, in its order."""
        return ()

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        """The result for input ``x`` with the weights from ``weights[at]`` on."""
        raise NotImplementedError

    def initialise(self, x: Tensor) -> Tensor:
        """Set the data-dependent parameters from the first batch ``x``; returns the result for the next net."""
        return self.compute(x, self.weights())

    def construct(self, x: Tensor) -> Tensor:
        return self.compute(x, self.weights())


class InvertibleOp(nn.Cell):
    """One invertible op on an image-shaped tensor, with an optional condition.

    * ``construct(x, condition=None) -> (y, logdet)``: ``x`` and ``y`` (N, C, H, W) float32 (C, H, W may change, C*H*W
      may not), ``logdet`` (N,) in nats: for every sample ``log |det dy/dx|``, never a mean over the batch.
    * ``inverse(y, condition=None) -> x`` in a single pass, with the same condition.
    * ``initialise(x, condition=None) -> y`` runs once, outside any graph, before the first step: ops with
      data-dependent parameters set them from ``x``.

    A subclass writes ``weights``, ``transform`` and ``invert``; the last two are pure functions of their arguments (see
    :class:`Net`), so that one sequence can run them plainly, recompute them or rebuild their inputs.
    """

    #: set by :meth:`bind`
    bound: tuple | None = None

    def weights(self) -> tuple[Parameter, ...]:
        """Every Parameter that ``transform`` and ``invert`` expect, in their order."""
        return ()

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        """``(y, logdet)`` with the weights from ``weights[at]`` on."""
        raise NotImplementedError

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        """The ``x`` whose transform is ``y``."""
        raise NotImplementedError

    def transform_with(self, x: Tensor, condition: Tensor | None, *weights: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`transform` as a function of separate tensors, as differentiation needs it."""
        return self.transform(x, condition, weights)

    def bind(self) -> None:
        """Store :meth:`weights`: compiling is much faster when they need not be collected through every layer."""
        # Not through nn.Cell, which would register the tuple as Parameters of this Cell and rename them.
        object.__setattr__(self, "bound", self.weights())

    def own_weights(self) -> tuple:
        """The Parameters this op holds."""
        if self.bound is None:
            return self.weights()
        return self.bound

    def construct(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.transform(x, condition, self.own_weights())

    def inverse(self, y: Tensor, condition: Tensor | None = None) -> Tensor:
        """The ``x`` whose image is ``y``."""
        return self.invert(y, condition, self.own_weights())

    def initialise(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Set the data-dependent parameters from the first batch ``x``; returns ``y`` for the next op."""
        return self.transform(x, condition, self.own_weights())[0]

    def describe(self, logdet: Tensor) -> str:
        """Name of this op for a message about its result."""
        return type(self).__name__.strip("_")


class Inverse(nn.Cell):
    """The inverse of an op as a Cell of its own, which compiled modes need."""

    def __init__(self, op: nn.Cell):
        super().__init__()
        self.op = op

    def construct(self, y: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.op.inverse(y, condition)
