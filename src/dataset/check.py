"""Examining a data set: what the reports on all kinds of data have in common."""

__all__ = [
    "Look", "examine_reader", "file_size", "look_at", "sizes_of", "survey", "tell_batches", "tell_labels",
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
Size = tuple[int, int]
#: singular and plural
Nouns = tuple[str, str]

# rows from which the size of all records is estimated
_PACKED_ROWS = 16
_MOST_SIZES = 5


@dataclass
class Look:
    """What one sample showed.

    Attributes:
        problem: why it cannot be used.
        misfit: why it cannot be used with these options, which others would have, too.
        on_disk, in_training: width and height of the first file and of the training sample.
        labels: how many pixels have each label.
        packed: bytes in the records, for the first samples.
        more: what a kind of data looks for besides.
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


def look_at(
    reader: Reader, index: int, on_disk: Callable[[Row], Size] = file_size
) -> tuple[Look, dict[str, np.ndarray] | None]:
    """What loading a row as training does shows, and what it loaded, None where it cannot be used."""
    look, row = Look(), reader.rows[index]
    try:
        look.on_disk = on_disk(row)
        arrays = reader.load(index)
    except UserError as error:
        if isinstance(error, OptionError):
            look.misfit = str(error)
        else:
            look.problem = str(error)
        return look, None
    look.in_training = reader.final_size(arrays)[::-1]
    if index < _PACKED_ROWS:
        look.packed = sum(len(pack(array)) for array in arrays.values())
    return look, arrays


def survey(look: Callable[[int], Result], count: int, options: Config) -> list[Result]:
    """``look`` at every sample, in ``num_workers`` threads, with a bar."""
    with ThreadPoolExecutor(max(1, options.num_workers)) as pool:
        return list(track(pool.map(look, range(count)), "checking", total=count, unit="samples"))


def examine_reader(
    make: Callable[[], Reader],
    options: Config,
    look: Callable[[Reader, int], Look] = lambda reader, index: look_at(reader, index)[0],
    tell: Callable[[Report, Reader, list[Look]], None] = lambda report, reader, looks: None,
    report: Report | None = None,
) -> Report:
    """Load every sample of a reader as training would, and collect what is wrong with them.

    Args:
        make: makes the reader; a ``UserError`` is the one problem then.
        options: those of the kind of data.
        look: what to note of a sample.
        tell: adds what the kind of data has to say.
        report: what is known already.
    """
    report = report or Report()
    try:
        reader = make()
    except UserError as error:
        report.problems.append(str(error))
        return report
    looks = survey(lambda index: look(reader, index), len(reader.rows), options)
    report.facts.append(("samples", str(len(looks))))
    tell_problems(report, looks)
    tell_sizes(report, looks)
    tell(report, reader, looks)
    tell_records(report, looks)
    tell_batches(report, options, {("sample", "samples"): len(looks)})
    return report


def tell_problems(report: Report, looks: Sequence[Look], nouns: Nouns = ("sample", "samples")) -> None:
    """Files that cannot be used one by one, and those that do not fit the options as one problem."""
    misfits = [look for look in looks if look.misfit]
    if misfits:
        smallest = min(misfits, key=lambda look: np.prod(look.on_disk or (0, 0)))
        others = f"{counted(len(misfits), *nouns)} do not fit the options; the smallest: " if len(misfits) > 1 else ""
        report.problems.append(others + smallest.misfit)
    report.problems += [look.problem for look in looks if look.problem]


def sizes_of(sizes: Iterable[Size | None]) -> str:
    """The most frequent sizes with how often they occur, ``none`` if there are none."""
    counts = Counter(size for size in sizes if size)
    shown = [f"{width}x{height} ({number})" for (width, height), number in counts.most_common(_MOST_SIZES)]
    return ", ".join(shown + ["..."] * (len(counts) > _MOST_SIZES)) or "none"


def tell_sizes(report: Report, looks: Sequence[Look], of: str = "") -> None:
    """Sizes on disk and in training; ``of`` says of what."""
    report.facts.append((f"sizes on disk{of}", sizes_of(look.on_disk for look in looks)))
    report.facts.append((f"sizes in training{of}", sizes_of(look.in_training for look in looks)))


def tell_labels(report: Report, histograms: Iterable[np.ndarray | None], label_nc: int | None = None) -> np.ndarray:
    """Which labels there are and how much of the images they cover, every file counting the same.

    ``label_nc``, where it is known, says which labels are out of range. Returns the labels that there are.
    """
    histograms = [histogram for histogram in histograms if histogram is not None and histogram.sum()]
    fractions = np.zeros(max(map(len, histograms), default=0))
    for histogram in histograms:
        fractions[: len(histogram)] += histogram / histogram.sum() / len(histograms)
    used = np.flatnonzero(fractions)
    if histograms:
        text = ", ".join(f"{label}: {100 * fractions[label]:.2g} %" for label in used[np.argsort(-fractions[used])])
        report.facts.append((f"labels ({len(used)} used)", text))
    outside = [] if label_nc is None else used[used >= label_nc].tolist()
    if outside:
        files = sum(len(histogram) > label_nc for histogram in histograms)
        percent = 100 * fractions[label_nc:].sum()
        report.facts.append(
            (f"labels >= {label_nc}", f"{outside} in {counted(files, 'file')}, {percent:.2g} % of the pixels")
        )
    return used


def tell_records(report: Report, looks: Sequence[Look]) -> None:
    """How large the records will be, by the first samples."""
    packed = [look.packed for look in looks if look.packed]
    if packed:
        each = sum(packed) / len(packed)
        total = each * len(looks)
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
