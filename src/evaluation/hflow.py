"""A trained hflow in four calls, and what its evaluation measures.

model = HFlowModel.from_path("checkpoints/cats")
image = model.load_img("cat.jpg")       # (1, 3, R, R) in [-0.5, 0.5]
latents = model.inverse(image)          # list: one (1, c, r, r) a level, then one (1, c, 1, 1) a part of the top
again = model.forward(latents)          # (1, 3, R, R), equal to image
"""

__all__ = ["Bits", "HFlowModel", "held_out_bits", "interpolate_latents", "training_metrics"]

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor

from src.dataset import open_dataset
from src.dataset.imagefolder import to_square
from src.evaluation.batches import Alone, batches_of, pictures_of
from src.evaluation.inception_scores import inception_scores
from src.models.hflow.initial import init_parameters
from src.models.hflow.network import HFlow
from src.models.hflow.options import from_published
from src.models.hflow.published import is_published_file, read_published
from src.models.hflow.runner import Runner
from src.models.hflow.system import HFlowSystem, model_options
from src.models.state import load_arrays
from src.training.checkpoint_reader import CheckpointReader
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.images import read_image


class HFlowModel:
    """Encodes, decodes and samples with the averaged weights of a run; numpy arrays in and out, no noise.

    Images are float32 (N, 3, R, R) in [-0.5, 0.5], R being :attr:`resolution`. Latents are a list of float32 arrays:
    (N, c, r, r) for each level from fine to coarse, then (N, c, 1, 1) for each part of the top. Image to latents to
    image is exact up to float32; latents to image to latents is not, as latents are more numbers than an image has.
    """

    def __init__(self, network: HFlow):
        self.network = network
        self.runner = Runner(network)

    @classmethod
    def from_path(cls, path: str | Path, tag: str = "latest") -> "HFlowModel":
        """Load a run's folder (its checkpoint ``tag``), one of its ``*_net_F_ema`` files, or a published file.

        Published ``model_iter_*.bin`` files are read without running the code that is in them.

        Raises:
            UserError: nothing to load there, or a file that cannot be read safely: the message says why.
        """
        path = Path(path)
        if is_published_file(path):
            model = read_published(path)
            if model.settings is None:
                raise UserError(
                    f"{path} is of an early version without settings: convert it with data/convert_checkpoint.py and "
                    "the configuration that it was trained with"
                )
            options, arrays = from_published(model.settings, str(path)), model.arrays
        else:
            if path.name.endswith("_net_F_ema.safetensors"):
                path, tag = path.parent, path.name.removesuffix("_net_F_ema.safetensors")
            checkpoint = CheckpointReader(path).load(tag, with_state=False)
            if checkpoint.system != HFlowSystem.name or "F_ema" not in checkpoint.networks:
                raise UserError(f"{path}: checkpoint {checkpoint.tag} is of {checkpoint.system}, not of hflow")
            options = model_options(Config.from_dict(checkpoint.config))
            arrays = checkpoint.networks["F_ema"]
        network = HFlow(options)
        init_parameters(network)
        load_arrays(network, arrays, source=str(path))
        return cls(network)

    @property
    def resolution(self) -> int:
        """Height and width of images, in pixels."""
        return self.network.options.resolution

    def load_img(self, path: str | Path, fit: str = "squash") -> np.ndarray:
        """Read a picture as (1, 3, R, R): ``squash`` resizes both sides, ``crop`` cuts the middle square out first."""
        image = to_square(read_image(path, 3), self.resolution, fit)
        return (image.transpose(2, 0, 1)[None].astype(np.float32) / 255.0) - np.float32(0.5)

    def inverse(self, image: np.ndarray) -> list[np.ndarray]:
        """Images to latents."""
        return self.runner.inverse(image)

    def forward(self, latents: Sequence[np.ndarray]) -> np.ndarray:
        """Latents to images, not clamped."""
        return self.runner.forward(latents)


def interpolate_latents(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], share: float, spherical: bool = False
) -> list[np.ndarray]:
    """Latents on the way from ``a`` (share 0) to ``b`` (share 1), each latent by itself.

    Straight, as published by default, or along the great circle of each sample's vector, which keeps its norm typical
    of the prior; latents that are parallel are interpolated straight.
    """
    if not spherical:
        return [((1.0 - share) * x + share * y).astype(np.float32) for x, y in zip(a, b, strict=True)]
    return [_slerp(x, y, share) for x, y in zip(a, b, strict=True)]


def _slerp(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    x, y = (z.reshape(len(z), -1).astype(np.float64) for z in (a, b))
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    angle = np.arccos(np.clip((x * y).sum(1) / np.maximum(norms, 1e-12), -1.0, 1.0))
    straight = np.sin(angle) < 1e-6
    sine = np.where(straight, 1.0, np.sin(angle))
    first = np.where(straight, 1.0 - share, np.sin((1.0 - share) * angle) / sine)
    second = np.where(straight, share, np.sin(share * angle) / sine)
    return (first[:, None] * x + second[:, None] * y).reshape(a.shape).astype(np.float32)


@dataclass(frozen=True)
class Bits:
    """Bits per colour value of held-out pictures.

    Attributes:
        mean: average over pictures of an upper bound of the negative log-likelihood of their 8-bit values.
        error: its standard error.
        loss: the weighted sum over levels that training minimises.
        levels: mean of each level, in bits per number of that level.
        count: pictures.
    """

    mean: float
    error: float
    loss: float
    levels: dict[str, float]
    count: int


def held_out_bits(system: HFlowSystem, data, count: int = 0, seed: int = 0, workers: Any = Alone) -> Bits:
    """Measure the pictures of an evaluation data set (``count`` of them; 0: all), each worker its share of batches.

    Each 8-bit value is spread uniformly over its bin, and each level's noise is the same where it is modelled and
    where it is a condition. The sum over levels is then, in expectation over both draws, at least the negative
    log-likelihood of the discrete picture: an upper bound of the true bits, one draw a picture. What it is not: the
    noise is scaled by the spread over the batch, so pictures share it with their batch.
    """
    objective, dims = system.bound, np.array(system.bound.dims)
    rng = np.random.default_rng([seed, 17])
    total = min(count or data.num_samples, data.num_samples)
    size = system.config.batch_size
    own = np.zeros((len(dims), total), np.float32)
    for i, (pictures, real) in enumerate(batches_of(pictures_of(data, total), size)):
        system.check_size(pictures)
        image = system.quantise(pictures)
        image = (image + rng.random(image.shape) / 2.0**system.config.discretization_bits - 0.5).astype(np.float32)
        noise = rng.standard_normal((len(image), system.noise_size), np.float32)
        if i % workers.world == workers.rank:
            _, bits = objective(Tensor(image), Tensor(noise))
            own[:, i * size : i * size + real] = bits.asnumpy()[:, :real]
    bits = workers.total(own).astype(np.float64)
    joint = dims @ bits / objective.image_dim + system.config.discretization_bits
    error = joint.std(ddof=1) / math.sqrt(len(joint)) if len(joint) > 1 else float("nan")
    weights = objective.weights.asnumpy().astype(np.float64)[:, 0]
    levels = dict(zip(system.level_names, bits.mean(1).tolist(), strict=True))
    return Bits(float(joint.mean()), float(error), float((weights @ bits).mean()), levels, len(joint))


def training_metrics(system: HFlowSystem, config: Any, workers: Any = Alone) -> dict[str, float]:
    """Under their published TensorBoard tags: bound and loss on held-out pictures, FID and KID where weights are.

    ``workers`` share the pictures; FID and KID are the first one's.
    """
    data = open_dataset("images", config, "test", training=False)
    bits = held_out_bits(system, data, seed=config.seed, workers=workers)
    metrics = {"likelihood_bound/bpd_eval_ema": bits.mean, "loss/eval_ema": bits.loss}
    scores = inception_scores(system, config, workers=workers)
    return metrics | ({} if scores is None else {"fid/fid": scores["fid"], "fid/kid": scores["kid"]})
