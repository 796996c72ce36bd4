"""What the workers of one run exchange, besides the gradients that the step itself averages."""

__all__ = ["Workers"]

from collections.abc import Iterable

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.utils.runtime import Device


class _Sum(nn.Cell):
    def __init__(self):
        super().__init__()
        self.all_reduce = ops.AllReduce()

    def construct(self, x: Tensor) -> Tensor:
        return self.all_reduce(x)


class _Broadcast(nn.Cell):
    def __init__(self):
        super().__init__()
        self.broadcast = ops.Broadcast(0)

    def construct(self, x: Tensor) -> Tensor:
        return self.broadcast((x,))[0]


class Workers:
    """All workers of the run; with one worker every method is free."""

    def __init__(self, device: Device):
        self.rank, self.world = device.rank, device.world
        if self.world > 1:
            self._sum, self._broadcast = _Sum(), _Broadcast()

    @property
    def is_first(self) -> bool:
        """Only the first worker writes files and talks."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """True on every worker as soon as it is True on one; also a barrier."""
        if self.world == 1:
            return flag
        return float(self._sum(Tensor(np.array([flag], np.float32))).asnumpy()[0]) > 0

    def share(self, parameters: Iterable[Parameter]) -> None:
        """Give every worker the first worker's values."""
        if self.world > 1:
            for parameter in parameters:
                ops.assign(parameter, self._broadcast(parameter.value()))
