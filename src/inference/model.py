"""A trained system: the common interface for Python callers, tasks, editor, metrics and export."""

__all__ = ["Batch", "Model", "in_batches"]

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..contracts.system import System
from ..dataset.pipeline import Pipeline
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.runtime import Device
from .padding import pad_batch, size_of

Batch = dict[str, np.ndarray]


class Model:
    """The result of ``load``: one trained system, ready for use.

    A system supports some of ``translate``, ``sample``, ``encode`` and ``decode`` (:attr:`offers`); the others raise a
    ``UserError``. Images are numpy arrays (uint8 (H, W, 3), or floats in [-1, 1]) or PIL images, one, a list of them
    (of any sizes), or a stack (N, H, W, 3); results come in the form of the input unless ``output`` is ``numpy``,
    ``pil`` or ``float`` (float32 in [-1, 1]).

    In graph mode the first image of each size is compiled; further ones of that size are not. ``batch_size`` images of
    one size are computed together.

    Attributes:
        system: the system with its networks.
        config: all options: those of the training, with those of the caller.
        folder: the run's folder.
        tag: the checkpoint: an epoch, or epoch.iteration.
        device: device that it runs on.
    """

    #: the calls that this kind of system has
    offers: tuple[str, ...] = ()

    def __init__(self, system: System, config: Config, folder: Path, tag: str, device: Device):
        self.system, self.config, self.folder, self.tag, self.device = system, config, folder, tag, device

    def __repr__(self) -> str:
        return f"<{self.system.name} {self.folder} ({self.tag}): {', '.join(self.offers)}>"

    def run(self, batch: Batch, seed: int = 0, **how: Any) -> Batch:
        """Translate a batch of any size: see :meth:`System.translate`, which receives ``how``.

        A result has the size of its input map: the first map, unless the system names another.
        """
        outputs = self.system.translate(pad_batch(batch, self.system.stride, self.system.smallest), seed, **how)
        sizes = {name: self._source_size(batch, name) for name in outputs}
        return {name: array[:, :, : sizes[name][0], : sizes[name][1]] for name, array in outputs.items()}

    def _source_size(self, batch: Batch, output: str) -> tuple[int, int]:
        source, _ = self.system.styles.get(output, ("", ""))
        return size_of({source: batch[source]} if source in batch else batch)

    def data(self, phase: str, training: bool = False) -> Pipeline:
        """The run's data set: with ``training`` as in training, else every sample once, in order."""
        return self.system.data.open(self.system.request(self.config, training), self.config, phase, training=training)

    def translate(self, *inputs: Any, **options: Any) -> Any:
        """Images from images or label maps."""
        self._lacks("translate")

    def sample(self, *inputs: Any, **options: Any) -> Any:
        """Images drawn from the model."""
        self._lacks("sample")

    def encode(self, *inputs: Any, **options: Any) -> Any:
        """Images to the model's representation of them."""
        self._lacks("encode")

    def decode(self, *inputs: Any, **options: Any) -> Any:
        """The inverse of :meth:`encode`."""
        self._lacks("decode")

    def _lacks(self, call: str) -> NoReturn:
        offered = " and ".join(self.offers) or "no calls from Python"
        raise UserError(f"{self.system.name} has no {call}: it has {offered}")


def in_batches(samples: Sequence[Batch], batch_size: int, function: Callable[[Batch], Any]) -> list[Any]:
    """Call ``function`` on batches of samples of equal shapes and return the result of each sample, in order.

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
