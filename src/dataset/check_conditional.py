"""Examining conditional data: sizes, colours, and the labels of label maps."""

__all__ = ["examine"]

import numpy as np

from ..options.config import Config
from ..utils.errors import UserError
from .check import Finding, examine_reader, load_row, tell_labels
from .conditional import ConditionalReader, ConditionalRequest
from .report import Report


def examine(request: ConditionalRequest, options: Config, phase: str) -> Report:
    """Read every file of ``phase`` as training would and collect what is wrong with it."""
    place = f"{options.data_root}, {options.mapping} of {options.dataset}"
    report = Report(facts=[("data set", place)])
    return examine_reader(lambda: ConditionalReader(request, options, phase), options, _check, _tell, report)


def _check(reader: ConditionalReader, index: int) -> Finding:
    finding, _ = load_row(reader, index, reader.layout.size_on_disk)
    if "label" in reader.needed:
        try:
            ids = reader.layout.label_ids(reader.rows[index])
            finding.labels = None if ids is None else np.bincount(ids.ravel())
        except UserError:
            # load_row has reported it already
            finding.labels = None
    return finding


def _tell(report: Report, reader: ConditionalReader, findings: list[Finding]) -> None:
    tell_labels(report, [finding.labels for finding in findings], reader.prepare.classes or None)
