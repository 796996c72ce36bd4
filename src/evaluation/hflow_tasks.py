"""What ``eval.py`` does with a trained hflow: sample, interpolate, reconstruct, measure bits and FID."""

__all__ = ["TASKS", "bits_per_dim", "fid", "interpolate", "sample"]

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from src.dataset import open_dataset
from src.dataset.imagefolder import to_square
from src.dataset.video import write_video
from src.evaluation.hflow import held_out_bits, interpolate_latents
from src.evaluation.inception_scores import sampled_features
from src.evaluation.metrics.entries import of_sets
from src.evaluation.metrics.measure import SETS
from src.evaluation.metrics.report import Report, lines_of
from src.evaluation.run import TrainedRun, open_run
from src.models.hflow.system import image_grid
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.images import image_to_unit, read_image, unit_to_image, write_png
from src.utils.logging import get_logger
from src.utils.progress import track
from src.utils.runtime import start


def _run(command: Config) -> tuple[TrainedRun, Path]:
    """The trained run that ``command`` names, and the folder for results of this task."""
    start(command, get_logger().info)
    run = open_run(command)
    folder = Path(run.config.predict_dir) / run.config.name / f"{command.task}_{run.tag}"
    get_logger().info(f"checkpoint {run.tag} of {run.folder}: {command.task} to {folder}")
    return run, folder


def sample(command: Config) -> int:
    """``n_samples`` pictures of deviation ``sample_std``: one file each and a grid."""
    run, folder = _run(command)
    config = run.config
    count, size = config.n_samples, min(config.batch_size, config.n_samples)
    images = run.system.runner.sample(count, config.sample_std, config.seed, size)
    pictures = unit_to_image(2.0 * images)
    for i, picture in enumerate(pictures):
        write_png(folder / f"sample_{i:05d}.png", picture)
    write_png(folder / "samples.png", image_grid(pictures, _columns(count)))
    get_logger().info(f"{count} samples of deviation {config.sample_std}, seed {config.seed}: {folder / 'samples.png'}")
    return 0


def _columns(count: int) -> int:
    return min(count, max(1, int(np.ceil(np.sqrt(count)))))


def interpolate(command: Config) -> int:
    """``n_steps`` pictures from ``image_a`` to ``image_b`` and a video there and back.

    Raises:
        UserError: a picture is missing or cannot be read.
    """
    run, folder = _run(command)
    config, system = run.config, run.system
    if not (config.image_a and config.image_b):
        raise UserError("interpolate needs two pictures: pass --image_a FILE and --image_b FILE")
    if config.n_steps < 2:
        raise UserError(f"n_steps {config.n_steps}: an interpolation has at least 2 frames")
    squares = [
        to_square(read_image(path, 3), system.options.resolution, config.image_fit)
        for path in (config.image_a, config.image_b)
    ]
    units = np.stack([image_to_unit(square) for square in squares])
    latents = system.runner.inverse(system.dequantise(units, None))
    first, last = [z[:1] for z in latents], [z[1:] for z in latents]
    frames = []
    for i, share in enumerate(track(np.linspace(0.0, 1.0, config.n_steps), "interpolating", unit="frames")):
        image = system.runner.forward(interpolate_latents(first, last, float(share), config.spherical))
        frames.append(folder / f"frame_{i:04d}.png")
        write_png(frames[-1], unit_to_image(2.0 * image[0]))
    # there and back, as published
    video = write_video(folder / "interpolation.mp4", frames + frames[::-1], config.frames_per_second)
    get_logger().info(f"{len(frames)} frames, there and back at {config.frames_per_second} a second: {video}")
    return 0


def bits_per_dim(command: Config) -> int:
    """The likelihood bound on held-out pictures, printed and as JSON."""
    run, folder = _run(command)
    config = run.config
    data = open_dataset("images", config, "test", training=False)
    if not config.held_out and not (Path(config.data_root) / "test_img").is_dir():
        get_logger().warning("held_out is 0: these pictures were trained on, and the number says so little")
    measured = held_out_bits(run.system, data, config.how_many, config.seed)
    get_logger().info(
        f"{measured.mean:.4f} +- {measured.error:.4f} bits per dimension over {measured.count} held-out pictures: "
        "an upper bound of the negative log-likelihood of their 8-bit values, one draw of all noise a picture"
    )
    levels = ", ".join(f"{name.partition('_')[2]}: {value:.4f}" for name, value in measured.levels.items())
    get_logger().info(f"bits per number of each level: {levels}; weighted loss {measured.loss:.4f}")
    _write(folder / "bits_per_dim.json", asdict(measured))
    return 0


def fid(command: Config) -> int:
    """FID and KID against the training pictures, printed and kept as by ``--metrics``.

    Raises:
        UserError: no Inception weights.
    """
    run, folder = _run(command)
    real, fake, protocol = sampled_features(run.system, run.config)
    entries = of_sets("samples", SETS, fake, real, protocol, run.config.seed)
    subject = {"run": str(run.folder), "checkpoint": run.tag}
    for line in lines_of(entries, subject):
        get_logger().info(line)
    report = Report(folder)
    report.add(entries, subject)
    get_logger().info(f"metrics: {report.write()}")
    return 0


def _write(path: Path, numbers: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps(numbers, indent=1).encode())


#: ``reconstruct`` is what every system does: translate a data set
TASKS = {"bits_per_dim": bits_per_dim, "fid": fid, "interpolate": interpolate, "sample": sample}
