"""Comparisons of a trained run's translations: its outputs, the true images, and the source images."""

__all__ = ["RunComparisons"]

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..dataset.pipeline import Pipeline
from ..imaging.images import read_image, to_rgb, unit_to_image
from ..inference.model import Model
from ..metrics.labels import Named, true_labels
from ..metrics.measure import PAIRED, SETS, Comparison, Item, Tools, stand_in
from ..metrics.prdc import check_enough
from ..metrics.steadiness import check_frames
from ..utils.errors import UserError
from ..utils.logging import get_logger
from .translate import Plan


class RunComparisons:
    """The references of a run's outputs, found before translation starts.

    Where the data set has the true image of a sample, outputs are compared with it. Outputs of systems trained on
    unpaired images are compared with their source images, and as a set with the images whose style they take.

    Args:
        model: the run that translates.
        job: the translation.
        tools: the wanted metrics and their networks.

    Raises:
        UserError: a metric has no reference for any output; label maps are incomplete.
    """

    def __init__(self, model: Model, job: Plan, tools: Tools):
        self._model, self._job = model, job
        styles, data, config = model.system.styles, job.data, model.config
        expected = [name for name, (source, _) in styles.items() if source in data.columns] or [""]
        columns = [self._columns(name) for name in expected]
        self._given = [partial(read_image, path, 3) for path in Named(config.real).files] if config.real else None
        self._reals: dict[str, list[Callable[[], np.ndarray]]] = {}
        wanted = set(tools.wanted)
        if wanted & set(PAIRED) and not any(columns):
            raise UserError(
                f"{_listed(PAIRED, tools)} need images that are partners of the outputs, and the data set has none"
            )
        if wanted & set(SETS) and self._given is None:
            self._reals = {style: _column(model, style) for style in {styles[name][1] for name in expected if name}}
            if not self._reals and not any("real" in found for found in columns):
                raise UserError(
                    f"{_listed(SETS, tools)} need real images, and the data set has none: pass --real FOLDER"
                )
        if "prdc" in wanted:
            for name in expected:
                check_enough(len(self._numbers(name)), self._real_count(name), config.prdc_k)
        self._flows = _flows(model, job) if "warp_error" in wanted else None
        if "warp_error" in wanted:
            for name, found in zip(expected, columns, strict=True):
                self._check_frames(name, found)
        self._truths = _truths(model, job) if tools.segmenter else None
        if tools.segmenter:
            without = [name for name in map(data.name, range(job.count)) if not self._truth(name)]
            for name, found in zip(expected, columns, strict=True):
                stand_in(without, job.count, tuple(found), tools.segmenter, name or "the run")

    def of(self, outputs: Mapping[str, Mapping[int, Path]]) -> list[Comparison]:
        """One comparison for each output; ``outputs`` are its images by output and number of the sample."""
        return [self._of_output(output, files, len(outputs) == 1) for output, files in outputs.items()]

    def _of_output(self, output: str, files: Mapping[int, Path], alone: bool) -> Comparison:
        model, job, columns = self._model, self._job, self._columns(output)
        data, config = job.data, model.config
        items = []
        for number, path in files.items():
            name = data.name(number)
            # with several outputs, a prediction with the sample's name could belong to any of them
            names = (path.stem, name) if alone else (path.stem,)
            load = partial(_load, data, number, path, columns)
            items.append(Item(name, names, load, self._truth(name), _frame(data, number), self._flow(number)))
        subject = {
            "run": str(model.folder),
            "checkpoint": model.tag,
            "results": str(job.folder),
            "phase": config.phase,
            "seed": config.seed,
            "data": {k: v for k, v in data.reader.settings.items() if k != "rows"},
            "translation": job.fingerprint[:16],
        } | ({"real": str(Path(config.real).resolve())} if config.real else {})
        given = self._flows.folder if self._flows else None
        return Comparison(output, items, tuple(columns), self._reals_of(output), subject, given)

    def _reals_of(self, output: str) -> Sequence[Callable[[], np.ndarray]] | None:
        """Real images that belong to no sample; None where samples have their own."""
        if self._given is not None:
            return self._given
        return self._reals.get(self._model.system.styles.get(output, ("", ""))[1])

    def _numbers(self, output: str) -> list[int]:
        """The samples that an output is made from."""
        styles, data = self._model.system.styles, self._job.data
        # the two sides of unpaired data are different samples
        return [i for i in range(self._job.count) if output not in styles or styles[output][0] in data.files(i)]

    def _check_frames(self, output: str, columns: Mapping[str, str]) -> None:
        numbers = self._numbers(output)
        if not (self._flows or columns):
            raise UserError("warp_error needs images that are partners of the outputs, or --flow FOLDER")
        has_flow = (lambda i: self._flow(numbers[i]) is not None) if self._flows else None
        folder = self._flows.folder if self._flows else ""
        check_frames([_frame(self._job.data, number) for number in numbers], has_flow, folder)

    def _flow(self, number: int) -> Path | None:
        return self._flows.owner(Path(_frame(self._job.data, number)).name) if self._flows else None

    def _real_count(self, output: str) -> int:
        reals = self._reals_of(output)
        return self._job.count if reals is None else len(reals)

    def _columns(self, output: str) -> dict[str, str]:
        """The columns of the data set that an output is compared with, by their role."""
        system, found = self._model.system, self._job.data.columns
        if output in system.styles:
            return {"source": system.styles[output][0]}
        columns = {"real": "image", "source": system.made_from}
        return {name: column for name, column in columns.items() if column in found}

    def _truth(self, name: str) -> Path | None:
        # a sample's label map has its name; for unpaired data only the source's label map matches the contents
        return self._truths.owner(name) if self._truths else None


def _listed(names: Sequence[str], tools: Tools) -> str:
    return ", ".join(name for name in tools.wanted if name in names)


def _load(data: Pipeline, number: int, path: Path, columns: Mapping[str, str]) -> dict[str, np.ndarray]:
    images = {"fake": read_image(path, 3)}
    if columns:
        sample = data.reader.sample(data.reader.load(number), None)
        images |= {name: to_rgb(unit_to_image(sample[column])) for name, column in columns.items()}
    return images


def _column(model: Model, column: str) -> list[Callable[[], np.ndarray]]:
    """Every image of a column of unpaired data once, independent of the translated samples."""
    kind, config = model.system.data, model.config.replace(**model.system.data.whole)
    try:
        data = kind.open(model.system.request(config, False), config, config.phase, training=False)
    except UserError as reason:
        names = ", ".join(SETS)
        raise UserError(f"{names} compare with all images {column}: {reason}; or pass --real FOLDER") from None
    numbers = {data.files(i)[column]: i for i in range(data.num_samples) if column in data.files(i)}
    return [partial(_read_column, data, number, column) for number in numbers.values()]


def _read_column(data: Pipeline, number: int, column: str) -> np.ndarray:
    return to_rgb(unit_to_image(data.reader.sample(data.reader.load(number), None)[column]))


def _frame(data: Pipeline, number: int) -> str:
    """The name of a sample as a frame: that of the file it is made from, because styles have numbers, too."""
    return str(next(iter(data.files(number).values())).with_suffix(""))


def _flows(model: Model, job: Plan) -> Named | None:
    """Files of optical flow: those that the options name, or those of the data set."""
    own = Path(model.config.data_root, f"{model.config.phase}_flow")
    given = model.config.flow or (own if own.is_dir() and not job.data.source else "")
    return Named(given) if given else None


def _truths(model: Model, job: Plan) -> Named | None:
    config = model.config
    try:
        return true_labels(config.truth or job.data.label_folder, Path(config.data_root), config.phase)
    except UserError as reason:
        if config.truth:
            raise
        get_logger().warning(f"no true label maps: {reason}")
        return None
