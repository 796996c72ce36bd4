"""Translating a data set with a trained run: images named as their inputs, and a gallery."""

__all__ = ["Plan", "plan", "translate", "translate_all"]

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..dataset.pipeline import Pipeline
from ..gallery.gallery import Gallery
from ..imaging.images import unit_to_image, write_png
from ..imaging.sound import add_sound
from ..imaging.video import write_video
from ..inference.model import Batch, Model
from ..metrics.similarity import SMALLEST, psnr, ssim
from ..metrics.style import StyleDistances, side_by_side
from ..utils.logging import get_logger
from ..utils.progress import compiling, track
from ..utils.text import counted
from .record import Results, fingerprint


@dataclass(frozen=True)
class Plan:
    """A translation: the first ``count`` samples of a data set, the folder of the results, and their fingerprint."""

    data: Pipeline
    count: int
    folder: Path
    fingerprint: str


def plan(model: Model) -> Plan:
    """Open the samples that the options of ``model`` name: of its phase, or of ``input``.

    Raises:
        UserError: data that cannot be read.
    """
    config, say = model.config, get_logger().info
    data = model.data(config.phase)
    given = data.source
    limit = 0 if given and "how_many" not in config.explicit else config.how_many
    count = min(data.num_samples, limit or data.num_samples)
    shown = given or config.phase
    folder = Path(config.predict_dir) / config.name / f"{shown}_{model.tag}"
    say(
        f"checkpoint {model.tag} of {model.folder}, {count} of {counted(data.num_samples, 'sample')} of {shown} to "
        f"{folder}"
    )
    if count < data.num_samples:
        say(f"stopping after {count}, as --how_many says; --how_many 0 translates all")
    return Plan(data, count, folder, fingerprint(model, data, count))


def translate(model: Model) -> int:
    """Translate the samples that the options name and write results and gallery under ``predict_dir``.

    Raises:
        UserError: see :func:`plan`.
    """
    translate_all(model, plan(model))
    return 0


def translate_all(model: Model, job: Plan) -> None:
    """Write the results and the gallery."""
    data, count, folder, config = job.data, job.count, job.folder, model.config
    epochs = data.epochs(1)
    _, batches = next(epochs)
    first = compiling(config.mode, model.system.networks)
    tracked = track(_first(batches, count), "translating", total=count, unit="images", first=first)
    translated = ((batch, model.run(batch, config.seed)) for batch in tracked)
    # before earlier results are removed: a run that cannot translate leaves them alone
    begun = next(translated)
    results = Results(folder)
    gallery = Gallery(folder, f"{config.name}: {data.source or config.phase}, checkpoint {model.tag}")
    gallery.clear_results()
    gallery.set_options(config.to_dict())
    if (model.folder / "log.jsonl").is_file():
        gallery.set_losses(model.folder / "log.jsonl")
    system, styles = model.system, StyleDistances(model.system.styles)
    written: dict[str, dict[int, Path]] = defaultdict(dict)
    for batch, outputs in itertools.chain([begun], translated):
        number = int(batch["id"][0])
        stem = data.name(number)
        for name, array in outputs.items():
            written[name][number] = results.path("images", f"{system.result_name(stem, name)}.png")
            write_png(written[name][number], unit_to_image(array[0]))
        shown = system.visuals(batch, outputs)
        if system.shows_side_by_side:
            write_png(results.path("side_by_side", f"{stem}.png"), side_by_side(list(shown.values())))
        gallery.add_result(data.name(number), shown, _numbers(batch, outputs) | styles.add(batch, outputs))
    styles.report(results.path("look.json"), get_logger().info)
    if data.video:
        for name, frames in written.items():
            path = write_video(
                results.path(f"{data.source}_{name}.mp4"), list(frames.values()), data.video.rate, data.video.size
            )
            get_logger().info(f"video: {path}, {add_sound(path, data.video.path)}")
    page = gallery.write()
    results.finish(job.fingerprint, written)
    get_logger().info(f"results: {page}")


def _first(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    for _, batch in zip(range(count), batches, strict=False):
        yield batch


def _numbers(batch: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict[str, float]:
    """Closeness to the real image, if there is one."""
    if "image" not in batch:
        return {}
    fake, real = (unit_to_image(images[0]) for images in (next(iter(outputs.values())), batch["image"]))
    return {"psnr": psnr(fake, real)} | ({"ssim": ssim(fake, real)} if min(fake.shape[:2]) >= SMALLEST else {})
