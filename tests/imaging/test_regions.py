"""The class of a region."""

import numpy as np

from src.imaging.regions import region_labels


def test_most_frequent_labels_against_a_loop():
    rng = np.random.default_rng(0)
    for _ in range(100):
        regions, labels = rng.integers(0, 6, (5, 4)).astype(np.int32), rng.integers(0, 4, (5, 4)).astype(np.uint16)
        classes, pixels = region_labels(regions, labels, 8)
        for k in range(8):
            own = labels[regions == k]
            assert pixels[k] == len(own)
            assert classes[k] == (np.bincount(own).argmax() if len(own) else 0)


def test_a_pixel_at_the_border_does_not_decide():
    """Instance and label map of a resized pair disagree by a pixel: the first pixel of the instance is of the wall."""
    labels = np.full((20, 30), 11)
    labels[5:, 3:25] = 13
    regions = np.zeros((20, 30), int)
    regions[5:, 3:25] = regions[4, 3] = 1
    classes, pixels = region_labels(regions, labels, 2)
    assert classes.tolist() == [11, 13] and pixels.tolist() == [269, 331]


def test_highest_numbers():
    classes, pixels = region_labels(np.array([[65535, 65535]]), np.array([[65535, 65535]]), 65536)
    assert classes[65535] == 65535 and pixels[65535] == 2 and classes[0] == pixels[0] == 0
