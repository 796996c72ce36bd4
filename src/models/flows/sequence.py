"""Sequences of invertible ops, with three trade-offs of memory and time in the backward pass."""

__all__ = ["MEMORY_MODES", "Sequence"]

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..reuse import compile_once
from .op import InvertibleOp
from .primitives import zeros_like

MEMORY_MODES = ("recompute", "reconstruct", "store")


class _Reversible(nn.Cell):
    """A sequence as one Cell with its own backward pass, which rebuilds every input from the output.

    It receives all weights in one tuple: MindSpore allows neither Parameters nor a variable number of arguments in a
    compiled ``bprop``. For the same reason the sequence is kept in a list, so that it is not a child of this Cell.
    """

    def __init__(self, sequence: "Sequence"):
        super().__init__()
        self.sequence = [sequence]
        self.steps = list(sequence.flows)
        self.offsets = sequence.offsets + (len(sequence.weights()),)
        self.grad = ops.GradOperation(get_all=True, sens_param=True)

    def construct(self, x: Tensor, condition: Tensor, weights: tuple) -> tuple[Tensor, Tensor]:
        return self.sequence[0].transform(x, condition, weights)

    def bprop(
        self, x: Tensor, condition: Tensor, weights: tuple, out: tuple, dout: tuple
    ) -> tuple[Tensor, Tensor, tuple]:
        y, dy, dlogdet = out[0], dout[0], dout[1]
        dcondition, dweights = zeros_like(condition), ()
        for back in range(len(self.steps)):
            index = len(self.steps) - 1 - back
            own = weights[self.offsets[index] : self.offsets[index + 1]]
            x = self.steps[index].invert(y, condition, own)
            grads = self.grad(self.steps[index].transform_with)(x, condition, *own, (dy, dlogdet))
            dy, dcondition, dweights = grads[0], dcondition + grads[1], grads[2:] + dweights
            # Without this edge a compiled graph may rebuild every input before it uses the first.
            y = ops.depend(x, dy)
        return dy, dcondition, dweights


class Sequence(InvertibleOp):
    """Invertible ops applied one after the other, all with the same condition; their log-determinants add up.

    ``memory`` selects what is kept for the backward pass:

    * ``recompute`` (default): the input of every op; the op is computed again when its gradient is needed.
    * ``reconstruct``: nothing but the output; every input is rebuilt by inverting the op. Float32 rounding grows with
      depth and with the condition of the ops: measure it with :meth:`drift` before trusting the gradients.
    * ``store``: everything, as ordinary automatic differentiation does. Fastest, and memory grows with depth.

    Cost over one forward and one backward pass: ``recompute`` adds a forward pass, ``reconstruct`` an inverse as well.

    ``alike``: the steps differ in their weights alone, so that one of them is compiled for all.
    """

    def __init__(self, steps: list[InvertibleOp], memory: str = "recompute", alike: bool = False):
        super().__init__()
        if memory not in MEMORY_MODES:
            raise ValueError(f"memory {memory!r} is not one of {MEMORY_MODES}")
        self.flows = nn.CellList(steps)
        counts = [len(step.weights()) for step in steps]
        #: index of each step's first weight
        self.offsets = tuple(sum(counts[:i]) for i in range(len(counts)))
        self.memory = memory
        for step in steps:
            step.bind()
        if memory == "reconstruct":
            self.reversible = _Reversible(self)
        if memory == "recompute":
            for step in steps:
                step.recompute()
        if alike:
            compile_once(steps)

    def weights(self) -> tuple[Parameter, ...]:
        out = ()
        for flow in self.flows:
            out = out + flow.weights()
        return out

    def transform(self, x: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> tuple[Tensor, Tensor]:
        total = None
        for i in range(len(self.offsets)):
            x, logdet = self.flows[i].transform(x, condition, weights, at + self.offsets[i])
            total = logdet if i == 0 else total + logdet
        return x, total

    def invert(self, y: Tensor, condition: Tensor | None, weights: tuple, at: int = 0) -> Tensor:
        for back in range(len(self.offsets)):
            i = len(self.offsets) - 1 - back
            y = self.flows[i].invert(y, condition, weights, at + self.offsets[i])
        return y

    def construct(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.memory == "reconstruct":
            if condition is None:
                # An op that takes no condition ignores this input. It cannot be a constant: compiled gradients with
                # respect to "all" inputs leave constants out.
                condition = ops.stop_gradient(x[:1, :1, :1, :1])
            return self.reversible(x, condition, self.own_weights())
        total = None
        for i in range(len(self.offsets)):
            x, logdet = self.flows[i](x, condition)
            total = logdet if i == 0 else total + logdet
        return x, total

    def initialise(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        for flow in self.flows:
            x = flow.initialise(x, condition)
        return x

    def drift(self, x: Tensor, condition: Tensor | None = None) -> list[float]:
        """Error of the inputs rebuilt from the last output, op by op from the last to the first.

        Each entry is the largest absolute difference over the largest absolute value, infinite where a value is not
        finite; the last entry is that of the input of the whole sequence, the number to compare with a tolerance.
        """
        inputs = []
        for flow in self.flows:
            inputs.append(x)
            x = flow.transform(x, condition, flow.own_weights())[0]
        errors = []
        for flow, true in zip(reversed(list(self.flows)), reversed(inputs), strict=True):
            x = flow.inverse(x, condition)
            error = np.abs((x - true).asnumpy()).max() / max(np.abs(true.asnumpy()).max(), 1e-12)
            # comparisons with NaN are false, so a maximum over ops or levels would lose it
            errors.append(float(error) if np.isfinite(error) else np.inf)
        return errors

    def first_failure(self, x: Tensor, condition: Tensor | None = None) -> str | None:
        """Name the first op, from the input on, with a result that is not finite; None if there is none."""
        for index, flow in enumerate(self.flows):
            if isinstance(flow, Sequence):
                inner = flow.first_failure(x, condition)
                if inner:
                    return f"flow {index}, {inner}"
                x = flow.transform(x, condition, flow.own_weights())[0]
                continue
            y, logdet = flow.transform(x, condition, flow.own_weights())
            for what, value in (("output", y), ("log-determinant", logdet)):
                if not np.isfinite(value.asnumpy()).all():
                    return f"{flow.describe(logdet)} ({what} not finite)"
            x = y
        return None
