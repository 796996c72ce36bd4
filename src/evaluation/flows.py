"""What trained conditional flows can do besides sampling: likelihoods, transfer, interpolation, and their own
check."""

__all__ = ["TASKS"]

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.dataset import open_dataset
from src.evaluation.gallery import Gallery
from src.evaluation.metrics.labels import FolderSegmenter, LabelScores, read_truth, true_labels
from src.evaluation.run import TrainedRun, open_run
from src.evaluation.translate import evaluate as translate
from src.models.glow.system import FlowSystem
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.images import unit_to_image, write_png
from src.utils.logging import get_logger
from src.utils.progress import track
from src.utils.runtime import start

Batch = dict[str, np.ndarray]


@dataclass
class _Session:
    """A trained flow, its data set, and where results go."""

    run: TrainedRun
    data: object
    folder: Path
    gallery: Gallery

    @property
    def system(self) -> FlowSystem:
        return self.run.system

    @property
    def config(self) -> Config:
        return self.run.config

    def batches(self, what: str) -> Iterator[tuple[str, Batch]]:
        """``(stem, batch of one)`` for the samples that ``how_many`` allows."""
        count = min(self.data.num_samples, self.config.how_many or self.data.num_samples)
        # kept, because the batches end when their epochs are collected
        epochs = self.data.epochs(1)
        _, batches = next(epochs)
        for _, batch in track(zip(range(count), batches, strict=False), what, total=count):
            yield self.data.name(int(batch["id"][0])), batch

    def show(self, stem: str, pictures: dict[str, np.ndarray], numbers: dict[str, float] | None = None) -> None:
        """Put pictures, (C, H, W) in [-1, 1], into files and into the gallery."""
        shown = {name: _rgb(picture) for name, picture in pictures.items()}
        for name, picture in shown.items():
            write_png(self.folder / "images" / f"{stem}_{name}.png", picture)
        self.gallery.add_result(stem, shown, numbers)

    def finish(self, name: str, results: dict) -> int:
        """Write the numbers and the page."""
        atomic_write(self.folder / f"{name}.json", json.dumps(results, indent=1).encode())
        get_logger().info(f"results: {self.gallery.write()}")
        return 0


def _open(command: Config, needs_image: bool = True) -> _Session:
    if "phase" not in command.explicit:
        command = command.replace(phase="test")
    say = get_logger().info
    start(command, say)
    run = open_run(command)
    data = open_dataset(run.system.dataset, run.config, run.config.phase, training=False)
    if needs_image and "image" not in data.columns:
        raise UserError(f"task {command.task} needs pictures, and the {run.config.phase} set has only conditions")
    folder = Path(run.config.predict_dir) / run.config.name / f"{command.task}_{run.config.phase}_{run.tag}"
    gallery = Gallery(folder, f"{run.config.name}: {command.task}, {run.config.phase}, checkpoint {run.tag}")
    gallery.clear_results()
    gallery.set_options(run.config.to_dict())
    say(f"checkpoint {run.tag} of {run.folder}, task {command.task}, results to {folder}")
    return _Session(run, data, folder, gallery)


def _rgb(picture: np.ndarray) -> np.ndarray:
    if picture.shape[0] not in (1, 3):
        picture = picture.argmax(0)[None] * (2.0 / (picture.shape[0] - 1)) - 1.0
    return unit_to_image(np.repeat(picture, 3, 0) if picture.shape[0] == 1 else picture)


# -- tasks
# ------------------------------------------------------------------------------------------------------


def bits_per_dim(command: Config) -> int:
    """Conditional bits per dimension of every picture, dequantised, and their mean."""
    session = _open(command)
    bits = {}
    for stem, batch in session.batches("measuring"):
        bits[stem] = float(session.system.bits_per_dimension(batch, session.config.seed)[0])
        shown = {"condition": _rgb(batch["condition"][0]), "real_image": _rgb(batch["image"][0])}
        session.gallery.add_result(stem, shown, {"bits_per_dim": bits[stem]})
    mean = float(np.mean(list(bits.values())))
    text = f"conditional bits per dimension: mean {mean:.4f} over {len(bits)} pictures"
    get_logger().info(f"{text} (dequantised, seed {session.config.seed})")
    session.gallery.note(text)
    return session.finish("bits_per_dim", {"mean": mean, "seed": session.config.seed, "pictures": bits})


def reconstruct(command: Config) -> int:
    """Pictures through their latents and back, which should be themselves."""
    session = _open(command)
    errors = {}
    for stem, batch in session.batches("reconstructing"):
        picture = session.system.reconstruct(batch)
        errors[stem] = float(np.abs(picture - batch["image"]).max()) / 2
        session.show(stem, {"reconstructed": picture[0], "real_image": batch["image"][0]}, {"error": errors[stem]})
    get_logger().info(f"largest error of a reconstruction: {max(errors.values()):.1e} of the range of values")
    return session.finish("reconstruct", {"pictures": errors})


def transfer(command: Config) -> int:
    """The look of one picture under the condition of another: ``content`` and ``structure``, or each with the
    next."""
    session = _open(command)
    wanted = {session.config.content, session.config.structure} - {""}
    samples = {stem: batch for stem, batch in session.batches("reading") if not wanted or stem in wanted}
    missing = sorted(wanted - samples.keys())
    if missing:
        raise UserError(f"the {session.config.phase} set has no sample {missing[0]} among its first {len(samples)}")
    stems = list(samples)
    if session.config.content and session.config.structure:
        pairs = [(session.config.content, session.config.structure)]
    else:
        pairs = list(zip(stems, stems[1:] + stems[:1], strict=True))
    for content, structure in track(pairs, "transferring", total=len(pairs)):
        picture = session.system.transfer(samples[content], samples[structure])
        shown = {
            "content": samples[content]["image"][0],
            "content_condition": samples[content]["condition"][0],
            "condition": samples[structure]["condition"][0],
            "transferred": picture[0],
        }
        session.show(f"{content}_to_{structure}", shown)
    return session.finish("transfer", {"pairs": pairs})


def interpolate(command: Config) -> int:
    """Pictures between each sample and the next, in ``frames`` steps through all latents."""
    session = _open(command)
    samples = list(session.batches("reading"))
    if len(samples) < 2:
        raise UserError("an interpolation needs two samples: raise --how_many")
    pairs = list(zip(samples, samples[1:], strict=False))
    for (stem_a, a), (stem_b, b) in track(pairs, "interpolating", total=len(pairs)):
        frames = session.system.interpolate(a, b, session.config.frames)
        session.show(f"{stem_a}_to_{stem_b}", {f"frame_{i:02d}": frame[0] for i, frame in enumerate(frames)})
    return session.finish("interpolate", {"pairs": [(a[0], b[0]) for a, b in pairs]})


def resample(command: Config) -> int:
    """Pictures whose latents of ``levels`` are drawn anew, at temperature ``temp``."""
    session = _open(command)
    config, system = session.config, session.system
    for stem, batch in session.batches("resampling"):
        shown = {"real_image": batch["image"][0]}
        for index in range(config.n_samples):
            picture = system.resample(batch, list(config.levels), config.temp, config.seed + index)
            shown["resampled" + (f"_{index + 1}" if index else "")] = picture[0]
        session.show(stem, shown)
    return session.finish("resample", {"levels": list(config.levels), "temp": config.temp})


def check_invertible(command: Config) -> int:
    """For every block, the worst error of an input rebuilt from its output; status 1 above
    ``drift_tolerance``."""
    session = _open(command)
    worst: dict[str, float] = {}
    for _, batch in session.batches("checking"):
        inputs = session.system.model_inputs(batch, (session.config.seed, 0))
        for name, error in session.system.reconstruction_errors(inputs).items():
            worst[name] = max(worst.get(name, 0.0), error) if np.isfinite(error) else float("inf")
    tolerance = session.config.drift_tolerance
    for name, error in worst.items():
        get_logger().info(f"{name}: {error:.1e} {'ok' if error <= tolerance else f'above {tolerance:.0e}'}")
    # JSON has no word for infinity
    session.finish("check_invertible", {name: error if np.isfinite(error) else None for name, error in worst.items()})
    return 0 if all(error <= tolerance for error in worst.values()) else 1


def segmentation(command: Config) -> int:
    """Pixel accuracy, class accuracy and class IoU of ``predictions`` against the label maps of the data set.

    ``predictions`` is a folder of pictures named as the samples: label maps of Cityscapes ids from a
    segmenter that saw the synthesized pictures, or colour-coded ones (``photo2label``), which are matched to
    the nearest class colour.
    """
    say = get_logger().info
    if not command.predictions:
        raise UserError("task segmentation compares a folder of predictions: pass --predictions FOLDER")
    truths = true_labels(command, "test" if "phase" not in command.explicit else command.phase).by_stem
    folder = Path(command.predictions)
    segmenter = FolderSegmenter(folder, "colours" if command.direction == "photo2label" else "ids")
    missing = segmenter.missing([(stem,) for stem in truths])
    if missing:
        raise UserError(
            f"{folder} has no predictions for {len(missing)} of {len(truths)} samples (first: {missing[0]}.png)"
        )
    counted = LabelScores(command)
    for stem, path in track(truths.items(), "scoring", total=len(truths)):
        truth = read_truth(path, command.truth_ids)
        counted.add(truth, segmenter.predict((stem,), None, (truth.shape[1], truth.shape[0])))
    scores = counted.scores()
    for name, value in scores.items():
        say(f"{name}: {100 * value:.2f} %")
    path = Path(command.predict_dir) / command.name / "segmentation.json"
    atomic_write(path, json.dumps(scores | {"samples": len(truths), "predictions": str(folder)}, indent=1).encode())
    say(f"results: {path}")
    return 0


def sample(command: Config) -> int:
    """Translate, or with ``check_invertible`` look after the flow itself."""
    return check_invertible(command) if command.check_invertible else translate(command)


#: value of option ``task`` to its function
TASKS: dict[str, Callable[[Config], int]] = {
    "bits_per_dim": bits_per_dim,
    "check_invertible": check_invertible,
    "interpolate": interpolate,
    "reconstruct": reconstruct,
    "resample": resample,
    "sample": sample,
    "segmentation": segmentation,
    "transfer": transfer,
}
