"""Communication between the workers of one run, besides the gradients that the step itself averages."""

__all__ = ["Workers"]

from collections.abc import Iterable, Sequence

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..utils.runtime import Device

# values sent at once: one compiled shape for arrays of any size
_CHUNK = 1 << 18


class _Sum(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.all_reduce = ops.AllReduce()

    def construct(self, x: Tensor) -> Tensor:
        return self.all_reduce(x)


class _Broadcast(nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.broadcast = ops.Broadcast(0)

    def construct(self, x: Tensor) -> Tensor:
        return self.broadcast((x,))[0]


class Workers:
    """All workers of the run; with one worker no method communicates."""

    def __init__(self, device: Device):
        self.rank, self.world = device.rank, device.world
        if self.world > 1:
            self._sum, self._broadcast = _Sum(), _Broadcast()

    @property
    def is_first(self) -> bool:
        """Only the first worker writes files and prints messages."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """True on every worker as soon as it is True on one; also a barrier."""
        if self.world == 1:
            return flag
        return float(self._sum(Tensor(np.array([flag], np.float32))).asnumpy()[0]) > 0

    def total(self, array: np.ndarray) -> np.ndarray:
        """The sum of every worker's array, on every worker: float32, of one shape on all of them."""
        if self.world == 1:
            return array
        chunks = np.zeros((-(-array.size // _CHUNK), _CHUNK), np.float32)
        chunks.reshape(-1)[: array.size] = array.reshape(-1)
        summed = [self._sum(Tensor(chunk)).asnumpy() for chunk in chunks]
        return np.concatenate(summed)[: array.size].reshape(array.shape)

    def average(self, parameters: Sequence[Parameter]) -> None:
        """Give every worker the mean of all workers' values."""
        if self.world > 1:
            flat = np.concatenate([parameter.asnumpy().reshape(-1) for parameter in parameters])
            ends = np.cumsum([parameter.size for parameter in parameters])[:-1]
            means = np.split(self.total(flat) / np.float32(self.world), ends)
            for parameter, mean in zip(parameters, means, strict=True):
                ops.assign(parameter, Tensor(mean.reshape(parameter.shape)))

    def share(self, parameters: Iterable[Parameter]) -> None:
        """Give every worker the first worker's values."""
        if self.world > 1:
            for parameter in parameters:
                ops.assign(parameter, self._broadcast(parameter.value()))
