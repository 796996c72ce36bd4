"""``eval.py --metrics``: what a run translates, or what lies in folders, in numbers."""

__all__ = ["evaluate_metrics"]

import difflib
from collections.abc import Sequence
from pathlib import Path

from src.evaluation.gallery import Gallery
from src.evaluation.metrics.entries import Entry, over_samplings
from src.evaluation.metrics.folders import compare_folders
from src.evaluation.metrics.measure import METRICS, PAIRED, SETS, Comparison, Tools, measure
from src.evaluation.metrics.report import Report, lines_of
from src.evaluation.metrics.runs import compare_run
from src.evaluation.results import read_record
from src.evaluation.translate import plan, translate_all
from src.utils.config import Config
from src.utils.errors import UserError
from src.utils.logging import get_logger
from src.utils.runtime import start

_TRANSLATING = ("sample", "reconstruct")


def evaluate_metrics(command: Config) -> int:
    """Measure ``metrics`` of the run or of the folders that the options name; print and keep the numbers.

    Raises:
        UserError: unknown metrics, missing weights or pictures, or nothing that they could be compared with.
    """
    wanted = _parse(command.metrics)
    if command.fake:
        start(command, get_logger().info)
        comparison = compare_folders(command, wanted)
        folder = Path(command.predict_dir) / (command.name if "name" in command.explicit else "metrics")
        _measure_all([comparison], Tools(command, wanted, _store(command)), folder, command)
        return 0
    if command.source:
        raise UserError("--source goes with --fake FOLDER: a run knows what its pictures were made from")
    if "task" in command.explicit and command.task not in _TRANSLATING:
        raise UserError(f"--metrics measures translations, not task {command.task}: leave one of the two out")
    if "how_many" not in command.explicit:
        command = command.replace(how_many=0)
    job = plan(command)
    if not command.inception_net_path:
        # a training that takes FID on its way knows where the weights are
        command = command.replace(inception_net_path=job.run.config.inception_net_path)
    tools = Tools(command.replace(label_nc=job.run.config.label_nc), wanted, _store(command))
    outputs = read_record(job.folder, job.fingerprint)
    if outputs is None:
        translate_all(job)
        outputs = read_record(job.folder, job.fingerprint)
    else:
        get_logger().info(f"{job.folder} holds this translation already")
    if not outputs:
        raise UserError(f"{job.folder}: nothing was translated, so there is nothing to measure")
    comparisons = compare_run(job, outputs, command, wanted)
    measured = _measure_all(comparisons, tools, job.folder, command)
    _show(job.folder, measured)
    return 0


def _store(command: Config) -> Path:
    return Path(command.save_ckpt_dir) / ".features"


def _parse(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, 1, 0.4)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"metrics {text}: {name} is not one of {', '.join(METRICS)}{hint}")
    if not names:
        raise UserError(f"metrics {text!r} names none of {', '.join(METRICS)}")
    return names


def _measure_all(
    comparisons: Sequence[Comparison], tools: Tools, folder: Path, command: Config
) -> list[tuple[Comparison, list[Entry]]]:
    say = get_logger().info
    _check_comparable(comparisons, tools.wanted)
    report, measured = Report(folder), []
    for comparison in comparisons:
        entries = measure(comparison, tools, command.num_workers)
        for line in lines_of(entries, comparison.subject):
            say(line)
        report.add(entries, comparison.subject)
        # now, so that trouble with the next output costs no number
        report.write()
        measured.append((comparison, entries))
    repeated = over_samplings([entry for _, entries in measured for entry in entries])
    if repeated:
        subject = comparisons[0].subject
        for line in lines_of(repeated, subject):
            say(line)
        report.add(repeated, subject)
    say(f"metrics: {report.write()}")
    return measured


def _check_comparable(comparisons: Sequence[Comparison], wanted: Sequence[str]) -> None:
    """Each metric must have something to compare with, for one output at least."""
    for names, possible, needed in (
        (PAIRED, [c for c in comparisons if c.references], "pictures that are partners of the outputs"),
        (SETS, [c for c in comparisons if c.has_reals], "real pictures: pass --real FOLDER"),
    ):
        asked = [name for name in wanted if name in names]
        if asked and not possible:
            raise UserError(f"{', '.join(asked)} need {needed}, and the data set has none")


def _show(folder: Path, measured: Sequence[tuple[Comparison, list[Entry]]]) -> None:
    """Put the numbers of single pictures into the gallery."""
    gallery = Gallery(folder)
    for comparison, entries in measured:
        prefix = f"{comparison.output} " if len(measured) > 1 else ""
        for entry in entries:
            suffix = " to source" if entry.group.endswith("source") else ""
            for stem, value in entry.pictures.items():
                gallery.add_numbers(stem, {f"{prefix}{entry.metric}{suffix}": value})
    gallery.write()
