"""Parameters by structural name: reading them out, loading them strictly, initialising and counting them.

A parameter's own ``name`` changes whenever its Cell becomes part of another one; its place in the Cell does not, and
equals the published PyTorch name in every network here. Parameters whose last name part starts with ``_`` are scratch
memory of an operator, not state.
"""

__all__ = [
    "LoadReport",
    "count_parameters",
    "init_weights",
    "load_arrays",
    "named_parameters",
    "state_arrays",
    "zero_biases",
]

import zlib
from dataclasses import dataclass, field

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..utils.errors import UserError

_SHOWN = 20


def named_parameters(cell: nn.Cell) -> dict[str, Parameter]:
    """Every saved parameter of ``cell`` under its structural name, in definition order."""
    return {name: p for name, p in cell.parameters_and_names() if not name.rpartition(".")[2].startswith("_")}


def state_arrays(cell: nn.Cell) -> dict[str, np.ndarray]:
    """Copies of all saved parameters on the host."""
    return {name: p.asnumpy().copy() for name, p in named_parameters(cell).items()}


def count_parameters(cell: nn.Cell) -> int:
    """Number of trained scalars, and of those biases that a norm cancels: published counts have them."""
    cancelled = {
        id(child.bias)
        for _, child in cell.cells_and_names()
        if isinstance(getattr(child, "bias", None), Parameter) and not getattr(child, "has_bias", True)
    }
    counted = (p for p in named_parameters(cell).values() if p.requires_grad or id(p) in cancelled)
    return sum(int(np.prod(p.shape)) for p in counted)


@dataclass
class LoadReport:
    """Result of a load: names that were filled, names missing in the file, unused names of the file."""

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not (self.missing or self.unused or self.mismatched)

    def differences(self) -> list[str]:
        """One readable line per difference, at most 20."""
        lines = [f"  {line}" for line in self.mismatched]
        lines += [f"  {name}: not in the file" for name in self.missing]
        lines += [f"  {name}: in the file, but the network has no such parameter" for name in self.unused]
        if len(lines) > _SHOWN:
            lines = lines[:_SHOWN] + [f"  ... and {len(lines) - _SHOWN} more"]
        return lines


def load_arrays(
    cell: nn.Cell, arrays: dict[str, np.ndarray], strict: bool = True, source: str = "the checkpoint"
) -> LoadReport:
    """Fill ``cell`` from ``arrays`` by name and shape.

    Strict loading changes nothing unless every name and shape agrees. Otherwise the matching arrays are loaded and the
    report lists the rest.

    Raises:
        UserError: strict, and anything is missing, unused or of another shape.
    """
    own = named_parameters(cell)
    report = LoadReport(unused=[name for name in arrays if name not in own])
    for name, parameter in own.items():
        if name not in arrays:
            report.missing.append(name)
        elif tuple(arrays[name].shape) != tuple(parameter.shape):
            report.mismatched.append(f"{name}: network {tuple(parameter.shape)}, file {tuple(arrays[name].shape)}")
        else:
            report.loaded.append(name)
    if strict and not report.complete:
        differences = "\n".join(report.differences())
        raise UserError(
            f"{source} does not fit the network these options describe:\n{differences}\n"
            "Use the options that the weights were trained with."
        )
    for name in report.loaded:
        # assign, because compiled code does not notice set_data
        ops.assign(own[name], Tensor(np.asarray(arrays[name], order="C")).astype(own[name].dtype))
    return report


def init_weights(cell: nn.Cell, init_type: str = "normal", init_gain: float = 0.02, seed: int = 0) -> None:
    """Initialise as published: convolutions N(0, gain), biases uniform in +-1/sqrt(fan_in), batch norm N(1, gain).

    ``init_type`` may also be ``xavier`` (uniform with that gain) or ``constant`` (0.001). Each parameter has a random
    stream of its own, made of ``seed`` and its name, so that a network's values do not depend on what else is built.
    """
    fans = {}
    for name, parameter in named_parameters(cell).items():
        prefix, _, kind = name.rpartition(".")
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        shape = tuple(parameter.shape)
        if kind == "weight" and len(shape) > 1:
            receptive = int(np.prod(shape[2:]))
            fans[prefix] = shape[1] * receptive
            if init_type == "normal":
                value = rng.standard_normal(shape, np.float32) * np.float32(init_gain)
            elif init_type == "xavier":
                bound = init_gain * np.sqrt(6.0 / ((shape[0] + shape[1]) * receptive))
                value = rng.uniform(-bound, bound, shape)
            else:
                value = np.full(shape, 0.001)
        elif kind == "bias" and prefix in fans:
            bound = 1.0 / np.sqrt(fans[prefix])
            value = rng.uniform(-bound, bound, shape)
        elif kind == "gamma":
            value = 1.0 + rng.standard_normal(shape) * init_gain
        else:
            continue
        ops.assign(parameter, Tensor(np.asarray(value, np.float32)))


def zero_biases(cell: nn.Cell) -> None:
    """Set every bias of ``cell`` to 0, as the published code of CycleGAN and CUT starts."""
    for name, parameter in named_parameters(cell).items():
        if name.endswith(".bias"):
            ops.assign(parameter, ops.zeros_like(parameter))
