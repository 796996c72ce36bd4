"""Bits per dimension of held-out images: definition and measurement."""

__all__ = ["REFERENCE", "Bits", "held_out_bits", "reference_spreads"]

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor

from ...dataset.batches import Alone, batches_of, pictures_of
from ...models.hflow.bound import noise_size, spread
from ...options.config import Config
from .bins import dequantise

if TYPE_CHECKING:
    from .system import HFlowSystem

#: number of training images whose encodings determine the noise on each level
REFERENCE = 64


@dataclass(frozen=True)
class Bits:
    """Bits per colour value of held-out images.

    Attributes:
        mean: average over images of an estimate of their bits.
        error: its standard error; None for one image.
        loss: the weighted sum over levels that training minimises.
        levels: mean of each level, in bits per number of that level.
        count: images.
        bound: ``mean`` is, in expectation, at least the negative log-likelihood of the images' values, each
            of ``discretization_bits``.
    """

    mean: float
    error: float | None
    loss: float
    levels: dict[str, float]
    count: int
    bound: bool


def _inputs(images: np.ndarray, first: int, config: Config, noise: int) -> tuple[np.ndarray, np.ndarray]:
    """Dequantised images and (N, ``noise``) standard normal values: each follows from the image's number alone."""
    rngs = [np.random.default_rng([config.seed, 17, first + row]) for row in range(len(images))]
    values = [dequantise(image, config.discretization_bits, rng) for image, rng in zip(images, rngs, strict=True)]
    return np.stack(values), np.stack([rng.standard_normal(noise, np.float32) for rng in rngs])


def reference_spreads(system: "HFlowSystem") -> np.ndarray:
    """The spread (see :func:`spread`) of every encoding over the first ``REFERENCE`` training images, float32.

    A property of the weights and the training data, where training takes the spread over each of its batches.
    """
    config = system.config
    most = min(REFERENCE, config.max_dataset_size or REFERENCE)
    request = system.request(config, training=False)
    data = system.data.open(request, config.replace(max_dataset_size=most), "train", training=False)
    encoded, first = [], 0
    for images, real in batches_of(pictures_of(data, data.num_samples), config.batch_size):
        system.check_size(images)
        values, _ = _inputs(images, first, config, 0)
        encoded.append([y.asnumpy()[:real] for y in system.encodings(Tensor(values))])
        first += real
    return np.array([spread(Tensor(np.concatenate(parts))).asnumpy() for parts in zip(*encoded, strict=True)])


def held_out_bits(system: "HFlowSystem", count: int = 0, workers: Any = Alone) -> Bits:
    """Measure the held-out images of a system's data set (``count`` of them; 0: all), each worker its part.

    Each value is drawn uniformly from its bin, and each level's noise is the same where it is modelled and where it is
    a condition; its standard deviation is a fixed multiple of :func:`reference_spreads`. The sum over levels is then,
    in expectation over both draws, at least the negative log-likelihood of the discrete image: an upper bound of the
    true bits, one draw an image. The bits of an image depend on it, its number, the weights and the seed, and neither
    on the other images nor on the size of batches.

    Raises:
        UserError: data that cannot be read, or of another size; a network that is not invertible.
    """
    config, bound, dims = system.config, system.bound, np.array(system.bound.dims)
    spreads, noise = Tensor(reference_spreads(system)), noise_size(system.options)
    data = system.data.open(system.request(config, training=False), config, "test", training=False)
    total, size = min(count or data.num_samples, data.num_samples), config.batch_size
    own = np.zeros((len(dims), total), np.float32)
    for i, (images, real) in enumerate(batches_of(pictures_of(data, total), size)):
        system.check_size(images)
        if i % workers.world == workers.rank:
            values, draws = _inputs(images, i * size, config, noise)
            _, bits = bound(Tensor(values), Tensor(draws), spreads)
            # callers name the mixes that make bits not finite
            if np.isfinite(bits.asnumpy()).all():
                system.require_inverse(values)
            own[:, i * size : i * size + real] = bits.asnumpy()[:, :real]
    bits = workers.total(own).astype(np.float64)
    joint = dims @ bits / bound.image_dim + config.discretization_bits
    error = float(joint.std(ddof=1)) / math.sqrt(len(joint)) if len(joint) > 1 else None
    weights = bound.weights.asnumpy().astype(np.float64)[:, 0]
    levels = dict(zip(system.level_names, bits.mean(1).tolist(), strict=True))
    return Bits(float(joint.mean()), error, float((weights @ bits).mean()), levels, len(joint), bound.bounds)
