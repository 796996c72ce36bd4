"""Norms of gradients in the order of the published parameters."""

import numpy as np

from src.contracts.objective import UpdateGroup
from src.contracts.system import System
from src.models.parameters import named_parameters


def gradient_norms(system: System, network: str, group: UpdateGroup, gradients) -> np.ndarray:
    """Norm of the gradient of every parameter of ``network``; 0 where it is not trained, as if a norm cancels it."""
    norms = {name: np.linalg.norm(g.asnumpy()) for name, g in zip(group.parameters, gradients, strict=True)}
    return np.array([norms.get(f"{network}.{name}", 0.0) for name in named_parameters(system.networks[network])])
