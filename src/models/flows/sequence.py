"""Many invertible ops in a row, with three ways to pay for their backward pass."""

__all__ = ["MEMORY_MODES", "Sequence"]

import mindspore as ms
from mindspore import Tensor, nn, ops

from src.models.flows.op import InvertibleOp

MEMORY_MODES = ("recompute", "reconstruct", "store")


class _Reversible(nn.Cell):
    """A sequence as one Cell with its own backward pass, which rebuilds every input from the output.

    It is handed all weights in one tuple: MindSpore allows neither Parameters nor a variable number of
    arguments in a compiled ``bprop``. For the same reason the steps sit in a list, where they are not
    children of this Cell.
    """

    def __init__(self, sequence: "Sequence"):
        super().__init__()
        self.sequence = [sequence]
        self.steps, self.counts = list(sequence.flows), sequence.counts
        self.grad = ops.GradOperation(get_all=True, sens_param=True)
        self.zeros_like = ops.ZerosLike()

    def construct(self, x: Tensor, condition: Tensor, weights: tuple) -> tuple[Tensor, Tensor]:
        return self.sequence[0].transform(x, condition, *weights)

    def bprop(self, x, condition, weights, out, dout):
        y, dy, dlogdet = out[0], dout[0], dout[1]
        # The operator, because ops.zeros_like has a branch, which the compiler drops from gradients taken in
        # here.
        dcondition, dweights = self.zeros_like(condition), ()
        last = len(weights)
        for back in range(len(self.steps)):
            index = len(self.steps) - 1 - back
            first = last - self.counts[index]
            own = weights[first:last]
            x = self.steps[index].invert(y, condition, *own)
            grads = self.grad(self.steps[index].transform)(x, condition, *own, (dy, dlogdet))
            dy, dcondition, dweights = grads[0], dcondition + grads[1], grads[2:] + dweights
            # Without this edge a compiled graph may rebuild every input before it uses the first.
            y = ops.depend(x, dy)
            last = first
        return dy, dcondition, dweights


class Sequence(InvertibleOp):
    """Invertible ops applied one after the other, all with the same condition; their log-determinants add up.

    ``memory`` says what the backward pass keeps:

    * ``recompute`` (default): the input of every op; its inside is computed again when its gradient is due.
    * ``reconstruct``: nothing but the output; every input is rebuilt by inverting the op. Float32 rounding
      grows with depth and with the condition of the ops: measure it with :meth:`drift` before trusting the
      gradients.
    * ``store``: everything, as ordinary automatic differentiation does. Fastest, and memory grows with depth.

    Cost over one forward and one backward pass: ``recompute`` adds a forward pass, ``reconstruct`` an inverse
    as well.
    """

    def __init__(self, steps: list[InvertibleOp], memory: str = "recompute"):
        super().__init__()
        if memory not in MEMORY_MODES:
            raise ValueError(f"memory {memory!r} is not one of {MEMORY_MODES}")
        self.flows = nn.CellList(steps)
        self.counts = [len(step.weights()) for step in steps]
        self.memory = memory
        if memory == "reconstruct":
            self.reversible = _Reversible(self)
            self.nothing = Tensor(0.0, ms.float32)
        if memory == "recompute":
            for step in steps:
                step.recompute()

    def weights(self):
        out = ()
        for flow in self.flows:
            out = out + flow.weights()
        return out

    def transform(self, x: Tensor, condition: Tensor | None, *weights: Tensor):
        total, first = None, 0
        for index, flow in enumerate(self.flows):
            last = first + self.counts[index]
            x, logdet = flow.transform(x, condition, *weights[first:last])
            total = logdet if index == 0 else total + logdet
            first = last
        return x, total

    def invert(self, y: Tensor, condition: Tensor | None, *weights: Tensor):
        last = len(weights)
        for back in range(len(self.flows)):
            index = len(self.flows) - 1 - back
            first = last - self.counts[index]
            y = self.flows[index].invert(y, condition, *weights[first:last])
            last = first
        return y

    def construct(self, x: Tensor, condition: Tensor | None = None):
        if self.memory == "reconstruct":
            # An op that takes no condition ignores what it is given, and a backward pass needs tensors.
            return self.reversible(x, self.nothing if condition is None else condition, self.weights())
        total = None
        for index, flow in enumerate(self.flows):
            x, logdet = flow(x, condition)
            total = logdet if index == 0 else total + logdet
        return x, total

    def initialise(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        for flow in self.flows:
            x = flow.initialise(x, condition)
        return x

    def drift(self, x: Tensor, condition: Tensor | None = None) -> list[float]:
        """How far inputs rebuilt from the last output are from the true ones, op by op from the last to the
        first.

        Each entry is the largest absolute difference over the largest absolute value; the last entry is that
        of the input of the whole sequence, the number to compare with a tolerance.
        """
        inputs = []
        for flow in self.flows:
            inputs.append(x)
            x = flow(x, condition)[0]
        errors = []
        for flow, true in zip(reversed(list(self.flows)), reversed(inputs), strict=True):
            x = flow.inverse(x, condition)
            scale = float(ops.abs(true).max().asnumpy())
            errors.append(float(ops.abs(x - true).max().asnumpy()) / max(scale, 1e-12))
        return errors
