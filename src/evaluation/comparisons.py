"""What a trained run translated as something to measure: its outputs, the true images, and what they were made of."""

__all__ = ["compare_run"]

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..dataset.pipeline import Pipeline
from ..imaging.images import read_image, unit_to_image
from ..inference.model import Model
from ..metrics.labels import Named, true_labels
from ..metrics.measure import SETS, Comparison, Item
from ..utils.errors import UserError
from ..utils.logging import get_logger
from .translate import Plan


def compare_run(
    model: Model, job: Plan, outputs: Mapping[str, Mapping[int, Path]], wanted: Sequence[str]
) -> list[Comparison]:
    """One comparison for each output of a translation.

    Where the data set has the true image of a sample, outputs are compared with it. Outputs of systems trained on
    unpaired images are compared with what they were made from, and as a set with those whose style they take.

    Args:
        model: the run that translated.
        job: the translation.
        outputs: its images by output and number of the sample.
        wanted: metrics.
    """
    truths = _truths(model, job) if "miou" in wanted else None
    return [_compare(model, job, name, files, wanted, truths) for name, files in outputs.items()]


def _compare(
    model: Model,
    job: Plan,
    output: str,
    files: Mapping[int, Path],
    wanted: Sequence[str],
    truths: Named | None,
) -> Comparison:
    system, data, config = model.system, job.data, model.config
    made_from, style = system.styles.get(output, ("", ""))
    columns = {}
    if style:
        columns["source"] = made_from
    elif "image" in data.columns:
        columns["real"] = "image"
    if not style and system.made_from in data.columns:
        columns["source"] = system.made_from
    names = {number: data.name(number) for number in files}
    # a sample's label map has its name; of unpaired data only the source's belongs to what is depicted
    known = {number: truths.owner(name) if truths else None for number, name in names.items()}
    items = [
        Item(data.name(number), (path.stem, names[number]), partial(_load, data, number, path, columns), known[number])
        for number, path in files.items()
    ]
    reals = None
    if set(wanted) & set(SETS):
        if config.real:
            reals = [partial(read_image, path, 3) for path in Named(config.real).files]
        elif style:
            reals = _column(model, style)
    subject = {
        "run": str(model.folder),
        "checkpoint": model.tag,
        "results": str(job.folder),
        "phase": config.phase,
        "seed": config.seed,
        "data": {k: v for k, v in data.reader.settings.items() if k != "rows"},
        "translation": job.fingerprint[:16],
    } | ({"real": str(Path(config.real).resolve())} if config.real else {})
    return Comparison(output, items, tuple(columns), reals, subject)


def _load(data: Pipeline, number: int, path: Path, columns: Mapping[str, str]) -> dict[str, np.ndarray]:
    images = {"fake": read_image(path, 3)}
    if columns:
        sample = data.reader.sample(data.reader.load(number), None)
        images |= {name: _rgb(sample[column]) for name, column in columns.items()}
    return images


def _rgb(unit: np.ndarray) -> np.ndarray:
    image = unit_to_image(unit)
    return np.repeat(image, 3, 2) if image.shape[2] == 1 else image[:, :, :3]


def _column(model: Model, column: str) -> list[Callable[[], np.ndarray]]:
    """Every image of a column of unpaired data once, whichever samples were translated."""
    kind, config = model.system.data, model.config.replace(**model.system.data.whole)
    data = kind.open(model.system.request(config, False), config, config.phase, training=False)
    numbers = {data.files(i)[column]: i for i in range(data.num_samples) if column in data.files(i)}
    return [partial(_read_column, data, number, column) for number in numbers.values()]


def _read_column(data: Pipeline, number: int, column: str) -> np.ndarray:
    return _rgb(data.reader.sample(data.reader.load(number), None)[column])


def _truths(model: Model, job: Plan) -> Named | None:
    config = model.config
    try:
        return true_labels(config.truth or job.data.label_folder, Path(config.data_root), config.phase)
    except UserError as reason:
        if config.truth:
            raise
        get_logger().warning(f"no true label maps: {reason}")
        return None
