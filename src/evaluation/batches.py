"""Pictures of an evaluation data set, which come one by one, as batches of one size."""

__all__ = ["batches_of", "pictures_of"]

from collections.abc import Iterator

import numpy as np


def batches_of(images: Iterator[np.ndarray], size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Stack arrays to batches of ``size``; the last is filled by repetition. Yields each with how many are real."""
    waiting: list[np.ndarray] = []
    for image in images:
        waiting.append(image)
        if len(waiting) == size:
            yield np.stack(waiting), size
            waiting = []
    if waiting:
        filled = [waiting[i % len(waiting)] for i in range(size)]
        yield np.stack(filled), len(waiting)


def pictures_of(data, count: int) -> Iterator[np.ndarray]:
    """The first ``count`` pictures (3, H, W) in [-1, 1] of a data set of images, in its order."""
    epochs = data.epochs(1)
    try:
        _, batches = next(epochs)
        for _, batch in zip(range(count), batches, strict=False):
            yield batch["image"][0]
    finally:
        epochs.close()
