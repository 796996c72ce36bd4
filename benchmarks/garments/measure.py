"""What is measured of a trained flow: likelihoods of garments and of digits, and whether samples show their class."""

__all__ = ["bits_of", "measure"]

from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from src.imaging.images import write_png
from src.inference.model import Model, in_batches
from src.metrics.report import with_arithmetic
from src.models.parameters import count_parameters
from src.systems.loading import load

from .classifier import accuracy
from .images import CLASSES

_BATCH = 100
# rows of a picture of samples
_ROWS = 3


def measure(
    run: Path, digits: Path, judge: nn.Cell, images: int, samples: int, picture: Path, **options: Any
) -> dict[str, Any]:
    """Measure the newest checkpoint of ``run``, and write its first samples to ``picture``, a column for each class.

    Args:
        run: the folder of a flow that was trained on garments.
        digits: the folder of MNIST's digits, whose number stands in for a garment's class.
        judge: see :class:`benchmarks.garments.classifier.Classifier`.
        images: test images of each data set.
        samples: images to sample, as many of every class.
        options: see :func:`src.systems.loading.load`; ``data_root`` is the folder of garments.

    Returns:
        ``weights``; ``bits`` and ``bits_digits``, mean bits per dimension under the condition; ``digits_likelier``, the
        fraction of pairs of a garment and a digit in which the digit has fewer bits, ties counted half; ``temp``;
        ``class_accuracy``, the fraction of samples in which the judge sees the class that they were sampled for;
        ``checkpoint``, ``conv_precision``.
    """
    model = load(run, **options)
    own = bits_of(model, images)
    model.config = model.config.replace(data_root=str(digits))
    others = bits_of(model, images)
    classes = np.arange(samples, dtype=np.int32) % CLASSES
    maps = np.broadcast_to(classes[:, None, None], (samples, *model.size))
    drawn = model.sample(np.ascontiguousarray(maps), seed=model.config.seed, batch_size=_BATCH)
    write_png(picture, _sheet(np.asarray(drawn)[: _ROWS * CLASSES]))
    numbers = {
        "weights": count_parameters(model.system.network),
        "checkpoint": model.tag,
        "bits": float(own.mean()),
        "bits_digits": float(others.mean()),
        "digits_likelier": float((np.sign(own[:, None] - others[None]) + 1).mean() / 2),
        "temp": model.config.temp,
        "class_accuracy": accuracy(judge, drawn, classes),
    }
    return with_arithmetic(numbers)


def _sheet(samples: np.ndarray) -> np.ndarray:
    """(N, H, W) in rows, one sample of each class in each; what fills no row is left out."""
    columns, (height, width) = min(CLASSES, len(samples)), samples.shape[1:]
    tiles = samples[: len(samples) // columns * columns].reshape(-1, columns, height, width)
    return tiles.swapaxes(1, 2).reshape(-1, columns * width)


def bits_of(model: Model, count: int) -> np.ndarray:
    """Conditional bits per dimension, (count,), of the first test images: what ``eval.py --task bits_per_dim`` writes.

    That task takes one image at a time, this one a hundred.
    """
    epochs = model.data("test").epochs(1)
    _, batches = next(epochs)
    rows = [{name: array[0] for name, array in batch.items()} for _, batch in zip(range(count), batches, strict=False)]
    seed = model.config.seed
    return np.array(in_batches(rows, _BATCH, lambda batch: model.system.bits_per_dimension(batch, seed)))
