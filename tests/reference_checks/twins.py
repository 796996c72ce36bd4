"""How far published numbers of a training determine it: runs whose weights differ in their last bit drift apart.

Absolute values and rectifiers have kinks, and the first steps of Adam go by the sign of a gradient, so rounding grows
from step to step. What such twins of our own run do is the accuracy to which those of another implementation can agree.
"""

from collections.abc import Callable

import numpy as np
from mindspore import ops

from src.models.parameters import load_arrays, state_arrays

# losses fall into a few branches, one for each kink that is crossed: three twins miss half of them
_TWINS = 6

Weights = dict[str, dict[str, np.ndarray]]


def weights_of(system, objective) -> Weights:
    """The weights of every network and the content of every buffer."""
    return {name: state_arrays(cell) for name, cell in (system.networks | objective.buffers).items()}


def restart(system, objective, step, weights: Weights) -> None:
    """Put ``weights`` back and forget what the optimizers have seen."""
    cells = system.networks | objective.buffers
    for name, arrays in weights.items():
        load_arrays(cells[name], arrays)
    for optimizer in step.optimizers:
        for name, parameter in optimizer.state().items():
            ops.assign(parameter, ops.ones_like(parameter) if name.endswith("_power") else ops.zeros_like(parameter))


def train_with_twins(
    system, objective, train: Callable[[Weights], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Run ``train(weights) -> (losses (steps, terms), image)`` from the weights as they are and from its twins.

    Returns:
        losses, image, the largest relative difference of a twin's losses up to each step (steps,), and the largest
        mean difference of its image.
    """
    start = weights_of(system, objective)
    losses, image = train(start)
    relative, distance = np.zeros_like(losses), 0.0
    for seed in range(_TWINS):
        twin, twin_image = train(_perturbed(start, system.networks, seed))
        relative = np.maximum(relative, np.abs(twin - losses) / np.abs(losses))
        distance = max(distance, float(np.abs(twin_image - image).mean()))
    return losses, image, np.maximum.accumulate(relative.max(1)), distance


def _perturbed(weights: Weights, networks: dict, seed: int) -> Weights:
    """Change every weight by one unit in the last place, up or down."""
    rng = np.random.default_rng(seed)
    return {
        name: {k: _nudged(a, rng) for k, a in arrays.items()} if name in networks else arrays
        for name, arrays in weights.items()
    }


def _nudged(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.nextafter(array, np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype))
