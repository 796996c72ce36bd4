"""Adam with PyTorch's epsilon, as one fused kernel a parameter."""

__all__ = ["Adam"]

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ..contracts.objective import UpdateGroup
from .buckets import Buckets


class Adam(nn.Cell):
    """Kingma and Ba 2015, algorithm 1, over one :class:`UpdateGroup`: ``construct`` steps its parameters.

    ``nn.Adam`` adds epsilon before the bias correction of the second moment, which makes it up to 30 times as large as
    in PyTorch in the first steps. Here epsilon is added where the algorithm adds it, as in published training runs.

    ``learning_rate`` is a Parameter: schedules assign it, in every mode. Moments are kept under the structural names of
    the parameters: see :meth:`state`.

    ``buckets`` says how the gradients were joined; None is one by one.
    """

    def __init__(self, group: UpdateGroup, buckets: Buckets | None = None):
        super().__init__()
        self.names = list(group.parameters)
        sizes = [parameter.size for parameter in group.parameters.values()]
        self.buckets = buckets or Buckets(sizes, [(i, i + 1) for i in range(len(sizes))])
        self.moment1 = ParameterTuple([_zeros(p, f"moment1.{n}") for n, p in group.parameters.items()])
        self.moment2 = ParameterTuple([_zeros(p, f"moment2.{n}") for n, p in group.parameters.items()])
        self.weights = self.buckets.nest(list(group.parameters.values()))
        self.moments1, self.moments2 = self.buckets.nest(self.moment1), self.buckets.nest(self.moment2)
        self.beta1_power = Parameter(Tensor(1.0, ms.float32), name="beta1_power", requires_grad=False)
        self.beta2_power = Parameter(Tensor(1.0, ms.float32), name="beta2_power", requires_grad=False)
        self.learning_rate = Parameter(Tensor(group.lr, ms.float32), name="learning_rate", requires_grad=False)
        self.current_rate = np.float32(group.lr)
        self.beta1, self.beta2 = Tensor(group.beta1, ms.float32), Tensor(group.beta2, ms.float32)
        self._zero, self._half, self._one = (Tensor(value, ms.float32) for value in (0.0, 0.5, 1.0))
        self.eps = group.eps
        self.weight_decay = group.weight_decay
        # a map, because compiled loops nest a call for each turn, and large networks have thousands of parameters
        self.map = ops.HyperMap()

    def construct(self, buckets: tuple[Tensor, ...], finite: Tensor, shrink: Tensor | None = None) -> Tensor:
        """Step every parameter by ``shrink`` times its gradient, or none where ``finite``, a bool tensor (), is false.

        A branch would carry every gradient across, and compiling that takes time quadratic in their number. So the
        kernels always run; on a bad step with decays of 1, a rate of 0 and gradients of 0, which changes no bit.
        """
        beta1, beta2 = ops.select(finite, self.beta1, self._one), ops.select(finite, self.beta2, self._one)
        power1, power2 = self.beta1_power * beta1, self.beta2_power * beta2
        ops.assign(self.beta1_power, power1)
        ops.assign(self.beta2_power, power2)
        # before the first good step both powers are 1, and the kernel would divide by 0
        power1, power2 = ops.select(finite, power1, self._half), ops.select(finite, power2, self._half)
        rate = ops.select(finite, self.learning_rate.value(), self._zero)
        eps = self.eps * ops.sqrt(1.0 - power2)
        bad = ops.logical_not(finite)
        if shrink is not None:
            ready = self.map(ops.partial(_shrunk_unless, bad, shrink), buckets)
        else:
            ready = self.map(ops.partial(_unless, bad), buckets)
        gradients = self.buckets.part(ready)
        if self.weight_decay > 0:
            gradients = self.map(ops.partial(_decayed, self.weight_decay), self.weights, gradients)
        step = ops.partial(_adam_step, power1, power2, rate, beta1, beta2, eps)
        # the result must depend on the map: the compiler removes a map whose result is unused, with its updates
        return ops.depend(power1, self.map(step, self.weights, self.moments1, self.moments2, gradients))

    def set_rate(self, rate: float) -> None:
        """Use ``rate`` from the next step on; it is sent to the device only when it changes."""
        rate = np.float32(rate)
        if self.current_rate != rate:
            ops.assign(self.learning_rate, Tensor(rate, ms.float32))
            self.current_rate = rate

    def state(self) -> dict[str, Parameter]:
        """Everything a resume needs, by name."""
        named = {"beta1_power": self.beta1_power, "beta2_power": self.beta2_power}
        for name, first, second in zip(self.names, self.moment1, self.moment2, strict=True):
            named[f"moment1.{name}"], named[f"moment2.{name}"] = first, second
        return named


_adam = ops.Adam()


def _unless(bad: Tensor, gradient: Tensor) -> Tensor:
    return ops.masked_fill(gradient.astype(ms.float32), bad, 0.0)


def _shrunk_unless(bad: Tensor, shrink: Tensor, gradient: Tensor) -> Tensor:
    return _unless(bad, gradient * shrink)


def _decayed(weight_decay: float, weight: Parameter, gradient: Tensor) -> Tensor:
    return gradient.reshape(weight.shape) + weight_decay * weight


def _adam_step(
    power1: Tensor,
    power2: Tensor,
    learning_rate: Tensor,
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    weight: Parameter,
    moment1: Parameter,
    moment2: Parameter,
    gradient: Tensor,
) -> Tensor:
    gradient = gradient.reshape(weight.shape)
    stepped = _adam(weight, moment1, moment2, power1, power2, learning_rate, beta1, beta2, eps, gradient)
    return ops.depend(power1, stepped)


def _zeros(parameter: Parameter, name: str) -> Parameter:
    return Parameter(Tensor(np.zeros(parameter.shape, np.float32)), name=name, requires_grad=False)
