"""Semantic scores over the 19 Cityscapes train ids, from label maps of a segmenter or from colour-coded
ones."""

__all__ = ["CLASSES", "confusion", "semantic_scores", "train_ids_of_colours"]

import numpy as np

from src.utils.palette import CITYSCAPES, IGNORED

_CHUNK = 1 << 16
#: names of the scored classes by train id
CLASSES = tuple(name for _, name in sorted((row.train_id, row.name) for row in CITYSCAPES if row.train_id != IGNORED))


def confusion(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(19, 19) counts of true (row) and predicted (column) train ids, both (H, W).

    Pixels whose true class is ignored do not count; predictions that are no train id count as wrong: they add
    to their true class without a column, in an extra last column, so the result is (19, 20).
    """
    n = len(CLASSES)
    scored = truth < n
    guess = np.minimum(predicted[scored].astype(np.int64), n)
    return np.bincount(truth[scored].astype(np.int64) * (n + 1) + guess, minlength=n * (n + 1)).reshape(n, n + 1)


def semantic_scores(counts: np.ndarray) -> dict[str, float]:
    """Pixel accuracy, mean class accuracy and mean IoU, each 0..1, of a sum of :func:`confusion`.

    Classes that occur neither in truth nor in predictions are left out of the means.
    """
    hits, true = np.diag(counts).astype(np.float64), counts.sum(1)
    union = true + counts[:, :-1].sum(0) - hits
    present, drawn = true > 0, union > 0
    return {
        "pixel_accuracy": float(hits.sum() / max(1, true.sum())),
        "class_accuracy": float((hits[present] / true[present]).mean()) if present.any() else 0.0,
        "class_iou": float((hits[drawn] / union[drawn]).mean()) if drawn.any() else 0.0,
    }


def train_ids_of_colours(picture: np.ndarray) -> np.ndarray:
    """(H, W) train ids of an RGB picture (H, W, 3) uint8: at each pixel the scored class with the nearest
    colour.

    As in the published evaluation only the 19 scored classes take part, so nothing becomes void; unlike
    there, each colour stands for the scored class that has it (car's is also license plate's, pole's is also
    polegroup's).
    """
    scored = sorted((row.train_id, row.colour) for row in CITYSCAPES if row.train_id != IGNORED)
    colours = np.array([colour for _, colour in scored], np.int32)
    packed, inverse = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
    nearest = np.zeros(len(packed), np.uint8)
    for first in range(0, len(packed), _CHUNK):
        part = packed[first : first + _CHUNK, None].astype(np.int32)
        nearest[first : first + _CHUNK] = ((part - colours[None]) ** 2).sum(2).argmin(1)
    return nearest[inverse.reshape(-1)].reshape(picture.shape[:2])
