"""Frechet and kernel distances between two sets of feature vectors, in float64.

FID: Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule"; KID: Binkowski et al. 2018, "Demystifying MMD
GANs". The features are those of Inception v3 (see :mod:`src.models.inception`), (N, 2048), or of VGG16.
"""

__all__ = ["SUBSETS", "SUBSET_SIZE", "FeatureStatistics", "fid", "frechet_distance", "kid"]

from dataclasses import dataclass

import numpy as np

from ..utils.errors import UserError

#: KID's random subsets, and the vectors of each kind in one, as published
SUBSETS, SUBSET_SIZE = 100, 1000


@dataclass(frozen=True)
class FeatureStatistics:
    """Mean (D,) and unbiased covariance (D, D) of feature vectors, float64."""

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "FeatureStatistics":
        """Statistics of (N, D) features, N at least 2."""
        features = np.asarray(features, np.float64)
        if features.ndim != 2 or len(features) < 2:
            raise UserError(f"features of shape {features.shape} have no covariance: at least 2 images are needed")
        return cls(features.mean(0), np.cov(features, rowvar=False).reshape(features.shape[1], -1))


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0.0))) @ vectors.T


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    The trace of the root is that of the symmetric root(C_a) C_b root(C_a), whose eigenvalues are not negative. So no
    complex numbers appear, and singular covariances (fewer images than features) need no special case.
    """
    difference = a.mean - b.mean
    half = _root(a.covariance)
    middle = half @ b.covariance @ half
    root_trace = np.sqrt(np.linalg.eigvalsh((middle + middle.T) / 2.0).clip(0.0)).sum()
    return float(difference @ difference + np.trace(a.covariance) + np.trace(b.covariance) - 2.0 * root_trace)


def fid(real: np.ndarray, fake: np.ndarray) -> float:
    """Frechet distance of two sets of features (N, D), N at least 2.

    Fewer vectors than features span a small space. With the centred features A and B of both sets as rows, over the
    roots of their degrees of freedom, C_a = A'A and C_b = B'B, and tr (C_a C_b)^(1/2) is the sum of A B''s singular
    values. A matrix of images is then decomposed instead of one of features.
    """
    for features in (real, fake):
        if features.ndim != 2 or len(features) < 2:
            raise UserError(f"features of shape {features.shape} have no covariance: at least 2 images are needed")
    if len(real) + len(fake) > real.shape[1]:
        return frechet_distance(FeatureStatistics.of(real), FeatureStatistics.of(fake))
    (mean_a, a), (mean_b, b) = (_centred(features) for features in (real, fake))
    root_trace = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    difference = mean_a - mean_b
    return float(difference @ difference + (a * a).sum() + (b * b).sum() - 2.0 * root_trace)


def _centred(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    features = np.asarray(features, np.float64)
    mean = features.mean(0)
    return mean, (features - mean) / np.sqrt(len(features) - 1)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def kid(
    real: np.ndarray, fake: np.ndarray, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE, seed: int = 0
) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy with the cubic kernel: mean and standard deviation over random subsets.

    Subsets have ``subset_size`` vectors of each set, or all of the smaller set. The estimate may be negative.
    """
    size = min(subset_size, len(real), len(fake))
    if size < 2:
        raise UserError(f"KID needs at least 2 images of each kind, there are {len(real)} and {len(fake)}")
    rng = np.random.default_rng(seed)
    estimates = []
    # every subset would be the whole set
    for _ in range(1 if size == len(real) == len(fake) else subsets):
        x = np.asarray(real[rng.choice(len(real), size, replace=False)], np.float64)
        y = np.asarray(fake[rng.choice(len(fake), size, replace=False)], np.float64)
        within = 0.0
        for z in (x, y):
            gram = _kernel(z, z)
            within += (gram.sum() - np.trace(gram)) / (size * (size - 1))
        estimates.append(within - 2.0 * _kernel(x, y).mean())
    return float(np.mean(estimates)), float(np.std(estimates))
