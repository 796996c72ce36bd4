"""Precision, recall, density and coverage: closed forms, a second implementation, bounded memory, too few images."""

import tracemalloc

import numpy as np
import pytest

from src.metrics.prdc import check_enough, expected_coverage, prdc
from src.utils.errors import UserError


def test_equal_sets_are_perfect():
    vectors = np.random.default_rng(0).standard_normal((700, 6))
    assert prdc(vectors, vectors.copy(), 5) == {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}
    # far from the origin and in float32, where most of a distance cancels
    moved = (vectors + 1000.0).astype(np.float32)
    assert prdc(moved, moved, 5) == {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}


def test_sets_that_are_far_apart_share_nothing():
    rng = np.random.default_rng(1)
    real, fake = rng.standard_normal((40, 3)), rng.standard_normal((50, 3)) + 100.0
    assert prdc(real, fake, 3) == {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}


def test_an_example_by_hand():
    """Reals 0, 1, 3, 10 have the radii 1, 1, 2, 7 for k = 1; fakes 0.5, 2.5, 30 the radii 2, 2, 27.5."""
    real, fake = np.array([[0.0], [1.0], [3.0], [10.0]]), np.array([[0.5], [2.5], [30.0]])
    # 0.5 is in the balls of 0 and 1, 2.5 in that of 3, and 30 in none; 10 lies in the ball of 30, and so does 3
    assert prdc(real, fake, 1) == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "density": pytest.approx(1.0),
        "coverage": pytest.approx(3 / 4),
    }
    # a vector at the edge of a ball is outside: 2 is not in the ball of 1, nor 5 in that of 3
    edge = prdc(np.array([[0.0], [1.0], [3.0]]), np.array([[2.0], [5.0]]), 1)
    assert edge["precision"] == 0.5 and edge["density"] == 0.5 and edge["coverage"] == pytest.approx(1 / 3)


def by_definition(real, fake, k):
    """One vector at a time, from the definitions."""

    def distance(x, y):
        return np.sqrt(((x - y) ** 2).sum())

    def radii(vectors):
        return [sorted(distance(v, w) for w in vectors)[k] for v in vectors]

    of_real, of_fake = radii(real), radii(fake)
    inside = np.array([[distance(r, f) < radius for f in fake] for r, radius in zip(real, of_real, strict=True)])
    recalled = [any(distance(r, f) < radius for f, radius in zip(fake, of_fake, strict=True)) for r in real]
    return {
        "precision": inside.any(0).mean(),
        "recall": np.mean(recalled),
        "density": inside.sum() / (k * len(fake)),
        "coverage": inside.any(1).mean(),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
def test_random_sets_meet_the_definition(k, monkeypatch):
    """In blocks that divide neither set."""
    monkeypatch.setattr("src.metrics.prdc._ROWS", 7)
    monkeypatch.setattr("src.metrics.prdc._COLUMNS", 9)
    rng = np.random.default_rng(k)
    real, fake = rng.standard_normal((31, 2)), 0.6 * rng.standard_normal((23, 2)) + 0.4
    expected = by_definition(real, fake, k)
    assert prdc(real, fake, k) == pytest.approx(expected)
    assert 0.0 < expected["recall"] < 1.0 and 0.0 < expected["coverage"] < 1.0 and expected["density"] != 1.0


def test_equal_distributions_have_the_expected_coverage():
    """Lemma 2, in any dimension."""
    rng = np.random.default_rng(2)
    for width in (1, 8):
        found = [prdc(rng.uniform(size=(40, width)), rng.uniform(size=(30, width)), 2)["coverage"] for _ in range(60)]
        expected = expected_coverage(40, 30, 2)
        assert abs(np.mean(found) - expected) < 4 * np.std(found) / np.sqrt(60)
    assert expected == pytest.approx(1 - 39 * 38 / (69 * 68))


def test_a_collapsed_model_keeps_precision_and_loses_coverage():
    rng = np.random.default_rng(3)
    real = rng.standard_normal((200, 4))
    found = prdc(real, np.repeat(real[:2], 50, 0) + 0.01 * rng.standard_normal((100, 4)), 5)
    assert found["precision"] == 1.0 and found["coverage"] < 0.2 and found["recall"] < 0.1


def test_memory_is_bounded():
    """5000 squared distances in float64 would be 200 MB."""
    vectors = np.random.default_rng(4).standard_normal((5000, 2)).astype(np.float32)
    tracemalloc.start()
    prdc(vectors, vectors, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_too_few_images():
    with pytest.raises(UserError, match=r"prdc_k 5 asks .* 6 images and more.* 4 measured and 9 real.*--prdc_k 3$"):
        check_enough(4, 9, 5)
    with pytest.raises(UserError, match=r"1 real image: add images$"):
        prdc(np.zeros((1, 2)), np.zeros((9, 2)))
    check_enough(6, 6, 5)
