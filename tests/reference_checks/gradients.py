"""Norms of gradients in the order of the published parameters."""

__all__ = ["gradient_norms"]

import numpy as np

from src.contracts.system import System
from src.models.parameters import named_parameters
from src.training.steps import TrainStep


def gradient_norms(system: System, network: str, step: TrainStep) -> np.ndarray:
    """Norm of the gradient of every parameter of ``network`` in the first step; 0 where it is not trained.

    They are read off Adam's first moments, which are (1 - beta1) times the gradients then: no second graph for them.
    """
    norms = {}
    for group, optimizer in zip(step.groups, step.optimizers, strict=True):
        for name, moment in zip(group.parameters, optimizer.moment1, strict=True):
            norms[name] = np.linalg.norm(moment.asnumpy()) / (1.0 - group.beta1)
    return np.array([norms.get(f"{network}.{name}", 0.0) for name in named_parameters(system.networks[network])])
