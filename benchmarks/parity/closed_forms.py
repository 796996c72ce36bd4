"""What holds of a trained flow whatever its weights are, and of one trained on :mod:`.gaussian` pairs besides."""

__all__ = ["check"]

from dataclasses import replace
from functools import partial

import numpy as np
from mindspore import Tensor, ops

from src.contracts.round_trip import eagerly
from src.models.glow.network import ConditionalFlow
from src.systems.glow.inputs import NO_BOUNDARY, network_inputs

from .curves import Curves, Verdict
from .gaussian import bounds
from .recipe import Recipe, pictures

# of the images of a batch of the numeric Jacobian, and the step of its differences in values with a range of 1
_COLUMNS, _STEP = 64, 2e-3
#: bits per dimension by which a log-determinant may miss that of the numeric Jacobian, and error of images that return
_LOGDET, _RETURN = 1e-4, 1e-4
# standard errors of the mean over held-out images
_ERRORS = 4


def check(recipe: Recipe, network: ConditionalFlow, ours: Curves) -> list[Verdict]:
    """``network`` as it was trained last; bits per dimension are those of all seeds of ``ours``.

    * Bits of held-out images are no less than the entropy with any seed (four standard errors of their mean are
      allowed: the log density of a d-dimensional normal value deviates by sqrt(d / 2) nats), and their mean over seeds
      is less than any model could have that ignores the condition or takes the values of an image for independent.
    * The log-determinant of a held-out image is that of a Jacobian from central differences.
    * Eight held-out images come back from their latents.

    The last two are ``early``, because they hold of a flow that has learnt nothing.
    """
    known, dimensions = bounds(recipe.height, recipe.width), network.dimensions
    error = _ERRORS * np.sqrt(0.5 / dimensions / recipe.held_out) / np.log(2)
    bits = [run.figures["bits_per_dim"] for run in ours.runs]
    least, simpler = known.entropy - error, min(known.without_condition, known.without_neighbours)
    found = [
        Verdict("bits below the entropy, worst seed", max(known.entropy - min(bits), 0.0), 0.0, error, "final"),
        Verdict(
            f"bits_per_dim between entropy {known.entropy:.4f} and simpler models {simpler:.4f}, mean of seeds",
            float(np.mean(bits)),
            (least + simpler) / 2,
            (simpler - least) / 2,
            "final",
        ),
    ]
    few = pictures(replace(recipe, held_out=8), held_out=True)
    x_a, x_b, _ = network_inputs(network, few)
    ours_logdet, numeric = _log_determinants(network, x_a[:1], x_b[:1])
    unit = dimensions * np.log(2)
    name = "log-determinant and that of a numeric Jacobian, bits per dimension"
    found.append(Verdict(name, ours_logdet / unit, numeric / unit, _LOGDET, "early"))
    error = eagerly(partial(_return_error, network), (x_a, x_b, NO_BOUNDARY))
    found.append(Verdict("error of images that return", error, 0.0, _RETURN, "early"))
    return found


def _return_error(network: ConditionalFlow, x_a: Tensor, x_b: Tensor, boundary: Tensor) -> float:
    latents = network(x_a, x_b, boundary)[4]
    back = network.decode(x_a, latents, ops.ones((len(latents),), x_a.dtype), boundary)
    return float(ops.abs(back - x_b).max().asnumpy())


def _log_determinants(network: ConditionalFlow, x_a: np.ndarray, x_b: np.ndarray) -> tuple[float, float]:
    """The flow's own for one image, and log |det| of its Jacobian, in nats."""

    def encode(condition: Tensor, images: Tensor, boundary: Tensor) -> tuple[np.ndarray, np.ndarray]:
        _, _, _, logdet, latents = network(condition, images, boundary)
        return logdet.asnumpy(), np.concatenate([z.asnumpy().reshape(len(images), -1) for z in latents], 1)

    def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return eagerly(encode, (np.repeat(x_a, len(images), 0), images.astype(np.float32), NO_BOUNDARY))

    count = x_b.size
    jacobian = np.empty((count, count))
    for begin in range(0, count, _COLUMNS):
        shifts = _STEP * np.eye(count, dtype=np.float32)[begin : begin + _COLUMNS].reshape(-1, *x_b.shape[1:])
        above, below = x_b + shifts, x_b - shifts
        # the steps that float32 has really made
        steps = (above.astype(np.float64) - below).reshape(len(shifts), -1).sum(1)
        differences = run(above)[1].astype(np.float64) - run(below)[1]
        jacobian[begin : begin + len(shifts)] = differences / steps[:, None]
    return float(run(x_b)[0][0]), float(np.linalg.slogdet(jacobian)[1])
