"""Examining conditional data: sizes, colours, and the labels of label maps."""

__all__ = ["examine"]

import numpy as np

from ..options.config import Config
from ..utils.errors import UserError
from .check import Look, examine_reader, look_at, tell_labels
from .conditional import ConditionalReader, ConditionalRequest
from .report import Report


def examine(request: ConditionalRequest, options: Config, phase: str) -> Report:
    """Read every file of ``phase`` as training would and collect what is wrong with it."""
    place = f"{options.data_root}, {options.mapping} of {options.dataset}"
    report = Report(facts=[("data set", place)])
    return examine_reader(lambda: ConditionalReader(request, options, phase), options, _look, _tell, report)


def _look(reader: ConditionalReader, index: int) -> Look:
    look, _ = look_at(reader, index, reader.layout.size_on_disk)
    if "label" in reader.needed:
        try:
            ids = reader.layout.label_ids(reader.rows[index])
            look.labels = None if ids is None else np.bincount(ids.ravel())
        except UserError:
            # said already, by what look_at found
            look.labels = None
    return look


def _tell(report: Report, reader: ConditionalReader, looks: list[Look]) -> None:
    tell_labels(report, [look.labels for look in looks], reader.prepare.classes or None)
