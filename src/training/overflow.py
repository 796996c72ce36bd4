"""Overflow on chips that only saturate: there +-MAX stands for infinity and 0 for NaN, and no sum shows either.

Such a chip (the Ascend 910) keeps a status word instead, which every operator that overflows raises. As
``mindspore.amp.all_finite`` does, it is cleared before the forward pass and read after the gradients.
"""

__all__ = ["LARGEST_NORM", "LARGEST_SCALE", "OverflowMark", "largest_number"]

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops.operations.math_ops import NPUClearFloatStatusV2, NPUGetFloatStatusV2

from ..utils.runtime import Device

#: where dynamic loss scaling ends; NVIDIA Apex's ``LossScaler`` has the same bound
LARGEST_SCALE = 2.0**24
_HALF, _SINGLE = 65504.0, float(np.finfo(np.float32).max)
# the square of this is the largest number of float32, so a norm of it or more has overflowed
LARGEST_NORM = float(np.sqrt(np.float32(_SINGLE)))
_MARK = 1e30


def largest_number(precision: str, device: Device) -> float:
    """What an overflow of convolutions in ``precision`` gives on this device; 0 where it gives infinity."""
    if not device.saturates:
        return 0.0
    return _HALF if precision == "fp16" else _SINGLE


class OverflowMark(nn.Cell):
    """Makes an overflow visible in the gradients: each value of the first of them becomes about 1e30.

    Its square is more than float32 holds, on chips that saturate and on others. So the mark goes where gradients go:
    through sums over steps and means over workers to the norm, and every worker skips the same step.

    Args:
        largest: what an overflow gives: see :func:`largest_number`. Gradients that hold it are marked, too.
        has_status: whether the device has the status word; only Ascend knows the operators.
    """

    def __init__(self, largest: float, has_status: bool = True):
        super().__init__()
        self.largest, self.has_status = largest, has_status
        if has_status:
            self.get_status, self.clear_status = NPUGetFloatStatusV2(), NPUClearFloatStatusV2()
        self.word = Tensor(np.zeros(8, np.int32))
        self.map = ops.HyperMap()

    def clear(self, scale: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """``scale`` and ``inputs`` of the forward pass, which then runs after the status was cleared."""
        if not self.has_status:
            return scale, inputs
        cleared = self.clear_status(ops.depend(self.word, scale))
        waiting = ()
        for one in inputs:
            waiting = waiting + (ops.depend(one, cleared),)
        return ops.depend(scale, cleared), waiting

    def construct(self, losses: Tensor, gradients: tuple) -> tuple:
        """Gradients of all groups, before they are divided by the loss scale; marked if anything overflowed."""
        found = ()
        for group in gradients:
            found = found + (ops.stack(self.map(ops.partial(_holds, self.largest), group)).max(),)
        raised = ops.stack(found).max()
        if self.has_status:
            status = self.get_status(ops.depend(self.word, (losses, gradients)))
            raised = ops.maximum(raised, (status != 0).any().astype(ms.float32))
        first = gradients[0][0]
        marked = first + (raised * _MARK).astype(first.dtype)
        return ((marked, *gradients[0][1:]), *gradients[1:])


def _holds(largest: float, gradient: Tensor) -> Tensor:
    return (ops.abs(gradient).max() == largest).astype(ms.float32)
