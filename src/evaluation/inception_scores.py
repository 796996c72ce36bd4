"""FID and KID of a generator against its training pictures; the real features are computed once and kept."""

__all__ = ["inception_scores", "to_bytes"]

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor

from src.dataset import open_dataset
from src.evaluation.batches import batches_of, pictures_of
from src.evaluation.metrics.features import missing_inception
from src.evaluation.metrics.fid import fid, kid
from src.models.inception import load_inception
from src.models.system import System
from src.utils.errors import UserError
from src.utils.files import atomic_write, sha256_file
from src.utils.images import notice_once
from src.utils.logging import get_logger
from src.utils.progress import track

_FORMAT = 1


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Images in [-0.5, 0.5] as float32 values 0 to 255, clamped and cut to whole numbers, as published."""
    return np.floor(np.clip(images + 0.5, 0.0, 1.0) * 255.0).astype(np.float32)


def inception_scores(system: System, config: Any, required: bool = False) -> dict[str, float] | None:
    """``fid``, ``kid`` and ``kid_std`` over ``fid_n_samples`` pictures of each kind; None without weights.

    The system offers ``dequantise(pictures, rng)`` and ``runner.sample(count, std, seed, batch_size)``. Real features
    are kept under a key of data set, size, noise and weights beside the runs.

    Raises:
        UserError: ``required``, and there is no weight file; or the file is unusable.
    """
    path = config.inception_net_path
    problem = missing_inception(path)
    if problem:
        if required:
            raise UserError(problem)
        notice_once(f"inception {path}", f"{problem}. Going on without them")
        return None
    network = load_inception(path)
    real = _real_features(system, config, network)
    fake = _fake_features(system, config, network, len(real))
    distance, (mean, deviation) = fid(real, fake), kid(real, fake, seed=config.seed)
    return {"fid": distance, "kid": mean, "kid_std": deviation, "pictures": float(len(real))}


def _features(network, batches: Iterator[tuple[np.ndarray, int]]) -> np.ndarray:
    return np.concatenate([network(Tensor(to_bytes(images))).asnumpy()[:real] for images, real in batches])


def _real_features(system: System, config: Any, network) -> np.ndarray:
    data = open_dataset(system.dataset, config, "train", training=False)
    count = min(config.fid_n_samples, data.num_samples)
    key = _key(config, data, count)
    cache = Path(config.save_ckpt_dir) / ".features" / f"{key}.npy"
    if cache.is_file():
        return np.load(cache, allow_pickle=False)
    get_logger().info(f"features of {count} real pictures, kept in {cache}")
    rng = np.random.default_rng([config.seed, 23])
    pictures = (system.dequantise(picture, rng) for picture in pictures_of(data, count))
    tracked = track(pictures, "real pictures", total=count, unit="pictures")
    features = _features(network, batches_of(tracked, config.batch_size))
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


def _fake_features(system: System, config: Any, network, count: int) -> np.ndarray:
    size = config.batch_size

    def drawn() -> Iterator[tuple[np.ndarray, int]]:
        for start in range(0, count, size):
            images = system.runner.sample(size, config.fid_gen_std, seed=[config.seed, 29, start])
            yield images, min(size, count - start)

    total = -(-count // size)
    return _features(network, track(drawn(), "samples", total=total, unit="batches"))
