"""The passes of a trained system: the functions that are exported and that another runtime may run."""

__all__ = ["Pass", "Port"]

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mindspore import nn


@dataclass(frozen=True)
class Port:
    """An input of a pass.

    ``shape`` holds numbers and names of sizes: ``batch`` is the number of samples, and names of other sizes that are
    not fixed end in ``height`` or ``width``. Values come from ``column`` of the system's data set as ``gain * value +
    offset``; without a column they are whole numbers below ``high``, or standard normal where ``high`` is 0.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"
    column: str = ""
    gain: float = 1.0
    offset: float = 0.0
    high: int = 0


def _only(outputs: Sequence[Any]) -> Any:
    return outputs[0]


@dataclass(frozen=True)
class Pass:
    """A Cell from arrays to arrays that a trained system calls.

    ``inputs`` are its arguments in order, ``outputs`` the names of its results, first dimension ``batch``, in the order
    in which nested tuples are read; ``pack`` nests a flat list of them again. ``replace(function)`` makes the system
    call ``function`` instead: same arguments, same result.
    """

    name: str
    cell: nn.Cell
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    replace: Callable[[Callable], None]
    pack: Callable[[Sequence[Any]], Any] = _only

    @property
    def any_size(self) -> bool:
        """Whether the pass takes images of any size."""
        return any(isinstance(size, str) and size != "batch" for port in self.inputs for size in port.shape)
