"""``eval.py --metrics``: measuring the translations of a run, or images in folders."""

__all__ = ["measure_folders", "measure_run"]

import difflib
from collections.abc import Sequence
from pathlib import Path

from ..contracts.system import System
from ..gallery.gallery import Gallery
from ..inference.opening import open_model
from ..metrics.entries import Entry, over_samplings
from ..metrics.folders import compare_folders
from ..metrics.measure import METRICS, Comparison, Tools, measure
from ..metrics.report import Report, lines_of
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.logging import get_logger
from ..utils.runtime import start
from .comparisons import RunComparisons
from .record import read_record
from .translate import plan, translate_all


def measure_folders(command: Config) -> int:
    """Measure the images of folder ``fake``; print and keep the numbers.

    Raises:
        UserError: unknown metrics, missing weights or images, or no images to compare with.
    """
    wanted = _parse(command.metrics)
    start(command, get_logger().info)
    comparison = compare_folders(command, wanted)
    folder = Path(command.predict_dir) / (command.name if "name" in command.explicit else "metrics")
    _measure_all([comparison], Tools(command, wanted, _store(command)), folder, command)
    return 0


def measure_run(system: type[System], command: Config) -> int:
    """Translate with the run that the options name, unless the results exist already, and measure the results.

    Raises:
        UserError: see :func:`measure_folders` and :func:`src.inference.opening.open_model`.
    """
    wanted = _parse(command.metrics)
    if "how_many" not in command.explicit:
        command = command.replace(how_many=0)
    model = open_model(command, system)
    config, job = model.config, plan(model)
    tools = Tools(config, wanted, _store(config), model.system.draws_labels)
    comparisons = RunComparisons(model, job, tools)
    outputs = read_record(job.folder, job.fingerprint)
    if outputs is None:
        translate_all(model, job)
        outputs = read_record(job.folder, job.fingerprint)
    else:
        get_logger().info(f"{job.folder} holds this translation already")
    if not outputs:
        raise UserError(f"{job.folder}: nothing was translated, so there is nothing to measure")
    measured = _measure_all(comparisons.of(outputs), tools, job.folder, config)
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
    if tools.segmenter:
        tools.segmenter.tell_apart(item.names[0] for comparison in comparisons for item in comparison.items)
    report, measured = Report(folder), []
    for comparison in comparisons:
        entries = measure(comparison, tools, command.num_workers)
        for line in lines_of(entries, comparison.subject):
            say(line)
        report.add(entries, comparison.subject)
        # written now, so that an error with the next output loses no number
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


def _show(folder: Path, measured: Sequence[tuple[Comparison, list[Entry]]]) -> None:
    """Add the numbers of single images to the gallery."""
    gallery = Gallery(folder)
    for comparison, entries in measured:
        prefix = f"{comparison.output} " if len(measured) > 1 else ""
        for entry in entries:
            suffix = " to source" if entry.group.endswith("source") else ""
            for stem, value in entry.pictures.items():
                gallery.add_numbers(stem, {f"{prefix}{entry.metric}{suffix}": value})
    gallery.write()
