"""Adam with PyTorch's epsilon, as one fused kernel a parameter."""

__all__ = ["Adam"]

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from src.models.system import UpdateGroup


class Adam(nn.Cell):
    """Kingma and Ba 2015, algorithm 1, over one :class:`UpdateGroup`: ``construct(gradients)`` steps its parameters.

    ``nn.Adam`` adds epsilon before the second moment's bias is taken out, which makes it up to 30 times as large in the
    first steps as in PyTorch. Here epsilon enters where the algorithm has it, so published training runs are met.

    ``learning_rate`` is a Parameter: schedules assign it, in every mode. Moments are kept under the structural names of
    the parameters: see :meth:`state`.
    """

    def __init__(self, group: UpdateGroup):
        super().__init__()
        self.names = list(group.parameters)
        self.weights = tuple(group.parameters.values())
        self.moment1 = ParameterTuple([_zeros(p, f"moment1.{n}") for n, p in group.parameters.items()])
        self.moment2 = ParameterTuple([_zeros(p, f"moment2.{n}") for n, p in group.parameters.items()])
        self.beta1_power = Parameter(Tensor(1.0, ms.float32), name="beta1_power", requires_grad=False)
        self.beta2_power = Parameter(Tensor(1.0, ms.float32), name="beta2_power", requires_grad=False)
        self.learning_rate = Parameter(Tensor(group.lr, ms.float32), name="learning_rate", requires_grad=False)
        self.beta1, self.beta2, self.eps = group.beta1, group.beta2, group.eps
        self.weight_decay = group.weight_decay
        # a map, because compiled loops nest a call for each turn, and large networks have thousands of parameters
        self.map = ops.HyperMap()

    def construct(self, gradients: tuple[Tensor, ...]) -> Tensor:
        power1 = self.beta1_power * self.beta1
        power2 = self.beta2_power * self.beta2
        ops.assign(self.beta1_power, power1)
        ops.assign(self.beta2_power, power2)
        eps = self.eps * ops.sqrt(1.0 - power2)
        if self.weight_decay > 0:
            gradients = self.map(ops.partial(_decayed, self.weight_decay), self.weights, gradients)
        step = ops.partial(_adam_step, power1, power2, self.learning_rate, self.beta1, self.beta2, eps)
        # the result must hang on the map: the compiler drops a map whose result nobody uses, updates and all
        return ops.depend(power1, self.map(step, self.weights, self.moment1, self.moment2, gradients))

    def state(self) -> dict[str, Parameter]:
        """Everything a resume needs, by name."""
        named = {"beta1_power": self.beta1_power, "beta2_power": self.beta2_power}
        for name, first, second in zip(self.names, self.moment1, self.moment2, strict=True):
            named[f"moment1.{name}"], named[f"moment2.{name}"] = first, second
        return named


_adam = ops.Adam()


def _decayed(weight_decay, weight, gradient):
    return gradient.astype(ms.float32) + weight_decay * weight


def _adam_step(power1, power2, learning_rate, beta1, beta2, eps, weight, moment1, moment2, gradient):
    gradient = gradient.astype(ms.float32)
    stepped = _adam(weight, moment1, moment2, power1, power2, learning_rate, beta1, beta2, eps, gradient)
    return ops.depend(power1, stepped)


def _zeros(parameter: Parameter, name: str) -> Parameter:
    return Parameter(Tensor(np.zeros(parameter.shape, np.float32)), name=name, requires_grad=False)
