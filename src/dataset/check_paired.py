"""Examining paired data: partners, labels, instances or the classes that features are pooled over, and sizes."""

__all__ = ["examine"]

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..imaging.images import read_labels
from ..options.config import Config
from ..utils.errors import UserError
from ..utils.text import counted
from .check import Finding, examine_reader, load_row, sizes_of, tell_labels
from .folders import find_unpaired, list_images, pair_folders
from .paired import PairedReader, PairedRequest, paired_folders
from .report import Report

# below this fraction of pixels, instance ids are taken to follow another convention than Cityscapes'
_AGREEMENT = 0.9


@dataclass
class _Regions:
    """Regions of a sample, and the fraction of pixels whose instance id is of their label."""

    count: int
    agreement: float = 1.0


def examine(request: PairedRequest, options: Config, phase: str) -> Report:
    """Read every file of ``phase`` as training would and collect what is wrong with it."""
    report, rows = Report(), None
    try:
        folders = paired_folders(request, options, phase, training=True)
        for column, folder in folders.items():
            report.facts.append((f"{column} files", f"{len(list_images(folder))} in {folder}"))
        for lacking in find_unpaired(folders):
            report.problems += [f"{lacking.folder} has no file for {stem}" for stem in lacking.missing]
        if report.problems:
            rows = pair_folders(folders, only_complete=True)
    except UserError as error:
        report.problems.append(str(error))
        return report
    return examine_reader(
        lambda: PairedReader(request, options, phase, training=True, rows=rows), options, _check, _tell, report
    )


def _check(reader: PairedReader, index: int) -> Finding:
    finding, arrays = load_row(reader, index)
    has_labels = reader.request.label_nc > 0
    if arrays is None:
        finding.labels = _histogram(reader.rows[index].files["label"]) if has_labels else None
        return finding
    if has_labels:
        finding.labels = np.bincount(arrays["label"].ravel())
    if reader.request.regions == "labels" and finding.labels is not None:
        finding.more = _Regions(np.count_nonzero(finding.labels))
    elif "inst" in arrays:
        ids = arrays["inst"].astype(np.int64)
        finding.more = _Regions(np.count_nonzero(np.bincount(ids.ravel())))
        if has_labels:
            finding.more.agreement = float((np.where(ids < 1000, ids, ids // 1000) == arrays["label"]).mean())
    return finding


def _histogram(path: Path) -> np.ndarray | None:
    """Labels of a file that training refuses, if they can be read at all."""
    try:
        return np.bincount(read_labels(path).ravel())
    except UserError:
        return None


def _tell(report: Report, reader: PairedReader, findings: list[Finding]) -> None:
    sizes = {finding.in_training for finding in findings if finding.in_training}
    if len(sizes) > 1:
        report.problems.append(
            f"training needs one size, but the samples have {len(sizes)}: "
            f"{sizes_of(finding.in_training for finding in findings)}; pass --resize_or_crop resize_and_crop, "
            "scale_width_and_crop or crop with a --fine_size that fits all images"
        )
    label_nc = reader.request.label_nc
    if label_nc:
        used = tell_labels(report, [finding.labels for finding in findings], label_nc)
        unused = label_nc - np.count_nonzero(used < label_nc)
        if label_nc > unused > label_nc // 2:
            report.notices.append(
                f"{unused} of {label_nc} classes never occur: a smaller --label_nc saves memory if the labels can be "
                "renumbered"
            )
    found = [(finding.more, reader.rows[index].stem) for index, finding in enumerate(findings) if finding.more]
    if not found:
        return
    most, stem = max(found, key=lambda one: one[0].count)
    if reader.request.regions == "labels":
        report.facts.append(("most classes", f"{most.count} in {stem} (label_nc {label_nc})"))
        return
    report.facts.append(("most instances", f"{most.count} in {stem} (max_instances {reader.options.max_instances})"))
    odd = [stem for regions, stem in found if regions.agreement < _AGREEMENT]
    if odd:
        wrong = ", but feature clusters per class will be wrong" if reader.request.regions else ""
        report.notices.append(
            f"in {counted(len(odd), 'sample')} (first: {odd[0]}) instance ids are not label or label * 1000 + k: "
            f"training works{wrong}; check that the maps belong together"
        )
