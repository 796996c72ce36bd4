"""Translating a data set with a trained run: pictures named as their inputs, and a gallery."""

__all__ = ["Translation", "evaluate", "pad_to_stride", "plan", "translate_all", "translate_any_size"]

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.dataset import open_dataset
from src.dataset.pipeline import Pipeline
from src.dataset.video import write_video
from src.evaluation.gallery import Gallery
from src.evaluation.look import Looks, side_by_side
from src.evaluation.metrics.similarity import SMALLEST, psnr, ssim
from src.evaluation.results import fingerprint, forget_record, write_record
from src.evaluation.run import TrainedRun, open_run
from src.models.system import System
from src.utils.config import Config
from src.utils.images import unit_to_image, write_png
from src.utils.logging import get_logger
from src.utils.progress import track
from src.utils.runtime import start


def translate_any_size(system: System, batch: dict[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
    """Pad every map of a batch to the network's stride by repeating its border, translate, and cut back."""
    height, width = _size(batch)
    outputs = system.translate(pad_to_stride(batch, system.stride), seed)
    return {name: array[:, :, :height, :width] for name, array in outputs.items()}


def pad_to_stride(batch: dict[str, np.ndarray], stride: int) -> dict[str, np.ndarray]:
    """Extend every (N, C, H, W) map at the bottom and right to multiples of ``stride`` by repeating its border."""
    height, width = _size(batch)
    pad = [(0, 0), (0, 0), (0, -height % stride), (0, -width % stride)]
    return {name: np.pad(array, pad, mode="edge") if array.ndim == 4 else array for name, array in batch.items()}


def _size(batch: dict[str, np.ndarray]) -> tuple[int, int]:
    return next(array.shape[2:] for array in batch.values() if array.ndim == 4)


@dataclass(frozen=True)
class Translation:
    """A trained run, the first ``count`` samples of its data, and the folder for results."""

    run: TrainedRun
    data: Pipeline
    count: int
    folder: Path

    @property
    def fingerprint(self) -> str:
        """See :func:`src.evaluation.results.fingerprint`."""
        return fingerprint(self.run, self.data, self.count)


def plan(command: Config) -> Translation:
    """Open what ``command`` names: the samples of its phase, or of ``input``.

    Raises:
        UserError: see :func:`src.evaluation.run.open_run`; data that cannot be read.
    """
    if "phase" not in command.explicit:
        command = command.replace(phase="test")
    command = command.replace(load_features=False)
    given = getattr(command, "input", "")
    if given and "how_many" not in command.explicit:
        command = command.replace(how_many=0)
    say = get_logger().info
    start(command, say)
    run = open_run(command)
    config = run.config
    data = open_dataset(run.system.dataset, config, config.phase, training=False)
    count = min(data.num_samples, config.how_many or data.num_samples)
    source = Path(given).stem if given else config.phase
    folder = Path(config.predict_dir) / config.name / f"{source}_{run.tag}"
    say(f"checkpoint {run.tag} of {run.folder}, {count} of {data.num_samples} samples of {source} to {folder}")
    if count < data.num_samples:
        say(f"stopping after {count}, as --how_many says; --how_many 0 translates all")
    return Translation(run, data, count, folder)


def evaluate(command: Config) -> int:
    """Translate the samples of ``command.phase`` and write results and gallery under ``predict_dir``.

    Raises:
        UserError: see :func:`plan`.
    """
    translate_all(plan(command))
    return 0


def translate_all(job: Translation) -> None:
    """Write the results and the gallery."""
    run, data, count, folder = job.run, job.data, job.count, job.folder
    forget_record(folder)
    gallery = Gallery(folder, f"{run.config.name}: {run.config.phase}, checkpoint {run.tag}")
    gallery.clear_results()
    gallery.set_options(run.config.to_dict())
    if (run.folder / "log.jsonl").is_file():
        gallery.set_losses(run.folder / "log.jsonl")
    epochs = data.epochs(1)
    _, batches = next(epochs)
    system, looks, written = run.system, Looks(run.system.looks), defaultdict(dict)
    for batch in track(_first(batches, count), "translating", total=count):
        number = int(batch["id"][0])
        stem = data.name(number)
        outputs = translate_any_size(system, batch, run.config.seed)
        for name, array in outputs.items():
            written[name][number] = folder / "images" / f"{system.result_name(stem, name)}.png"
            write_png(written[name][number], unit_to_image(array[0]))
        shown = system.visuals(batch, outputs)
        if system.shows_side_by_side:
            write_png(folder / "side_by_side" / f"{stem}.png", side_by_side(list(shown.values())))
        gallery.add_result(data.title(number), shown, _numbers(batch, outputs) | looks.add(batch, outputs))
    looks.report(folder, get_logger().info)
    video = getattr(data, "video", None)
    for name, frames in written.items() if video else ():
        path = write_video(folder / f"{video.path.stem}_{name}.mp4", list(frames.values()), video.rate)
        get_logger().info(f"video: {path}")
    page = gallery.write()
    write_record(folder, job.fingerprint, written)
    get_logger().info(f"results: {page}")


def _first(batches, count: int):
    for _, batch in zip(range(count), batches, strict=False):
        yield batch


def _numbers(batch: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, float]:
    """Closeness to the real picture where there is one."""
    if "image" not in batch:
        return {}
    fake, real = (unit_to_image(pictures[0]) for pictures in (next(iter(outputs.values())), batch["image"]))
    return {"psnr": psnr(fake, real)} | ({"ssim": ssim(fake, real)} if min(fake.shape[:2]) >= SMALLEST else {})
