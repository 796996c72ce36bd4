"""The training state in a checkpoint, besides the networks: collecting and restoring it."""

__all__ = ["apply_state", "collect_state", "kept_parameters", "trained_parameters"]

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from mindspore import Parameter, Tensor, ops

from ..contracts.objective import Objective, UpdateGroup
from ..contracts.system import System
from ..models.parameters import named_parameters
from .steps import TrainStep


def _state_parameters(
    objective: Objective, step: TrainStep, arrays: Mapping[str, np.ndarray] = MappingProxyType({})
) -> dict[str, Parameter]:
    """Parameters by the names that they have in a new file, or in ``arrays``, the state of a file."""
    named = {f"step.{name}": p for name, p in step.counters().items()}
    for group, optimizer in zip(step.groups, step.optimizers, strict=True):
        named |= {f"optimizer.{group.name}.{name}": p for name, p in optimizer.state().items()}
    for name, cell in objective.buffers.items():
        named |= {f"buffer.{name}.{key}": p for key, p in named_parameters(cell).items()}
    if step.accumulates:
        for group, total in zip(step.groups, step.sums, strict=True):
            places = _places(group, arrays)
            named |= {f"sum.{group.name}.{i}": p for i, p in zip(places, total.totals, strict=True)}
    return named


def _places(group: UpdateGroup, arrays: Mapping[str, np.ndarray]) -> list[int]:
    """Places of the group's parameters among the sums of a file.

    Earlier files have moments and sums of biases that a norm cancels, each behind those of its weight. They are not
    trained any more, and nothing needs them.
    """
    places, place = [], 0
    for name in group.parameters:
        places.append(place)
        layer, _, kind = name.rpartition(".")
        bias = f"{layer}.bias"
        has_more = kind == "weight" and bias not in group.parameters
        place += 2 if has_more and f"optimizer.{group.name}.moment1.{bias}" in arrays else 1
    return places


def collect_state(objective: Objective, step: TrainStep) -> dict[str, np.ndarray]:
    """Optimizer moments, loss scale, overflow counters, image pools and half-done accumulations, by name."""
    return {name: p.asnumpy().copy() for name, p in _state_parameters(objective, step).items()}


def apply_state(objective: Objective, step: TrainStep, arrays: dict[str, np.ndarray]) -> list[str]:
    """Restore the result of :func:`collect_state`; returns the names that the checkpoint did not hold.

    A group that is trained for the first time (the phase after ``niter_fix_global``) starts with fresh moments.
    """
    missing = []
    for name, parameter in _state_parameters(objective, step, arrays).items():
        if name in arrays and arrays[name].shape == tuple(parameter.shape):
            ops.assign(parameter, Tensor(arrays[name]).astype(parameter.dtype))
        else:
            missing.append(name)
    return missing


def trained_parameters(system: System, objective: Objective, step: TrainStep) -> list[Parameter]:
    """All parameters that must be equal on every worker."""
    networks = [p for cell in system.networks.values() for p in named_parameters(cell).values()]
    return networks + [p for name, p in _state_parameters(objective, step).items() if not name.startswith("buffer.")]


def kept_parameters(system: System) -> tuple[Parameter, ...]:
    """Parameters that a forward pass changes (running statistics of batch norm); a bad step restores them."""
    return tuple(
        p
        for cell in system.networks.values()
        for name, p in named_parameters(cell).items()
        if name.endswith(("moving_mean", "moving_variance"))
    )
