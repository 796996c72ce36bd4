"""FID and KID: closed forms, a second implementation, and what cannot be measured."""

import numpy as np
import pytest
import scipy.linalg

from src.metrics.fid import FeatureStatistics, fid, frechet_distance, kid
from src.utils.errors import UserError


def gaussian(mean, covariance):
    return FeatureStatistics(np.asarray(mean, np.float64), np.asarray(covariance, np.float64))


def test_gaussians_of_one_shape_differ_by_their_means():
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert frechet_distance(gaussian([0, 0], covariance), gaussian([3, 4], covariance)) == pytest.approx(25.0)
    assert frechet_distance(gaussian([1, 2], covariance), gaussian([1, 2], covariance)) == pytest.approx(0.0, abs=1e-9)


def test_axis_aligned_gaussians():
    a, b = np.array([4.0, 9.0, 0.0]), np.array([1.0, 16.0, 2.0])
    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(gaussian([0] * 3, np.diag(a)), gaussian([0] * 3, np.diag(b))) == pytest.approx(expected)


def test_commuting_covariances_in_a_turned_frame():
    rng = np.random.default_rng(0)
    frame = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    a, b = rng.uniform(0.1, 2.0, 5), rng.uniform(0.1, 2.0, 5)
    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    got = frechet_distance(*(gaussian([0] * 5, (frame * values) @ frame.T) for values in (a, b)))
    assert got == pytest.approx(expected, abs=1e-9)


def published_fid(real, fake):
    """The usual code: a matrix square root of the product."""
    root = scipy.linalg.sqrtm(np.cov(fake, rowvar=False) @ np.cov(real, rowvar=False))
    difference = real.mean(0) - fake.mean(0)
    covariances = np.cov(real, rowvar=False) + np.cov(fake, rowvar=False)
    return difference @ difference + np.trace(covariances - 2.0 * root.real)


@pytest.mark.parametrize("count", [500, 40, 20])
def test_random_features_meet_the_published_formula(count):
    """Also with fewer vectors than features, where both covariances are singular, and with very few."""
    rng = np.random.default_rng(1)
    real, fake = rng.standard_normal((count, 64)), 0.7 * rng.standard_normal((count, 64)) + 0.1
    assert fid(real, fake) == pytest.approx(published_fid(real, fake), rel=1e-4)
    assert fid(real.astype(np.float32), fake.astype(np.float32)) == pytest.approx(fid(real, fake), rel=1e-5)


def test_few_vectors_take_a_short_way_to_the_same():
    rng = np.random.default_rng(4)
    real, fake = rng.standard_normal((9, 64)) ** 3, rng.standard_normal((13, 64)) + 0.3
    long_way = frechet_distance(FeatureStatistics.of(real), FeatureStatistics.of(fake))
    assert fid(real, fake) == pytest.approx(long_way, rel=1e-7)
    assert fid(fake, real) == pytest.approx(long_way, rel=1e-7)
    assert fid(real, real) == pytest.approx(0.0, abs=1e-7)


def test_kid_is_unbiased_and_meets_the_double_sum():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((7, 4)), rng.standard_normal((7, 4)) + 0.5
    within = sum((a @ b / 4 + 1) ** 3 for z in (x, y) for i, a in enumerate(z) for j, b in enumerate(z) if i != j) / (
        7 * 6
    )
    across = np.mean([(a @ b / 4 + 1) ** 3 for a in x for b in y])
    mean, deviation = kid(x, y, subsets=3, subset_size=100)
    assert mean == pytest.approx(within - 2 * across)
    assert deviation == pytest.approx(0.0, abs=1e-12)
    same = [kid(rng.standard_normal((50, 4)), rng.standard_normal((50, 4)), 5, 50)[0] for _ in range(40)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(40)
    assert kid(rng.standard_normal((300, 4)), rng.standard_normal((300, 4)) + 1.0, 5, 100)[0] > 0.5


def test_too_few_pictures():
    with pytest.raises(UserError, match="at least 2 images"):
        fid(np.zeros((1, 4)), np.zeros((5, 4)))
    with pytest.raises(UserError, match="there are 1 and 5"):
        kid(np.zeros((1, 4)), np.zeros((5, 4)))
