"""Numbers that a training run takes from time to time, beside its losses."""

__all__ = ["periodic_metrics"]

from importlib import import_module
from typing import Any

from src.models.system import System

# system to module and function, imported when they are asked for
_METRICS = {"hflow": ("src.evaluation.hflow", "training_metrics")}


def periodic_metrics(system: System, config: Any, workers: Any) -> dict[str, float]:
    """Metrics of the current weights by TensorBoard tag; empty where a system has none.

    All workers of a run call it together and take their shares: no one waits longer than for the others' last batch,
    whatever time-outs the collectives have.
    """
    if system.name not in _METRICS:
        return {}
    module, function = _METRICS[system.name]
    return getattr(import_module(module), function)(system, config, workers)
