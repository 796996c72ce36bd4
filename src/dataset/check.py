"""Examining a data set: shared code of the reports on all kinds of data."""

__all__ = [
    "Finding", "examine_reader", "file_size", "load_row", "sizes_of", "survey", "tell_batches", "tell_labels",
    "tell_problems", "tell_records", "tell_sizes",
]  # fmt: skip

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..imaging.images import picture_info
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.progress import track
from ..utils.text import counted
from .folders import Row
from .reader import OptionError, Reader
from .report import Report
from .shards import pack

Result = TypeVar("Result")
Kind = TypeVar("Kind", bound=Reader)
Size = tuple[int, int]
#: singular and plural
Nouns = tuple[str, str]

# rows from which the size of all records is estimated
_PACKED_ROWS = 16
_MOST_SIZES = 5


@dataclass
class Finding:
    """Findings on one sample.

    Attributes:
        problem: why it cannot be used.
        misfit: why it cannot be used with these options; other samples may have the same misfit.
        on_disk, in_training: width and height of the first file and of the training sample.
        labels: number of pixels of each label.
        packed: bytes in the records, for the first samples.
        more: further findings of a kind of data.
    """

    problem: str = ""
    misfit: str = ""
    on_disk: Size | None = None
    in_training: Size | None = None
    labels: np.ndarray | None = None
    packed: int = 0
    more: Any = None


def file_size(row: Row) -> Size:
    """Width and height of a row's first file, by its header."""
    info = picture_info(next(iter(row.files.values())))
    return info.width, info.height


def load_row(
    reader: Reader, index: int, on_disk: Callable[[Row], Size] = file_size
) -> tuple[Finding, dict[str, np.ndarray] | None]:
    """Load a row as training does: the findings, and the loaded arrays, None if it cannot be used."""
    finding, row = Finding(), reader.rows[index]
    try:
        finding.on_disk = on_disk(row)
        arrays = reader.load(index)
    except UserError as error:
        if isinstance(error, OptionError):
            finding.misfit = str(error)
        else:
            finding.problem = str(error)
        return finding, None
    finding.in_training = reader.final_size(arrays)[::-1]
    if index < _PACKED_ROWS:
        finding.packed = sum(len(pack(array)) for array in arrays.values())
    return finding, arrays


def survey(check: Callable[[int], Result], count: int, options: Config) -> list[Result]:
    """The findings of ``check`` on every sample, in ``num_workers`` threads, with a progress bar."""
    with ThreadPoolExecutor(max(1, options.num_workers)) as pool:
        return list(track(pool.map(check, range(count)), "checking", total=count, unit="samples"))


def examine_reader(
    make: Callable[[], Kind],
    options: Config,
    check: Callable[[Kind, int], Finding] = lambda reader, index: load_row(reader, index)[0],
    tell: Callable[[Report, Kind, list[Finding]], None] = lambda report, reader, findings: None,
    report: Report | None = None,
) -> Report:
    """Load every sample of a reader as training would, and collect what is wrong with them.

    Args:
        make: makes the reader; a ``UserError`` is then the only problem.
        options: options of the kind of data.
        check: returns the findings on a sample.
        tell: adds the facts of the kind of data to the report.
        report: facts that are known already.
    """
    report = report or Report()
    try:
        reader = make()
    except UserError as error:
        report.problems.append(str(error))
        return report
    findings = survey(lambda index: check(reader, index), len(reader.rows), options)
    report.facts.append(("samples", str(len(findings))))
    tell_problems(report, findings)
    tell_sizes(report, findings)
    tell(report, reader, findings)
    tell_records(report, findings)
    tell_batches(report, options, {("sample", "samples"): len(findings)})
    return report


def tell_problems(report: Report, findings: Sequence[Finding], nouns: Nouns = ("sample", "samples")) -> None:
    """Files that cannot be used one by one, and those that do not fit the options as one problem."""
    misfits = [finding for finding in findings if finding.misfit]
    if misfits:
        smallest = min(misfits, key=lambda finding: np.prod(finding.on_disk or (0, 0)))
        others = f"{counted(len(misfits), *nouns)} do not fit the options; the smallest: " if len(misfits) > 1 else ""
        report.problems.append(others + smallest.misfit)
    report.problems += [finding.problem for finding in findings if finding.problem]


def sizes_of(sizes: Iterable[Size | None]) -> str:
    """The most frequent sizes with how often they occur, ``none`` if there are none."""
    counts = Counter(size for size in sizes if size)
    shown = [f"{width}x{height} ({number})" for (width, height), number in counts.most_common(_MOST_SIZES)]
    return ", ".join(shown + ["..."] * (len(counts) > _MOST_SIZES)) or "none"


def tell_sizes(report: Report, findings: Sequence[Finding], of: str = "") -> None:
    """Sizes on disk and in training; ``of`` names the set."""
    report.facts.append((f"sizes on disk{of}", sizes_of(finding.on_disk for finding in findings)))
    report.facts.append((f"sizes in training{of}", sizes_of(finding.in_training for finding in findings)))


def tell_labels(report: Report, histograms: Iterable[np.ndarray | None], label_nc: int | None = None) -> np.ndarray:
    """Report the labels and the fraction of the images that each covers, with equal weight for every file.

    Labels from ``label_nc`` on, if it is known, are out of range. Returns the labels that occur.
    """
    found = [histogram for histogram in histograms if histogram is not None and histogram.sum()]
    fractions = np.zeros(max(map(len, found), default=0))
    for histogram in found:
        fractions[: len(histogram)] += histogram / histogram.sum() / len(found)
    used = np.flatnonzero(fractions)
    if found:
        text = ", ".join(f"{label}: {100 * fractions[label]:.2g} %" for label in used[np.argsort(-fractions[used])])
        report.facts.append((f"labels ({len(used)} used)", text))
    outside = [] if label_nc is None else used[used >= label_nc].tolist()
    if label_nc is not None and outside:
        files = sum(len(histogram) > label_nc for histogram in found)
        percent = 100 * fractions[label_nc:].sum()
        report.facts.append(
            (f"labels >= {label_nc}", f"{outside} in {counted(files, 'file')}, {percent:.2g} % of the pixels")
        )
    return used


def tell_records(report: Report, findings: Sequence[Finding]) -> None:
    """Report the expected size of the records, estimated from the first samples."""
    packed = [finding.packed for finding in findings if finding.packed]
    if packed:
        each = sum(packed) / len(packed)
        total = each * len(findings)
        report.facts.append(("records (estimate)", f"{total / 2**20:.1f} MiB, {each / 1024:.0f} KiB a sample"))


def tell_batches(report: Report, options: Config, counts: Mapping[Nouns, int]) -> None:
    """Steps of an epoch, which is one pass over the largest of several sets; ``counts`` are by what is counted."""
    steps = max(count // options.batch_size for count in counts.values())
    report.facts.append(("steps an epoch", f"{steps} with batch_size {options.batch_size}"))
    for nouns, count in counts.items():
        if count < options.batch_size:
            report.problems.append(
                f"batch_size {options.batch_size} is more than {counted(count, *nouns)}: pass a smaller --batch_size"
            )
