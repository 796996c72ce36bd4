"""How far published numbers of a training determine it: runs whose weights differ in their last bit drift apart.

Absolute values and rectifiers have kinks, and the first steps of Adam go by the sign of a gradient, so rounding grows
from step to step. What such twins of our own run do is the accuracy to which those of another implementation can agree.
"""

__all__ = ["Weights", "check_training", "restart", "weights_of"]

from collections.abc import Callable, Sequence

import numpy as np
from mindspore import ops

from src.models.parameters import load_arrays, state_arrays

# losses fall into a few branches, one for each kink that is crossed: three twins miss half of them
_TWINS = 6
#: what later steps may differ by in any case: two implementations round differently
FLOOR = 1e-3

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


def check_training(
    system,
    objective,
    step,
    steps: list,
    want_losses: np.ndarray,
    names: Sequence[str],
    terms: Callable[[dict[str, float]], list[float]],
    image: Callable[[], np.ndarray],
    want_image: np.ndarray,
    report,
) -> np.ndarray:
    """Compare the losses of a training, and an image that it leads to, with published numbers.

    There are no more twins than it takes to bring these within reach: more can only reach further.

    Args:
        steps: what ``step`` takes in each step.
        want_losses: published terms, (steps, terms), which ``names`` names.
        terms: our terms by name to those of a row.
        image: what the trained system makes.
        report: collects verdicts. Losses may differ by 1e-4 in the first step, which no update precedes, and after that
            by :data:`FLOOR` or twice the largest difference of a twin up to then; the image likewise, in the mean.

    Returns:
        our terms, (steps, terms).
    """

    def train(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
        restart(system, objective, step, weights)
        losses = [dict(zip(objective.loss_names, step(*inputs)[0].asnumpy(), strict=True)) for inputs in steps]
        return np.array([terms(row) for row in losses], np.float64), image()

    start = weights_of(system, objective)
    losses, made = train(start)
    error = _relative(losses, want_losses)
    distance = float(np.abs(made - want_image).mean())
    may, image_may = np.full(len(losses), FLOOR), FLOOR
    for seed in range(_TWINS):
        if (error <= may).all() and distance <= image_may:
            break
        twin, twin_image = train(_perturbed(start, system.networks, seed))
        difference = np.maximum.accumulate(_relative(twin, losses))
        # the second step follows one update, which two implementations agree on
        difference[:2] = 0
        may = np.maximum(may, 2 * difference)
        image_may = max(image_may, 2 * float(np.abs(twin_image - made).mean()))
    for i, want in enumerate(want_losses):
        for j, name in enumerate(names):
            report(f"step {i} {name}", losses[i, j], want[j], atol=0, rtol=1e-4 if i == 0 else may[i])
    report("image after training, mean distance", distance, 0.0, atol=image_may)
    return losses


def _relative(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """The largest relative difference of each step; a term that is off is 0 in both."""
    return (np.abs(got - want) / np.maximum(np.abs(want), 1e-30)).max(1)


def _perturbed(weights: Weights, networks: dict, seed: int) -> Weights:
    """Change every weight by one unit in the last place, up or down."""
    rng = np.random.default_rng(seed)
    return {
        name: {k: _nudged(a, rng) for k, a in arrays.items()} if name in networks else arrays
        for name, arrays in weights.items()
    }


def _nudged(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.nextafter(array, np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype))
