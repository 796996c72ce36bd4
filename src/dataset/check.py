"""A report on what a training run would trip over, made from every file of the data set."""

__all__ = ["Report", "check_data", "examine"]

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TextIO

import numpy as np

from src.dataset.folders import Row, find_unpaired, list_images, pair_folders
from src.dataset.paired import PairedReader, paired_folders
from src.dataset.reader import OptionError
from src.dataset.shards import pack
from src.utils.errors import UserError
from src.utils.images import picture_info, read_labels
from src.utils.progress import track, write_line

_MOST_LISTED = 20
_PACKED_ROWS = 16


@dataclass
class Report:
    """What was found: ``problems`` stop a run, ``notices`` are worth knowing, ``facts`` are name and value."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The report as a table for the console."""
        width = max((len(name) for name, _ in self.facts), default=0)
        lines = [f"  {name:<{width}}  {value}" for name, value in self.facts]
        for title, entries in (("notices", self.notices), ("problems", self.problems)):
            lines.append(f"{len(entries)} {title}" + (":" if entries else ""))
            lines += [f"  - {entry}" for entry in entries[:_MOST_LISTED]]
            if len(entries) > _MOST_LISTED:
                lines.append(f"  ... and {len(entries) - _MOST_LISTED} more")
        return "\n".join(lines)


@dataclass
class _Found:
    """What one sample showed."""

    problem: str = ""
    option_problem: str = ""
    source_size: str = ""
    final_size: str = ""
    labels: np.ndarray | None = None
    instances: int = 0
    agreement: float = 1.0
    packed: int = 0


def check_data(config, stream: TextIO | None = None) -> int:
    """Examine the training data that ``config`` names, print a report, and return the number of problems."""
    report = examine(config)
    write_line(f"data set {config.data_root}, phase {config.phase}\n{report.text()}", stream or sys.stdout)
    return len(report.problems)


def examine(config) -> Report:
    """Read every file of ``config.phase`` as training would and collect what is wrong with it."""
    report = Report()
    try:
        folders = paired_folders(config, config.phase, training=True)
        for column, folder in folders.items():
            report.facts.append((f"{column} files", f"{len(list_images(folder))} in {folder}"))
        for lacking in find_unpaired(folders):
            for stem in lacking.missing:
                report.problems.append(f"{lacking.folder} has no file for {stem}")
        reader = PairedReader(config, config.phase, training=True, rows=_complete_rows(folders, report))
    except UserError as error:
        report.problems.append(str(error))
        return report
    count = len(reader.rows)
    with ThreadPoolExecutor(config.num_workers) as pool:
        looks = pool.map(lambda index: _look(reader, index), range(count))
        found = list(track(looks, "checking", total=count, unit="samples"))
    problems = [one.problem for one in found if one.problem]
    misfits = [one.option_problem for one in found if one.option_problem]
    report.problems += misfits[:1] + problems
    _tell_sizes(report, found)
    _tell_labels(report, reader, found)
    _tell_instances(report, reader, found)
    _tell_disk(report, found)
    _tell_batches(report, config, count)
    return report


def _complete_rows(folders, report: Report) -> list[Row] | None:
    """The rows that pair, where some do not; None lets the reader pair them itself."""
    if not report.problems:
        return None
    return pair_folders(folders, only_complete=True)


def _look(reader: PairedReader, index: int) -> _Found:
    row = reader.rows[index]
    found = _Found()
    try:
        info = picture_info(row.files["label"])
        found.source_size = f"{info.width}x{info.height}"
        arrays = reader.load(index)
    except UserError as error:
        if isinstance(error, OptionError):
            found.option_problem = str(error)
        else:
            found.problem = str(error)
        if reader.config.label_nc:
            found.labels = _histogram_of(row)
        return found
    height, width = reader.final_size(arrays)
    found.final_size = f"{width}x{height}"
    if reader.config.label_nc:
        found.labels = np.bincount(arrays["label"].ravel())
    if "inst" in arrays:
        ids = arrays["inst"].astype(np.int64)
        found.instances = int((np.bincount(ids.ravel()) > 0).sum())
        if reader.config.label_nc:
            found.agreement = float((np.where(ids < 1000, ids, ids // 1000) == arrays["label"]).mean())
    if index < _PACKED_ROWS:
        found.packed = sum(len(pack(array)) for array in arrays.values())
    return found


def _histogram_of(row: Row) -> np.ndarray | None:
    """Labels of a file that training refuses, if they can be read at all."""
    try:
        return np.bincount(read_labels(row.files["label"]).ravel())
    except UserError:
        return None


def _shares(counts: Counter) -> str:
    return ", ".join(f"{name} ({number})" for name, number in counts.most_common(5)) + (
        ", ..." if len(counts) > 5 else ""
    )


def _tell_sizes(report: Report, found: list[_Found]) -> None:
    sizes = Counter(one.source_size for one in found if one.source_size)
    finals = Counter(one.final_size for one in found if one.final_size)
    report.facts.append(("sizes on disk", _shares(sizes) or "none readable"))
    report.facts.append(("sizes in training", _shares(finals) or "none"))
    if len(finals) > 1:
        report.problems.append(
            f"training needs one size, but the samples have {len(finals)}: {_shares(finals)}; pass --resize_or_crop "
            "resize_and_crop, scale_width_and_crop or crop with a --fine_size that fits all pictures"
        )


def _tell_labels(report: Report, reader: PairedReader, found: list[_Found]) -> None:
    histograms = [one.labels for one in found if one.labels is not None]
    if not histograms:
        return
    # Every file counts the same: files that training refuses are counted at their own resolution.
    shares = np.zeros(max(map(len, histograms)))
    for histogram in histograms:
        shares[: len(histogram)] += histogram / histogram.sum() / len(histograms)
    used = np.flatnonzero(shares)
    by_share = sorted(used, key=lambda label: -shares[label])
    text = ", ".join(f"{label}: {100 * shares[label]:.2g} %" for label in by_share)
    report.facts.append((f"labels ({len(used)} used)", text))
    outside = [int(label) for label in used if label >= reader.config.label_nc]
    if outside:
        files = sum(bool(len(h) > reader.config.label_nc) for h in histograms)
        share = 100 * shares[reader.config.label_nc :].sum()
        report.facts.append(
            (f"labels >= {reader.config.label_nc}", f"{outside} in {files} files, {share:.2g} % of the pixels")
        )
    unused = sorted(set(range(reader.config.label_nc)) - set(used.tolist()))
    if unused and len(unused) > reader.config.label_nc // 2:
        report.notices.append(
            f"{len(unused)} of {reader.config.label_nc} classes never occur: a smaller --label_nc saves memory if the "
            "labels can be renumbered"
        )


def _tell_instances(report: Report, reader: PairedReader, found: list[_Found]) -> None:
    if "inst" not in reader.stored:
        return
    usable = [(one.instances, index) for index, one in enumerate(found) if one.instances]
    if usable:
        most, index = max(usable)
        limit = reader.config.max_instances
        report.facts.append(("most instances", f"{most} in {reader.rows[index].stem} (max_instances {limit})"))
    odd = [reader.rows[index].stem for index, one in enumerate(found) if one.agreement < 0.9]
    if odd:
        report.notices.append(
            f"in {len(odd)} samples (first: {odd[0]}) instance ids are not label or label * 1000 + k: training works, "
            "but feature clusters per class will be wrong; check that the maps belong together"
        )


def _tell_disk(report: Report, found: list[_Found]) -> None:
    packed = [one.packed for one in found if one.packed]
    if packed:
        size = sum(packed) / len(packed) * len(found)
        each = size / len(found) / 1024
        report.facts.append(("records (estimate)", f"{size / 2**20:.1f} MiB, {each:.0f} KiB a sample"))


def _tell_batches(report: Report, config, count: int) -> None:
    report.facts.append(("steps an epoch", f"{count // config.batch_size} with batch_size {config.batch_size}"))
    if count < config.batch_size:
        report.problems.append(f"{count} samples are fewer than batch_size {config.batch_size}: pass a smaller one")
