"""Pairs of images whose conditional density is known, and the bits per dimension that models of it can reach.

The condition is white noise. The image is a mixture of the condition's colours, in means over squares of 2x2 pixels,
plus noise that is smoothed across and down, where every number holds a part of the one before. Everything is normal, so
that entropies are closed forms.
"""

__all__ = ["Bounds", "bounds", "pair"]

from typing import NamedTuple

import numpy as np

#: deviation of the condition, of what is new in every value of the image, and the part of a neighbour
_CONDITION, _NEW, _NEIGHBOUR = 0.15, 0.05, 0.6
# colours of the condition in those of the image; means over four pixels have half their deviation
_MIXTURE = 4 * np.array([[0.0, 0.8, 0.0], [0.6, 0.0, 0.6], [-0.8, 0.0, 0.0]])
_BITS = 8


class Bounds(NamedTuple):
    """Bits per dimension, of 8-bit values: none can be below ``entropy``.

    A model that ignores the condition cannot be below ``without_condition``, one that takes the values of an image for
    independent given the condition not below ``without_neighbours``.
    """

    entropy: float
    without_condition: float
    without_neighbours: float


def pair(height: int, width: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Condition and image (3, H, W), float32 with 0.5 as 0, as data sets give images."""
    rng = np.random.default_rng(seed)
    condition = _CONDITION * rng.standard_normal((3, height, width))
    texture = _factor(height) @ (_NEW * rng.standard_normal((3, height, width))) @ _factor(width).T
    image = np.einsum("ij,jhw->ihw", _MIXTURE, _means(height) @ condition @ _means(width)) + texture
    return (2 * condition).astype(np.float32), (2 * image).astype(np.float32)


def bounds(height: int, width: int) -> Bounds:
    """Closed forms for images of this size."""
    # the factor is triangular with a diagonal of ones: its determinant is 1
    factor = _NEW * np.kron(_factor(height), _factor(width))
    texture, means = factor @ factor.T, np.kron(_means(height), _means(width))
    # colours that do not depend on each other, as texture has the same deviation in all
    parts = [texture + _CONDITION**2 * part * means for part in np.linalg.eigvalsh(_MIXTURE @ _MIXTURE.T)]
    whole = np.mean([np.linalg.slogdet(part)[1] for part in parts]) / (height * width)
    return Bounds(_bits(2 * np.log(_NEW)), _bits(whole), _bits(np.log(np.diag(texture)).mean()))


def _factor(side: int) -> np.ndarray:
    """(side, side): a row of new values to a row in which every value holds a part of the one before."""
    distance = np.subtract.outer(np.arange(side), np.arange(side))
    return np.where(distance < 0, 0.0, _NEIGHBOUR ** np.maximum(distance, 0))


def _means(side: int) -> np.ndarray:
    """(side, side): a row of values to the means of pairs; a projection."""
    return np.kron(np.eye(side // 2), np.full((2, 2), 0.5))


def _bits(log_variance: float) -> float:
    """Bits per dimension of normal values whose variances have this mean logarithm."""
    return float(_BITS + 0.5 * (np.log(2 * np.pi * np.e) + log_variance) / np.log(2))
