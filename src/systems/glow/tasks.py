"""Tasks of trained conditional flows besides sampling: likelihoods, transfer, interpolation, check of the inverse."""

__all__ = ["TASKS"]

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...contracts.system import Batch
from ...evaluation.results import TaskResults, samples
from ...evaluation.translate import translate
from ...metrics.labels import FolderSegmenter, LabelScores, read_truth, true_labels
from ...options.config import Config
from ...utils.errors import UserError
from ...utils.files import atomic_write
from ...utils.logging import get_logger
from ...utils.progress import track
from ...utils.text import counted
from .calls import ConditionalFlowModel
from .flow import as_colours, draws_labels
from .inputs import network_inputs


def _images(**units: np.ndarray) -> dict[str, np.ndarray]:
    """The first sample of arrays (N, C, H, W) in [-1, 1] as images."""
    return {name: as_colours(array[0]) for name, array in units.items()}


def bits_per_dim(model: ConditionalFlowModel, config: Config) -> int:
    """Conditional bits per dimension of every image, dequantised, and their mean."""
    results, bits = TaskResults(model, "bits_per_dim"), {}
    for stem, batch in samples(model, "measuring", needs="image"):
        bits[stem] = float(model.system.bits_per_dimension(batch, config.seed)[0])
        shown = _images(condition=batch["condition"], real_image=batch["image"])
        results.show(stem, shown, {"bits_per_dim": bits[stem]})
    mean = float(np.mean(list(bits.values())))
    text = f"conditional bits per dimension: mean {mean:.4f} over {counted(len(bits), 'image')}"
    get_logger().info(f"{text} (dequantised, seed {config.seed})")
    results.gallery.note(text)
    return results.finish({"mean": mean, "seed": config.seed, "pictures": bits})


def reconstruct(model: ConditionalFlowModel, config: Config) -> int:
    """Images through their latents and back, which should be themselves."""
    results, errors = TaskResults(model, "reconstruct"), {}
    for stem, batch in samples(model, "reconstructing", needs="image"):
        rebuilt = model.system.decode(batch, model.system.encode(batch))
        errors[stem] = float(np.abs(rebuilt - batch["image"]).max()) / 2
        results.write(stem, _images(reconstructed=rebuilt, real_image=batch["image"]), {"error": errors[stem]})
    get_logger().info(f"largest error of a reconstruction: {max(errors.values()):.1e} of the range of values")
    return results.finish({"pictures": errors})


def transfer(model: ConditionalFlowModel, config: Config) -> int:
    """The style of one image under the condition of another: ``content`` and ``structure``, or each with the next.

    Its raw latents are decoded under the other condition.
    """
    wanted = {config.content, config.structure} - {""}
    found = {s: batch for s, batch in samples(model, "reading", needs="image") if not wanted or s in wanted}
    missing = sorted(wanted - found.keys())
    if missing:
        raise UserError(f"phase {config.phase} has no sample {missing[0]} among those that --how_many allows")
    stems = list(found)
    if config.content and config.structure:
        pairs = [(config.content, config.structure)]
    else:
        pairs = list(zip(stems, stems[1:] + stems[:1], strict=True))
    results = TaskResults(model, "transfer")
    for content, structure in track(pairs, "transferring", total=len(pairs)):
        a, b = found[content], found[structure]
        shown = _images(
            content=a["image"],
            content_condition=a["condition"],
            condition=b["condition"],
            transferred=model.system.decode(b, model.system.encode(a)),
        )
        results.write(f"{content}_to_{structure}", shown)
    return results.finish({"pairs": pairs})


def interpolate(model: ConditionalFlowModel, config: Config) -> int:
    """Images between each sample and the next, in ``frames`` steps through all latents and the condition."""
    found = list(samples(model, "reading", needs="image"))
    if len(found) < 2:
        raise UserError("an interpolation needs two samples: raise --how_many")
    results, pairs = TaskResults(model, "interpolate"), list(zip(found, found[1:], strict=False))
    for (stem_a, a), (stem_b, b) in track(pairs, "interpolating", total=len(pairs)):
        frames = interpolated(model, a, b, config.frames)
        shown = {f"frame_{i:02d}": as_colours(frame[0]) for i, frame in enumerate(frames)}
        results.write(f"{stem_a}_to_{stem_b}", shown)
    return results.finish({"pairs": [(a[0], b[0]) for a, b in pairs]})


def interpolated(model: ConditionalFlowModel, first: Batch, second: Batch, frames: int) -> list[np.ndarray]:
    """``frames`` images (N, C, H, W) from ``first``'s to ``second``'s, linearly in all latents and in the condition."""
    ends = model.system.encode(first), model.system.encode(second)
    images = []
    for k in np.linspace(0.0, 1.0, frames, dtype=np.float32):
        latents = [(1 - k) * a + k * b for a, b in zip(*ends, strict=True)]
        condition: Batch = {
            name: (1 - k) * first[name] + k * second[name] for name in ("condition", "boundary") if name in first
        }
        images.append(model.system.decode(condition, latents))
    return images


def resample(model: ConditionalFlowModel, config: Config) -> int:
    """Images whose latents of ``levels`` are drawn anew, at temperature ``temp``."""
    results, levels = TaskResults(model, "resample"), list(config.levels)
    for stem, batch in samples(model, "resampling", needs="image"):
        drawn = {"real_image": batch["image"]}
        for index in range(config.n_samples):
            image = model.system.resample(batch, levels, config.temp, config.seed + index)
            drawn["resampled" + (f"_{index + 1}" if index else "")] = image
        results.write(stem, _images(**drawn))
    return results.finish({"levels": levels, "temp": config.temp})


def check_invertible(model: ConditionalFlowModel, config: Config) -> int:
    """For every block, the worst error of an input rebuilt from its output; status 1 above ``drift_tolerance``."""
    results = TaskResults(model, "check_invertible")
    worst: dict[str, float] = {}
    for _, batch in samples(model, "checking", needs="image"):
        inputs = network_inputs(model.system.network, batch, (config.seed, 0))
        for name, error in model.system.reconstruction_errors(inputs).items():
            worst[name] = max(worst.get(name, 0.0), error)
    tolerance = config.drift_tolerance
    for name, error in worst.items():
        get_logger().info(f"{name}: {error:.1e} {'ok' if error <= tolerance else f'above {tolerance:.0e}'}")
    # JSON has no infinity
    results.finish({name: error if np.isfinite(error) else None for name, error in worst.items()})
    return 0 if all(error <= tolerance for error in worst.values()) else 1


def segmentation(model: None, config: Config) -> int:
    """Pixel accuracy, class accuracy and class IoU of ``predictions`` against the label maps of the data set.

    ``predictions`` is a folder of images named as the samples: label maps of Cityscapes ids from a segmenter that saw
    the synthesized images, or colour-coded ones where the mapping ends in ``2label``, which are matched to the nearest
    class colour. No trained run is needed.
    """
    say = get_logger().info
    if not config.predictions:
        raise UserError("task segmentation compares a folder of predictions: pass --predictions FOLDER")
    truths = true_labels(config.truth, Path(config.data_root), config.phase).by_stem
    folder = Path(config.predictions)
    segmenter = FolderSegmenter(folder, "colours" if draws_labels(config) else "ids")
    missing = segmenter.missing([(stem,) for stem in truths])
    if missing:
        raise UserError(
            f"{folder} has no predictions for {len(missing)} of {len(truths)} samples (first: {missing[0]}.png)"
        )
    counted = LabelScores(config)
    for stem, path in track(truths.items(), "scoring", total=len(truths)):
        truth = read_truth(path, config.truth_ids)
        counted.add(truth, segmenter.predict((stem,), None, (truth.shape[1], truth.shape[0])))
    scores = counted.scores()
    for name, value in scores.items():
        say(f"{name}: {100 * value:.2f} %")
    path = Path(config.predict_dir) / config.name / "segmentation.json"
    atomic_write(path, json.dumps(scores | {"samples": len(truths), "predictions": str(folder)}, indent=1).encode())
    say(f"results: {path}")
    return 0


segmentation.needs_model = False  # type: ignore[attr-defined]


def sample(model: ConditionalFlowModel, config: Config) -> int:
    """Translate, or with ``check_invertible`` report on the flow itself."""
    return check_invertible(model, config) if config.check_invertible else translate(model)


#: value of option ``task`` to its function
TASKS: dict[str, Callable[[Any, Config], int]] = {
    task.__name__: task
    for task in (bits_per_dim, check_invertible, interpolate, reconstruct, resample, sample, segmentation, transfer)
}
