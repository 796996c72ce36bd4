"""Precision, recall, density and coverage of two sets of feature vectors, in float64.

Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models": improved precision and recall
(section 2, from Kynkaanniemi et al. 2019), density and coverage (section 3), expected coverage (section 3.3).
"""

__all__ = ["check_enough", "expected_coverage", "prdc"]

from collections.abc import Iterator

import numpy as np

from ..utils.errors import UserError
from ..utils.text import counted

_ROWS, _COLUMNS = 512, 2048
# distances are differences of large numbers: below this share of the mean squared norm they are rounding
_ROUNDING = 1e-10


def check_enough(fakes: int, reals: int, k: int) -> None:
    """Raise ``UserError`` unless ``fakes`` and ``reals`` images have ``k`` neighbours each among their own."""
    fewest = min(fakes, reals)
    if fewest <= k:
        raise UserError(
            f"prdc_k {k} asks for the {k} nearest of each image's own kind, so for {k + 1} images and more, and there "
            f"are {fakes} measured and {counted(reals, 'real image')}: add images"
            + (f", or pass --prdc_k {fewest - 1}" if fewest > 1 else "")
        )


def expected_coverage(reals: int, fakes: int, k: int) -> float:
    """Coverage that two sets from one distribution have on average, whatever the distribution (lemma 2)."""
    steps = np.arange(1, k + 1)
    return float(1.0 - np.prod((reals - steps) / (fakes + reals - steps)))


def prdc(real: np.ndarray, fake: np.ndarray, k: int = 5) -> dict[str, float]:
    """``precision``, ``recall``, ``density`` and ``coverage`` of features (N, D) and (M, D), N and M above ``k``.

    The ball of a vector reaches to its ``k``-th nearest neighbour in its own set and does not contain that neighbour.
    Precision is the share of fakes inside a ball of the real set, recall the share of reals inside a ball of the fake
    set, density the mean number of real balls around a fake over ``k`` (it may exceed 1), and coverage the share of
    real balls that hold a fake. Distances are computed block by block: memory does not grow with N times M.

    Raises:
        UserError: too few vectors.
    """
    check_enough(len(fake), len(real), k)
    # the mean of the reals as origin: less of every distance cancels
    origin = real.mean(0, dtype=np.float64)
    radii_real, radii_fake = _radii(real, origin, k), _radii(fake, origin, k)
    balls_around_fake = np.zeros(len(fake), np.int64)
    is_recalled, is_covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows, columns, distances in _blocks(real, fake, origin):
        inside = distances < radii_real[rows, None]
        balls_around_fake[columns] += inside.sum(0)
        is_covered[rows] |= inside.any(1)
        is_recalled[rows] |= (distances < radii_fake[columns]).any(1)
    return {
        "precision": float((balls_around_fake > 0).mean()),
        "recall": float(is_recalled.mean()),
        "density": float(balls_around_fake.mean() / k),
        "coverage": float(is_covered.mean()),
    }


def _radii(vectors: np.ndarray, origin: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each vector to its ``k``-th neighbour, less what rounding may add: ties are outside."""
    nearest = np.full((len(vectors), k + 1), np.inf)
    for rows, _, distances in _blocks(vectors, vectors, origin):
        known = np.concatenate([nearest[rows], distances], 1)
        # one more than k, because every vector is its own nearest
        nearest[rows] = np.partition(known, k, 1)[:, : k + 1]
    scale = np.mean([(_block(vectors, rows, origin) ** 2).sum(1).mean() for rows in _slices(len(vectors), _ROWS)])
    return nearest.max(1) - _ROUNDING * scale


def _blocks(a: np.ndarray, b: np.ndarray, origin: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Rows of ``a``, rows of ``b`` and their squared distances, until all pairs were seen."""
    for rows in _slices(len(a), _ROWS):
        x = _block(a, rows, origin)
        for columns in _slices(len(b), _COLUMNS):
            y = _block(b, columns, origin)
            yield rows, columns, (x * x).sum(1)[:, None] + (y * y).sum(1) - 2.0 * (x @ y.T)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _block(vectors: np.ndarray, rows: slice, origin: np.ndarray) -> np.ndarray:
    return np.asarray(vectors[rows], np.float64) - origin
