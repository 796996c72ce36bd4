"""Batches of images as a conditional flow takes them."""

__all__ = ["NO_BOUNDARY", "condition_inputs", "network_inputs", "sample_ids"]

from collections.abc import Mapping, Sequence

import numpy as np

from ...models.glow.fullglow import BOUNDARY_CHANNELS
from ...models.glow.network import ConditionalFlow
from ...utils.errors import UserError

#: placeholder of the boundary map for networks without one
NO_BOUNDARY = np.zeros((1, 1, 1, 1), np.float32)
_BINS = 256


def network_inputs(
    network: ConditionalFlow, batch: Mapping[str, np.ndarray], seed: Sequence[int] | None = None
) -> list[np.ndarray]:
    """``[x_a, x_b, boundary]``, images in [0, 1], of ``condition``, ``image`` and ``boundary``.

    With ``seed`` images are dequantised by uniform noise of width 1/256. The noise of a sample follows from ``seed``
    and its ``id`` alone, whatever the batch and the worker.

    Raises:
        UserError: sizes or channels that do not fit the network, or no boundary map where it needs one.
    """
    x_a, boundary = condition_inputs(network, batch)
    _check("image", batch["image"], network.channels, network.size)
    images = [x_a, _to_unit_interval(batch["image"])]
    if seed is not None:
        for row, index in enumerate(sample_ids(batch)):
            rng = np.random.default_rng([*seed, index])
            for x in images:
                x[row] += rng.random(x[row].shape, np.float32) / np.float32(_BINS)
    return [*images, boundary]


def condition_inputs(network: ConditionalFlow, batch: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """``[x_a, boundary]`` of a batch, see :func:`network_inputs`."""
    _check("condition", batch["condition"], network.condition_channels, network.size)
    boundary = NO_BOUNDARY
    if network.use_bmaps:
        if "boundary" not in batch:
            raise UserError("this network was trained with boundary maps (use_bmaps), but the data has none")
        boundary = batch["boundary"]
        _check("boundary map", boundary, BOUNDARY_CHANNELS, network.size)
    return [_to_unit_interval(batch["condition"]), boundary]


def sample_ids(batch: Mapping[str, np.ndarray]) -> list[int]:
    """The seed of each sample's noise: its place in the data set, or in the batch."""
    return [int(i) % 2**32 for i in batch.get("id", np.arange(len(batch["condition"])))]


def _to_unit_interval(x: np.ndarray) -> np.ndarray:
    return 0.5 * x + np.float32(0.5)


def _check(what: str, x: np.ndarray, channels: int, size: tuple[int, int]) -> None:
    """Raise ``UserError`` unless ``x`` is (N, ``channels``, H, W) of ``size`` = (H, W)."""
    if x.ndim != 4 or x.shape[1:] != (channels, *size):
        shape = "x".join(map(str, x.shape[1:]))
        raise UserError(
            f"{what} of {shape} (channels x height x width) does not fit this network, which takes "
            f"{channels}x{size[0]}x{size[1]} and no other size: resize it, or train with another --img_size"
        )
