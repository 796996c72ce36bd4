"""Semantic scores against a count by hand, and colours against the classes that have them."""

import numpy as np

from src.imaging.palette import CITYSCAPES, IGNORED
from src.metrics.segmentation_scores import CLASSES, confusion, semantic_scores, train_ids_of_colours


def test_scores_by_hand():
    truth = np.array([[0, 0, 0, 0], [1, 1, 255, 255]], np.uint8)
    predicted = np.array([[0, 0, 0, 1], [1, 255, 0, 1]], np.uint8)
    scores = semantic_scores(confusion(truth, predicted))
    # road: 3 of 4 right, never drawn elsewhere; sidewalk: 1 of 2, drawn once on road; void pixels do not
    # count
    assert np.isclose(scores["pixel_accuracy"], 4 / 6)
    assert np.isclose(scores["class_accuracy"], (3 / 4 + 1 / 2) / 2)
    assert np.isclose(scores["class_iou"], (3 / 4 + 1 / 3) / 2)
    assert semantic_scores(confusion(truth, truth)) == dict.fromkeys(scores, 1.0)


def test_counts_add_up_over_pictures():
    rng = np.random.default_rng(0)
    truth, predicted = (rng.integers(0, 19, (2, 8, 8)).astype(np.uint8) for _ in range(2))
    both = confusion(truth.reshape(16, 8), predicted.reshape(16, 8))
    np.testing.assert_array_equal(both, sum(confusion(t, p) for t, p in zip(truth, predicted, strict=True)))
    assert both.sum() == truth.size


def test_every_class_colour_is_its_class():
    """Car is car although license plate has its colour, and pole is pole although polegroup has."""
    scored = [row for row in CITYSCAPES if row.train_id != IGNORED]
    picture = np.array([[row.colour for row in scored]], np.uint8)
    np.testing.assert_array_equal(train_ids_of_colours(picture)[0], [row.train_id for row in scored])
    assert len(CLASSES) == 19 and CLASSES[13] == "car"
    near = np.clip(picture.astype(int) + 3, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(train_ids_of_colours(near)[0], [row.train_id for row in scored])
    car = np.array([[[0, 0, 142]]], np.uint8)
    assert CLASSES[train_ids_of_colours(car)[0, 0]] == "car"
