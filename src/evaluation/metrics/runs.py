"""What a trained run translated as something to measure: its outputs, the true pictures, and what they were made of."""

__all__ = ["compare_run"]

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from src.dataset import open_dataset
from src.dataset.pipeline import Pipeline
from src.evaluation.metrics.labels import Named, true_labels
from src.evaluation.metrics.measure import SETS, Comparison, Item
from src.evaluation.translate import Translation
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.images import read_image, unit_to_image
from src.utils.logging import get_logger


def compare_run(
    job: Translation, outputs: Mapping[str, Mapping[int, Path]], config: Config, wanted: Sequence[str]
) -> list[Comparison]:
    """One comparison for each output of a translation.

    Where the data set has the true picture of a sample, outputs are compared with it. Outputs of systems trained on
    unpaired pictures are compared with what they were made from, and as a set with those whose look they take.

    Args:
        job: the translation.
        outputs: its pictures by output and number of the sample.
        config: the options of the metrics.
        wanted: metrics.
    """
    truths = _truths(job, config) if "miou" in wanted else None
    return [_compare(job, name, files, config, wanted, truths) for name, files in outputs.items()]


def _compare(
    job: Translation,
    output: str,
    files: Mapping[int, Path],
    config: Config,
    wanted: Sequence[str],
    truths: Named | None,
) -> Comparison:
    system, data = job.run.system, job.data
    made_from, look = system.looks.get(output, ("", ""))
    columns = {}
    if look:
        columns["source"] = made_from
    elif "image" in data.columns:
        columns["real"] = "image"
    if not look and "label" in data.columns and job.run.config.label_nc == 0:
        columns["source"] = "label"
    stems = {number: data.name(number) for number in files}
    # a sample's label map has its name; of unpaired data only the source's belongs to what is depicted
    known = {number: truths.owner(stem) if truths else None for number, stem in stems.items()}
    items = [
        Item(data.title(number), (path.stem, stems[number]), partial(_load, data, number, path, columns), known[number])
        for number, path in files.items()
    ]
    reals = None
    if set(wanted) & set(SETS):
        if config.real:
            reals = [partial(read_image, path, 3) for path in Named(config.real).files]
        elif look:
            reals = _column(job, look)
    subject = {
        "run": str(job.run.folder),
        "checkpoint": job.run.tag,
        "results": str(job.folder),
        "phase": job.run.config.phase,
        "seed": job.run.config.seed,
        "data": {k: v for k, v in data.reader.settings.items() if k != "rows"},
        "translation": job.fingerprint[:16],
    } | ({"real": str(Path(config.real).resolve())} if config.real else {})
    return Comparison(output, items, tuple(columns), reals, subject)


def _load(data: Pipeline, number: int, path: Path, columns: Mapping[str, str]) -> dict[str, np.ndarray]:
    pictures = {"fake": read_image(path, 3)}
    if columns:
        sample = data.reader.sample(data.reader.load(number), None)
        pictures |= {name: _rgb(sample[column]) for name, column in columns.items()}
    return pictures


def _rgb(unit: np.ndarray) -> np.ndarray:
    picture = unit_to_image(unit)
    return np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture[:, :, :3]


def _column(job: Translation, column: str) -> list[Callable[[], np.ndarray]]:
    """Every picture of a column of unpaired data once, whichever samples were translated."""
    config = job.run.config
    changes = {"input": "", "style": "", "test_pairs": False, "direction": "both"}
    config = config.replace(**{key: value for key, value in changes.items() if key in config})
    data = open_dataset(job.run.system.dataset, config, config.phase, training=False)
    numbers = {data.files(i)[column]: i for i in range(data.num_samples) if column in data.files(i)}
    return [partial(_read_column, data, number, column) for number in numbers.values()]


def _read_column(data: Pipeline, number: int, column: str) -> np.ndarray:
    return _rgb(data.reader.sample(data.reader.load(number), None)[column])


def _truths(job: Translation, config: Config) -> Named | None:
    try:
        return true_labels(job.run.config.replace(truth=config.truth), job.run.config.phase)
    except UserError as reason:
        if config.truth:
            raise
        get_logger().warning(f"no true label maps: {reason}")
        return None
