"""The training state in a checkpoint, besides the networks: collecting and restoring it."""

__all__ = ["apply_state", "collect_state", "kept_parameters", "trained_parameters"]

import numpy as np
from mindspore import Parameter, Tensor, ops

from ..contracts.objective import Objective
from ..contracts.system import System
from ..models.parameters import named_parameters
from .steps import TrainStep


def _state_parameters(objective: Objective, step: TrainStep) -> dict[str, Parameter]:
    named = {f"step.{name}": p for name, p in step.counters().items()}
    for group, optimizer in zip(step.groups, step.optimizers, strict=True):
        named |= {f"optimizer.{group.name}.{name}": p for name, p in optimizer.state().items()}
    for name, cell in objective.buffers.items():
        named |= {f"buffer.{name}.{key}": p for key, p in named_parameters(cell).items()}
    if step.accumulates:
        for group, total in zip(step.groups, step.sums, strict=True):
            named |= {f"sum.{group.name}.{i}": p for i, p in enumerate(total.totals)}
    return named


def collect_state(objective: Objective, step: TrainStep) -> dict[str, np.ndarray]:
    """Optimizer moments, loss scale, overflow counters, image pools and half-done accumulations, by name."""
    return {name: p.asnumpy().copy() for name, p in _state_parameters(objective, step).items()}


def apply_state(objective: Objective, step: TrainStep, arrays: dict[str, np.ndarray]) -> list[str]:
    """Restore the result of :func:`collect_state`; returns the names that the checkpoint did not hold.

    A group that is trained for the first time (the phase after ``niter_fix_global``) starts with fresh moments.
    """
    missing = []
    for name, parameter in _state_parameters(objective, step).items():
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
