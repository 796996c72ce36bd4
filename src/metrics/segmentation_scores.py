"""Semantic scores of label maps: over the 19 Cityscapes train ids, or over the classes of another label set."""

__all__ = ["CLASSES", "class_ious", "confusion", "semantic_scores", "train_ids_of_colours"]

import numpy as np

from ..imaging.palette import CITYSCAPES, IGNORED

_CHUNK = 1 << 16
#: names of the scored classes by train id
CLASSES = tuple(name for _, name in sorted((row.train_id, row.name) for row in CITYSCAPES if row.train_id != IGNORED))


def confusion(truth: np.ndarray, predicted: np.ndarray, classes: int = len(CLASSES)) -> np.ndarray:
    """Counts of true (row) and predicted (column) classes, both (H, W) of numbers from 0, such as train ids.

    Pixels whose true number is not a class do not count. Predictions that are not a class count as wrong: they are
    added to an extra last column, so the result is (classes, classes + 1).
    """
    n = classes
    scored = truth < n
    guess = predicted[scored].astype(np.int64)
    guess[(guess < 0) | (guess > n)] = n
    return np.bincount(truth[scored].astype(np.int64) * (n + 1) + guess, minlength=n * (n + 1)).reshape(n, n + 1)


def semantic_scores(counts: np.ndarray) -> dict[str, float]:
    """Pixel accuracy, mean class accuracy and mean IoU, each 0..1, of a sum of :func:`confusion`.

    Classes that occur neither in truth nor in predictions are left out of the means.
    """
    hits, true = np.diag(counts).astype(np.float64), counts.sum(1)
    ious = [iou for iou in class_ious(counts) if iou is not None]
    present = true > 0
    return {
        "pixel_accuracy": float(hits.sum() / max(1, true.sum())),
        "class_accuracy": float((hits[present] / true[present]).mean()) if present.any() else 0.0,
        "class_iou": float(np.mean(ious)) if ious else 0.0,
    }


def class_ious(counts: np.ndarray) -> list[float | None]:
    """Intersection over union of each class, 0..1; None where a class is neither in truth nor in predictions."""
    hits = np.diag(counts)
    union = counts.sum(1) + counts[:, :-1].sum(0) - hits
    return [float(h / u) if u else None for h, u in zip(hits, union, strict=True)]


def train_ids_of_colours(picture: np.ndarray) -> np.ndarray:
    """(H, W) train ids of an RGB image (H, W, 3) uint8: the scored class with the nearest colour at each pixel.

    As in the published evaluation only the 19 scored classes take part, so nothing becomes void; unlike there, each
    colour stands for the scored class that has it (car's is also license plate's, pole's is also polegroup's).
    """
    scored = sorted((row.train_id, row.colour) for row in CITYSCAPES if row.train_id != IGNORED)
    colours = np.array([colour for _, colour in scored], np.int32)
    packed, inverse = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
    nearest = np.zeros(len(packed), np.uint8)
    for first in range(0, len(packed), _CHUNK):
        part = packed[first : first + _CHUNK, None].astype(np.int32)
        nearest[first : first + _CHUNK] = ((part - colours[None]) ** 2).sum(2).argmin(1)
    return nearest[inverse.reshape(-1)].reshape(picture.shape[:2])
