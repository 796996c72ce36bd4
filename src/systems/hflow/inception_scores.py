"""FID and KID of samples against the training images; the features of the latter are computed once and kept."""

__all__ = ["inception_scores", "sampled_features", "to_bytes"]

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...dataset.batches import Alone, batches_of, pictures_of
from ...dataset.pipeline import Pipeline
from ...imaging.images import notice_once
from ...metrics.features import Inception, missing_inception
from ...metrics.fid import fid, kid
from ...utils.files import atomic_write, sha256_file
from ...utils.logging import get_logger
from ...utils.progress import track
from ...utils.tables import load_table
from ...utils.text import counted
from .bins import dequantise

if TYPE_CHECKING:
    from .system import HFlowSystem

_FORMAT = 1
_DIMENSIONS = 2048


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Images in [-0.5, 0.5] as float32 values 0 to 255, clamped and cut to whole numbers, as published."""
    return np.floor(np.clip(images + 0.5, 0.0, 1.0) * 255.0).astype(np.float32)


def inception_scores(system: "HFlowSystem", workers: Any = Alone) -> dict[str, float] | None:
    """``fid``, ``kid`` and ``kid_std`` over ``fid_n_samples`` images of each kind; None without weights.

    ``workers`` divide the images among them, and all but the first get None.

    Raises:
        UserError: the weights are unusable.
    """
    config = system.config
    problem = missing_inception(config.inception_net_path)
    # if one worker has no weights, no other worker may wait for it
    if workers.total(np.array([bool(problem)], np.float32))[0]:
        problem = problem or "another worker has no Inception weights"
        notice_once(f"inception {config.inception_net_path}", f"{problem}. Going on without them")
        return None
    real, fake, _ = sampled_features(system, workers)
    if workers.rank:
        return None
    distance, (mean, std) = fid(real, fake), kid(real, fake, seed=config.seed)
    return {"fid": distance, "kid": mean, "kid_std": std, "images": float(len(real))}


def sampled_features(system: "HFlowSystem", workers: Any = Alone) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """Features (N, 2048) of training images and of as many samples, and the protocol of their comparison.

    Real features are kept under a key of data set, size, noise and weights beside the runs; the first worker alone may
    have them.

    Raises:
        UserError: the weights are missing or unusable.
    """
    config = system.config
    inception = Inception(config.inception_net_path, "bilinear")
    real = _real_features(system, inception, workers)
    fake = _fake_features(system, inception, len(real), workers)
    size = f"{system.options.resolution}x{system.options.resolution}"
    own: dict[str, object] = {
        "size": size,
        "size_real": f"{size}, made square by image_fit {config.image_fit}",
        "real": f"the first training images, with noise of standard deviation {config.added_noise_std}",
        "latents": f"standard deviation {config.fid_gen_std}, seed {config.seed}",
        "values": "clamped and cut to whole numbers",
    }
    return real, fake, own | inception.protocol


def _features(
    inception: Inception, batches: Iterator[Callable[[], np.ndarray]], count: int, size: int, workers: Any
) -> np.ndarray:
    """Each worker makes and evaluates every ``world``-th batch; all workers get the sum."""
    own = np.zeros((count, _DIMENSIONS), np.float32)
    for i, batch in enumerate(batches):
        if i % workers.world == workers.rank:
            rows = own[i * size : (i + 1) * size]
            rows[:] = inception.features(to_bytes(batch()))[: len(rows)]
    return workers.total(own)


def _real_features(system: "HFlowSystem", inception: Inception, workers: Any) -> np.ndarray:
    config = system.config
    data = system.data.open(system.request(config, training=False), config, "train", training=False)
    count, size = min(config.fid_n_samples, data.num_samples), config.batch_size
    cache = Path(config.save_ckpt_dir) / ".features" / f"{_key(system, data, count)}.npy"
    # the first worker's disk decides for all workers
    if workers.total(np.array([workers.rank == 0 and cache.is_file()], np.float32))[0]:
        if workers.rank:
            return np.zeros((count, 0), np.float32)
        return load_table(cache, "delete it, and it is made again")
    get_logger().info(f"features of {counted(count, 'real image')}, kept in {cache}")
    rng = np.random.default_rng([config.seed, 23])
    bits, std = config.discretization_bits, config.added_noise_std
    images = (dequantise(image, bits, rng, std) for image in pictures_of(data, count))
    tracked = track(images, "real images", total=count, unit="images")
    batches = (partial(np.asarray, images) for images, _ in batches_of(tracked, size))
    features = _features(inception, batches, count, size, workers)
    if workers.rank == 0:
        buffer = io.BytesIO()
        np.save(buffer, features, allow_pickle=False)
        cache.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(cache, buffer.getvalue())
    return features


def _key(system: "HFlowSystem", data: Pipeline, count: int) -> str:
    config, files = system.config, []
    for index in range(count):
        status = data.files(index)["image"].stat()
        files.append([data.name(index), status.st_size, status.st_mtime_ns])
    parts = {
        "format": _FORMAT,
        "files": files,
        "size": system.options.resolution,
        "fit": config.image_fit,
        "bits": config.discretization_bits,
        "noise": config.added_noise_std,
        "seed": config.seed,
        "weights": sha256_file(Path(config.inception_net_path)),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _fake_features(system: "HFlowSystem", inception: Inception, count: int, workers: Any) -> np.ndarray:
    config, size = system.config, system.config.batch_size

    def draw(start: int) -> np.ndarray:
        # numbered over all batches, so that no image depends on their size
        return system.decode(system.draw(count, config.fid_gen_std, [config.seed, 29], start, start + size))[0]

    starts = range(0, count, size)
    tracked = track(starts, "samples", total=len(starts), unit="batches")
    return _features(inception, (partial(draw, start) for start in tracked), count, size, workers)
