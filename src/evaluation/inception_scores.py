"""FID and KID of a generator against its training pictures; the real features are computed once and kept."""

__all__ = ["inception_scores", "sampled_features", "to_bytes"]

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from src.dataset import open_dataset
from src.evaluation.batches import Alone, batches_of, pictures_of
from src.evaluation.metrics.features import Inception, missing_inception
from src.evaluation.metrics.fid import fid, kid
from src.models.system import System
from src.utils.files import atomic_write, sha256_file
from src.utils.images import notice_once
from src.utils.logging import get_logger
from src.utils.progress import track
from src.utils.tables import load_table

_FORMAT = 1
_DIMENSIONS = 2048


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Images in [-0.5, 0.5] as float32 values 0 to 255, clamped and cut to whole numbers, as published."""
    return np.floor(np.clip(images + 0.5, 0.0, 1.0) * 255.0).astype(np.float32)


def inception_scores(system: System, config: Any, workers: Any = Alone) -> dict[str, float] | None:
    """``fid``, ``kid`` and ``kid_std`` over ``fid_n_samples`` pictures of each kind; None without weights.

    ``workers`` share the pictures, and all but the first get None.

    Raises:
        UserError: the weights are unusable.
    """
    problem = missing_inception(config.inception_net_path)
    # where one worker has no weights, none may wait for its share
    if workers.total(np.array([bool(problem)], np.float32))[0]:
        problem = problem or "another worker has no Inception weights"
        notice_once(f"inception {config.inception_net_path}", f"{problem}. Going on without them")
        return None
    real, fake, _ = sampled_features(system, config, workers)
    if workers.rank:
        return None
    distance, (mean, deviation) = fid(real, fake), kid(real, fake, seed=config.seed)
    return {"fid": distance, "kid": mean, "kid_std": deviation, "pictures": float(len(real))}


def sampled_features(
    system: System, config: Any, workers: Any = Alone
) -> tuple[np.ndarray, np.ndarray, dict[str, object]]:
    """Features (N, 2048) of training pictures and of as many samples, and the protocol of what is made of them.

    The system offers ``dequantise(pictures, rng)`` and ``runner.sample(count, std, seed, batch_size)``. Real features
    are kept under a key of data set, size, noise and weights beside the runs; the first worker alone may have them.

    Raises:
        UserError: the weights are missing or unusable.
    """
    inception = Inception(config.inception_net_path, "bilinear")
    real = _real_features(system, config, inception, workers)
    fake = _fake_features(system, config, inception, len(real), workers)
    size = f"{config.resolutions[0]}x{config.resolutions[0]}"
    own = {
        "size": size,
        "size_real": f"{size}, made square by image_fit {config.image_fit}",
        "real": f"the first training pictures, with noise of deviation {config.added_noise_std}",
        "latents": f"deviation {config.fid_gen_std}, seed {config.seed}",
        "values": "clamped and cut to whole numbers",
    }
    return real, fake, own | inception.protocol


def _features(
    inception: Inception, batches: Iterator[Callable[[], np.ndarray]], count: int, size: int, workers: Any
) -> np.ndarray:
    """Each worker makes and looks at every ``world``-th batch; all get the sum."""
    own = np.zeros((count, _DIMENSIONS), np.float32)
    for i, batch in enumerate(batches):
        if i % workers.world == workers.rank:
            rows = own[i * size : (i + 1) * size]
            rows[:] = inception.features(to_bytes(batch()))[: len(rows)]
    return workers.total(own)


def _real_features(system: System, config: Any, inception: Inception, workers: Any) -> np.ndarray:
    data = open_dataset(system.dataset, config, "train", training=False)
    count, size = min(config.fid_n_samples, data.num_samples), config.batch_size
    cache = Path(config.save_ckpt_dir) / ".features" / f"{_key(config, data, count)}.npy"
    # what the first worker's disk holds decides for all
    if workers.total(np.array([workers.rank == 0 and cache.is_file()], np.float32))[0]:
        if workers.rank:
            return np.zeros((count, 0), np.float32)
        return load_table(cache, "delete it, and it is made again")
    get_logger().info(f"features of {count} real pictures, kept in {cache}")
    rng = np.random.default_rng([config.seed, 23])
    pictures = (system.dequantise(picture, rng) for picture in pictures_of(data, count))
    tracked = track(pictures, "real pictures", total=count, unit="pictures")
    batches = (partial(np.asarray, images) for images, _ in batches_of(tracked, size))
    features = _features(inception, batches, count, size, workers)
    if workers.rank == 0:
        buffer = io.BytesIO()
        np.save(buffer, features, allow_pickle=False)
        cache.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(cache, buffer.getvalue())
    return features


def _key(config: Any, data, count: int) -> str:
    files = []
    for index in range(count):
        status = data.files(index)["image"].stat()
        files.append([data.name(index), status.st_size, status.st_mtime_ns])
    parts = {
        "format": _FORMAT,
        "files": files,
        "size": config.resolutions[0],
        "fit": config.image_fit,
        "bits": config.discretization_bits,
        "noise": config.added_noise_std,
        "seed": config.seed,
        "weights": sha256_file(Path(config.inception_net_path)),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def _fake_features(system: System, config: Any, inception: Inception, count: int, workers: Any) -> np.ndarray:
    size = config.batch_size

    def draw(start: int) -> np.ndarray:
        return system.runner.sample(size, config.fid_gen_std, seed=[config.seed, 29, start])

    starts = range(0, count, size)
    tracked = track(starts, "samples", total=len(starts), unit="batches")
    return _features(inception, (partial(draw, start) for start in tracked), count, size, workers)
