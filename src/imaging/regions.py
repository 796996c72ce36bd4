"""The class of a region of a label map: the most frequent class of its pixels."""

__all__ = ["region_labels"]

import numpy as np


def region_labels(regions: np.ndarray, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The most frequent label of every region, and the number of pixels of each region.

    So a few pixels do not decide where label and instance map disagree at borders, as in resized pairs. Of equally
    frequent labels the lowest is taken.

    Args:
        regions: integers (H, W) in [0, ``count``).
        labels: integers (H, W), not negative.
        count: number of regions.

    Returns:
        int64 (``count``,) labels and int64 (``count``,) pixel counts, both 0 for regions without pixels.
    """
    flat = regions.reshape(-1).astype(np.int64)
    values = int(labels.max()) + 1
    pairs, pixels = np.unique(flat * values + labels.reshape(-1), return_counts=True)
    # each region's last entry decides, so the most frequent label comes last, and of equals the lowest
    order = np.lexsort((-pairs, pixels))
    most = np.zeros(count, np.int64)
    most[pairs[order] // values] = pairs[order] % values
    return most, np.bincount(flat, minlength=count)
