"""A trained system behind calls that take and return pictures."""

__all__ = ["Model"]

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np

from src.evaluation.run import TrainedRun
from src.models.system import System
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.runtime import Device

Batch = dict[str, np.ndarray]


class Model:
    """What :func:`src.inference.load` returns: one trained system, ready for use.

    Of ``translate``, ``sample``, ``encode`` and ``decode`` a system has those that it can do (:attr:`offers`); the
    others raise a ``UserError`` that says so. Pictures are numpy arrays (uint8 (H, W, 3), or floats in [-1, 1]) or PIL
    images, one, a list of them (of any sizes), or a stack (N, H, W, 3); results come in the form of the input unless
    ``output`` is ``numpy``, ``pil`` or ``float`` (float32 in [-1, 1]).

    In graph mode the first picture of each size is compiled; further ones of that size are not. ``batch_size``
    pictures of one size are computed together.
    """

    #: the calls that this kind of system has
    offers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, run: TrainedRun, device: Device):
        self._run, self.device = run, device

    @property
    def system(self) -> System:
        """The system with its networks."""
        return self._run.system

    @property
    def config(self) -> Config:
        """All options, as trained, with those that ``load`` was given."""
        return self._run.config

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self._run.folder

    @property
    def tag(self) -> str:
        """The checkpoint: an epoch, or epoch.iteration."""
        return self._run.tag

    def __repr__(self) -> str:
        return f"<{self.system.name} {self.folder} ({self.tag}): {', '.join(self.offers)}>"

    def translate(self, *inputs: Any, **options: Any) -> Any:
        """Pictures from pictures or label maps."""
        self._lacks("translate")

    def sample(self, *inputs: Any, **options: Any) -> Any:
        """Pictures drawn from the model."""
        self._lacks("sample")

    def encode(self, *inputs: Any, **options: Any) -> Any:
        """Pictures to what the model represents them by."""
        self._lacks("encode")

    def decode(self, *inputs: Any, **options: Any) -> Any:
        """The way back from :meth:`encode`."""
        self._lacks("decode")

    def _lacks(self, call: str) -> NoReturn:
        raise UserError(f"{self.system.name} has no {call}: it has {' and '.join(self.offers)}")


def in_batches(samples: Sequence[Batch], batch_size: int, function: Callable[[Batch], Any]) -> list[Any]:
    """Call ``function`` on batches of samples of equal shapes and return what belongs to each sample, in order.

    ``function`` returns an array (N, ...) or a list of such arrays. Every batch of a size has ``batch_size`` samples,
    the last one filled up with repetitions, so that one graph is compiled for it.

    Raises:
        UserError: ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise UserError(f"batch_size {batch_size} is below 1")
    groups: dict[tuple, list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(tuple((name, array.shape) for name, array in sample.items()), []).append(index)
    results: list[Any] = [None] * len(samples)
    for group in groups.values():
        for start in range(0, len(group), batch_size):
            rows = group[start : start + batch_size]
            filled = rows + rows[-1:] * (min(batch_size, len(group)) - len(rows))
            batch = {name: np.stack([samples[i][name] for i in filled]) for name in samples[rows[0]]}
            output = function(batch)
            for place, index in enumerate(rows):
                several = isinstance(output, (list, tuple))
                results[index] = [part[place : place + 1] for part in output] if several else output[place]
    return results
