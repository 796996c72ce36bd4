"""Inputs for compiling and checking an exported pass: real samples where there is data."""

__all__ = ["choose_sizes", "input_values", "other_sizes", "symbolic_inputs"]

from collections.abc import Mapping

import mindspore as ms
import numpy as np
from mindspore import Tensor

from ..contracts.passes import Pass, Port
from ..contracts.system import System
from ..utils.errors import UserError

# side of made-up images
_MADE_UP = 64


def _open_sizes(exported: Pass) -> list[str]:
    names = [size for port in exported.inputs for size in port.shape if isinstance(size, str) and size != "batch"]
    return list(dict.fromkeys(names))


def choose_sizes(
    exported: Pass, sample: Mapping[str, np.ndarray], height: int, width: int, system: System, flexible: bool
) -> dict[str, int]:
    """A number for every size that the pass leaves open: the requested one, else that of the sample.

    Raises:
        UserError: neither is given, the system does not take a side, or the pass has only one size.
    """
    names = _open_sizes(exported)
    if not names:
        if height or width or flexible:
            shapes = ", ".join(f"{p.name} {'x'.join(map(str, p.shape[1:]))}" for p in exported.inputs if p.column)
            raise UserError(
                f"{exported.name} is made for one size ({shapes}): leave --height, --width and --flexible_size out"
            )
        return {}
    maps = [a for n, a in sample.items() if a.ndim == 4 and n in {port.column for port in exported.inputs}]
    given, stride, smallest = {"height": height, "width": width}, system.stride, system.smallest
    for axis, side in ((2, "height"), (3, "width")):
        if not given[side] and maps:
            given[side] = max(smallest, -(-maps[0].shape[axis] // stride) * stride)
        elif not given[side] and flexible:
            given[side] = max(smallest, -(-_MADE_UP // stride) * stride)
        if not given[side]:
            raise UserError(
                f"{exported.name} takes images of any size, and no sample gives one: pass --height and "
                "--width, or --flexible_size True for a file without fixed sizes"
            )
        if given[side] % stride:
            raise UserError(f"--{side} {given[side]} is not a multiple of {stride}, by which this network divides it")
        if given[side] < smallest:
            raise UserError(f"--{side} {given[side]} is below {smallest}, the smallest that this network takes")
    return {name: given[name.rpartition("_")[2]] for name in names}


def other_sizes(sizes: Mapping[str, int], stride: int) -> dict[str, int]:
    """Sizes that differ from ``sizes`` and from each other, to try a flexible file with."""
    return {name: size + (i + 1) * stride for i, (name, size) in enumerate(sizes.items())}


def symbolic_inputs(exported: Pass, batch: int) -> list[Tensor]:
    """The symbolic inputs for which MindSpore compiles a pass of open sizes."""
    tensors = []
    for port in exported.inputs:
        sizes = [batch if size == "batch" else size for size in port.shape]
        fixed = [size for size in sizes if isinstance(size, int)]
        if len(fixed) == len(sizes):
            tensors.append(Tensor(_made_up(port, fixed)))
        else:
            shape = [size if isinstance(size, int) else None for size in sizes]
            tensors.append(Tensor(shape=shape, dtype=getattr(ms, port.dtype)))
    return tensors


def input_values(
    exported: Pass, sizes: Mapping[str, int], batch: int, sample: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """One array for every input, from ``sample``'s columns where it has them, cut or continued to the size."""
    values = []
    for port in exported.inputs:
        known = {"batch": batch, **sizes}
        shape = [known[size] if isinstance(size, str) else size for size in port.shape]
        column = sample.get(port.column)
        if column is not None and column.ndim == len(shape) and column.shape[1] == shape[1]:
            real = _fitted(column, shape)
            values.append((real * port.gain + port.offset if port.dtype == "float32" else real).astype(port.dtype))
        else:
            values.append(_made_up(port, shape))
    return values


def _fitted(column: np.ndarray, shape: list[int]) -> np.ndarray:
    pads = [(0, max(0, wanted - size)) for size, wanted in zip(column.shape, shape, strict=True)]
    return np.pad(column, pads, mode="edge")[tuple(slice(size) for size in shape)]


def _made_up(port: Port, shape: list[int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    if port.high:
        return rng.integers(0, port.high, shape).astype(port.dtype)
    if port.column:
        return (rng.uniform(-1.0, 1.0, shape) * port.gain + port.offset).astype(port.dtype)
    return rng.standard_normal(shape).astype(port.dtype)
