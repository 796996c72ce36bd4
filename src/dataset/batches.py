"""Batching of images that an evaluation delivers one by one."""

__all__ = ["Alone", "Batched", "ahead", "batches_of", "pictures_of"]

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from .pipeline import Pipeline

Item = TypeVar("Item")
Result = TypeVar("Result")


class Alone:
    """The single worker of an evaluation, with the interface of a run's workers."""

    rank, world = 0, 1

    @staticmethod
    def total(array: np.ndarray) -> np.ndarray:
        """The sum over all workers."""
        return array


def batches_of(images: Iterator[np.ndarray], size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Stack arrays to batches of ``size``, the last filled by repetition; yields each with its count of real arrays."""
    waiting: list[np.ndarray] = []
    for image in images:
        waiting.append(image)
        if len(waiting) == size:
            yield np.stack(waiting), size
            waiting = []
    if waiting:
        yield _filled(waiting, size), len(waiting)


def _filled(arrays: list[np.ndarray], size: int) -> np.ndarray:
    return np.stack([arrays[i % len(arrays)] for i in range(size)])


def pictures_of(data: Pipeline, count: int) -> Iterator[np.ndarray]:
    """The first ``count`` images (3, H, W) in [-1, 1] of a data set of images, in its order."""
    epochs = data.epochs(1)
    try:
        _, batches = next(epochs)
        for _, batch in zip(range(count), batches, strict=False):
            yield batch["image"][0]
    finally:
        epochs.close()


class Batched:
    """A network that is fed one sample at a time and computes whole batches, which never change their size.

    Samples of different shapes wait in different batches, so that one compiled graph serves each shape.

    Args:
        function: batches (N, ...) of each array of a sample to results (N, ...).
        size: samples a batch, by the shape of a sample's first array.
    """

    def __init__(self, function: Callable[..., np.ndarray], size: Callable[[tuple[int, ...]], int]):
        self._function, self._size = function, size
        self._waiting: dict[tuple, list[tuple[int, tuple[np.ndarray, ...]]]] = defaultdict(list)
        self._results: dict[int, np.ndarray] = {}
        self._count = 0

    def add(self, *arrays: np.ndarray) -> int:
        """Add a sample and return its number, counted from 0."""
        shape = arrays[0].shape
        self._waiting[shape].append((self._count, arrays))
        self._count += 1
        if len(self._waiting[shape]) == self._size(shape):
            self._run(shape)
        return self._count - 1

    def results(self) -> list[np.ndarray]:
        """The results of all samples so far, in the order in which they were added."""
        for shape in [shape for shape, waiting in self._waiting.items() if waiting]:
            self._run(shape)
        return [self._results[i] for i in range(self._count)]

    def _run(self, shape: tuple[int, ...]) -> None:
        numbers, samples = zip(*self._waiting.pop(shape), strict=True)
        columns = [_filled(list(column), self._size(shape)) for column in zip(*samples, strict=True)]
        self._results |= dict(zip(numbers, self._function(*columns), strict=False))


def ahead(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """``map`` in order, with ``threads`` that work on the next items while the caller processes the last one."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
