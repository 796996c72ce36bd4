"""Tasks of ``eval.py --task`` for a trained hflow: samples, interpolations, bits per dimension and FID."""

__all__ = ["TASKS", "bits_per_dim", "fid", "interpolate", "sample"]

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ...evaluation.record import Results
from ...imaging.images import unit_to_image, write_png
from ...imaging.video import write_video
from ...metrics.entries import of_sets
from ...metrics.report import Report, lines_of, with_arithmetic
from ...options.config import Config
from ...utils.errors import UserError
from ...utils.files import atomic_write
from ...utils.logging import get_logger
from ...utils.progress import track
from ...utils.text import counted
from .calls import ImageFlowModel, interpolate_latents
from .inception_scores import sampled_features
from .measures import REFERENCE, held_out_bits
from .system import image_grid


def _folder(model: ImageFlowModel, config: Config) -> Path:
    """The folder for results of this task."""
    folder = Path(config.predict_dir) / config.name / f"{config.task}_{model.tag}"
    get_logger().info(f"checkpoint {model.tag} of {model.folder}: {config.task} to {folder}")
    return folder


def sample(model: ImageFlowModel, config: Config) -> int:
    """``n_samples`` images of standard deviation ``sample_std``: one file each and a grid."""
    folder, count = _folder(model, config), config.n_samples
    images = model.sample(count, config.sample_std, config.seed, min(config.batch_size, count))
    results = Results(folder)
    for i, image in enumerate(images):
        write_png(results.path(f"sample_{i:05d}.png"), image)
    write_png(results.path("samples.png"), image_grid(images, _columns(count)))
    get_logger().info(
        f"{counted(count, 'sample')} of standard deviation {config.sample_std}, seed {config.seed}: "
        f"{folder / 'samples.png'}"
    )
    return 0


def _columns(count: int) -> int:
    return min(count, max(1, int(np.ceil(np.sqrt(count)))))


def interpolate(model: ImageFlowModel, config: Config) -> int:
    """``n_steps`` images from ``image_a`` to ``image_b`` and a video there and back.

    Raises:
        UserError: an image is missing or cannot be read.
    """
    if not (config.image_a and config.image_b):
        raise UserError("interpolate needs two images: pass --image_a FILE and --image_b FILE")
    folder = _folder(model, config)
    ends = [model.load_img(path, config.image_fit) for path in (config.image_a, config.image_b)]
    latents = model.inverse(np.concatenate(ends))
    first, last = [z[:1] for z in latents], [z[1:] for z in latents]
    frames = []
    results = Results(folder)
    for i, fraction in enumerate(track(np.linspace(0.0, 1.0, config.n_steps), "interpolating", unit="frames")):
        image = model.forward(interpolate_latents(first, last, float(fraction), config.spherical))
        frames.append(results.path(f"frame_{i:04d}.png"))
        write_png(frames[-1], unit_to_image(2.0 * image[0]))
    # there and back, as published
    video = write_video(results.path("interpolation.mp4"), frames + frames[::-1], config.frames_per_second)
    get_logger().info(
        f"{counted(len(frames), 'frame')}, there and back at {config.frames_per_second} a second: {video}"
    )
    return 0


def bits_per_dim(model: ImageFlowModel, config: Config) -> int:
    """Bits per dimension of held-out images, printed and as JSON.

    Raises:
        UserError: channel mixes that should be orthogonal are not, so that determinants are unknown.
    """
    folder, system = _folder(model, config), model.system
    if not config.held_out and not (Path(config.data_root) / "test_img").is_dir():
        get_logger().warning("held_out is 0: these images were trained on, and the number says so little")
    measured = held_out_bits(system, config.how_many)
    if not math.isfinite(measured.mean) and (lost := system.lost_orthogonality("F_ema")):
        raise UserError(f"bits per dimension cannot be measured. {lost}")
    meaning = f"an upper bound of the negative log-likelihood of their {config.discretization_bits}-bit values"
    if not measured.bound:
        meaning = (
            "no bound of their likelihood, because a level has no noise (see augmentation_types, decoder_rel_noise and "
            "endblock_style_rel_noises)"
        )
    error = "" if measured.error is None else f" +- {measured.error:.4f}"
    get_logger().info(
        f"{measured.mean:.4f}{error} bits per dimension over {counted(measured.count, 'held-out image')}: {meaning}, "
        f"one draw of all noise an image, scaled by the spread over the first {REFERENCE} training images"
    )
    levels = ", ".join(f"{name.partition('_')[2]}: {value:.4f}" for name, value in measured.levels.items())
    get_logger().info(f"bits per number of each level: {levels}; weighted loss {measured.loss:.4f}")
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "bits_per_dim.json", json.dumps(with_arithmetic(asdict(measured)), indent=1).encode())
    return 0


def fid(model: ImageFlowModel, config: Config) -> int:
    """FID and KID against the training images, printed and kept as by ``--metrics``.

    Raises:
        UserError: no Inception weights.
    """
    folder = _folder(model, config)
    real, fake, protocol = sampled_features(model.system)
    entries = of_sets("samples", ("fid", "kid"), fake, real, protocol, config.seed)
    subject = {"run": str(model.folder), "checkpoint": model.tag}
    for line in lines_of(entries, subject):
        get_logger().info(line)
    report = Report(folder)
    report.add(entries, subject)
    get_logger().info(f"metrics: {report.write()}")
    return 0


#: ``reconstruct`` is what every system does: translate a data set
TASKS = {"bits_per_dim": bits_per_dim, "fid": fid, "interpolate": interpolate, "sample": sample}
