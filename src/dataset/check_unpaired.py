"""Examining unpaired data: both sets of images, what the crop does to them, and the label maps of A."""

__all__ = ["examine"]

import numpy as np

from ..options.config import Config
from ..utils.errors import UserError
from .check import (
    Finding,
    load_row,
    sizes_of,
    survey,
    tell_batches,
    tell_labels,
    tell_problems,
    tell_records,
    tell_sizes,
)
from .report import Report
from .unpaired import UnpairedReader, UnpairedRequest
from .unpaired_files import LABEL, images_of, label_files, rows_of


def examine(request: UnpairedRequest, options: Config, phase: str) -> Report:
    """Read every file of ``phase`` as training would and collect what is wrong with it."""
    report, findings = Report(), {}
    for domain in "AB":
        try:
            findings[domain] = _examine_domain(request, options, phase, domain, report)
        except UserError as error:
            # options that are wrong are so for both
            report.problems += [str(error)] if str(error) not in report.problems else []
    every = [finding for found in findings.values() for finding in found]
    sizes = {finding.in_training for finding in every if finding.in_training}
    if len(sizes) > 1:
        shown = sizes_of(finding.in_training for finding in every)
        report.problems.append(
            f"training needs one size, but the images have {len(sizes)}: {shown}; pass --resize_or_crop squash, or a "
            "mode that crops"
        )
    tell_records(report, every)
    if len(findings) == 2:
        # where pairs are fixed, B starts again as often as A needs
        counts = {_nouns(d): len(found) for d, found in findings.items() if options.random_pair or d == "A"}
        tell_batches(report, options, counts)
    return report


def _nouns(domain: str) -> tuple[str, str]:
    return f"image of {domain}", f"images of {domain}"


def _examine_domain(
    request: UnpairedRequest, options: Config, phase: str, domain: str, report: Report
) -> list[Finding]:
    listed, labels = images_of(options, domain, phase), None
    once = listed.once()
    different = f" ({len(once.files)} different)" if len(once.files) < len(listed.files) else ""
    report.facts.append((f"images of {domain}", f"{len(listed.files)}{different} in {listed.folder}"))
    if domain == "A":
        try:
            labels = label_files(options, phase, once, needed=request.labels)
        except UserError as error:
            report.problems.append(str(error))
    reader = UnpairedReader(request, options, phase, rows_of(once, domain, labels), training=True)
    findings = survey(lambda index: _check(reader, index), len(reader.rows), options)
    tell_problems(report, findings, _nouns(domain))
    tell_sizes(report, findings, f" of {domain}")
    if labels:
        report.facts.append(
            ("label maps of A", f"{len(set(labels.values()))} in {options.label_root.replace('{phase}', phase)}")
        )
        tell_labels(report, [finding.labels for finding in findings])
    return findings


def _check(reader: UnpairedReader, index: int) -> Finding:
    finding, arrays = load_row(reader, index)
    if arrays and LABEL in arrays:
        finding.labels = np.bincount(arrays[LABEL].ravel())
    return finding
