"""Measured numbers on the screen and in files, which keep earlier measurements."""

__all__ = ["Report", "lines_of", "with_arithmetic"]

import hashlib
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from ..utils.arithmetic import conv_precision
from ..utils.errors import UserError
from ..utils.files import atomic_write, explain_os_error
from ..utils.logging import get_logger
from .entries import Entry

_FORMAT = 1
_SHOWN_CLASSES = 5
#: metric to its unit, digits, factor, and whether more or less is better
_STYLES = {
    "class_accuracy": (" %", 2, 100, "higher"),
    "coverage": ("", 4, 1, "higher"),
    "density": ("", 4, 1, "higher"),
    "fid": ("", 3, 1, "lower"),
    "kid": ("", 5, 1, "lower"),
    "lpips": ("", 4, 1, "lower"),
    "miou": (" %", 2, 100, "higher"),
    "pixel_accuracy": (" %", 2, 100, "higher"),
    "precision": ("", 4, 1, "higher"),
    "psnr": (" dB", 2, 1, "higher"),
    "recall": ("", 4, 1, "higher"),
    "ssim": ("", 4, 1, "higher"),
    "warp_error": ("", 6, 1, "lower"),
}


def _value(metric: str, value: float | str, spread: float | None) -> str:
    unit, digits, factor, better = _STYLES[metric]
    text = f"{float(value) * factor:.{digits}f}"
    if spread is not None:
        text += f" +- {spread * factor:.{digits}f}"
    return f"{text}{unit} ({better} is better)"


def _text(protocol: Mapping[str, object]) -> str:
    return "; ".join(f"{key} {value}" for key, value in protocol.items())


def with_arithmetic(facts: Mapping[str, object]) -> dict[str, object]:
    """``facts`` of a measurement, and what the convolutions behind it computed in."""
    return dict(facts) | {"conv_precision": conv_precision()}


def lines_of(entries: Sequence[Entry], subject: Mapping[str, object]) -> list[str]:
    """Text for the screen: each number with its protocol and its warnings."""
    lines = [f"measured: {_text(subject)}"]
    for entry in entries:
        value = _value(entry.metric, entry.value, entry.spread)
        lines.append(f"{entry.output}, {entry.group}: {entry.metric} {value}")
        lines.append(f"    {_text(with_arithmetic(entry.protocol))}")
        worst = sorted((iou, name) for name, iou in entry.details.items() if iou is not None)[:_SHOWN_CLASSES]
        if worst:
            lines.append("    lowest: " + ", ".join(f"{name} {100 * iou:.1f} %" for iou, name in worst))
        lines += [f"    warning: {warning}" for warning in entry.warnings]
    return lines


class Report:
    """``metrics.json`` and the table ``metrics.md`` in ``folder``, which keep what they hold.

    A number replaces an earlier one only if output, metric, protocol and subject are the same; otherwise both stay.

    Raises:
        UserError: the folder cannot be made.
    """

    def __init__(self, folder: Path):
        self._path, self._table = folder / "metrics.json", folder / "metrics.md"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, folder, "create") from error
        self._measurements = self._load()

    def _load(self) -> dict[str, dict]:
        if not self._path.is_file():
            return {}
        try:
            state = json.loads(self._path.read_text(encoding="utf-8"))
            if state["format"] != _FORMAT:
                raise ValueError(f"format {state['format']}")
            return {measured["key"]: measured for measured in state["measurements"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            aside = self._path.with_name(f"metrics.json.unreadable-{time.strftime('%Y%m%d-%H%M%S')}")
            try:
                os.replace(self._path, aside)
            except OSError:
                raise UserError(f"{self._path} cannot be read ({error}): move it away") from error
            get_logger().warning(f"{self._path} cannot be read ({error}): it is kept as {aside.name}")
            return {}

    def add(self, entries: Sequence[Entry], subject: Mapping[str, object]) -> None:
        """Add numbers that were measured on ``subject``."""
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        for entry in entries:
            measured = asdict(entry) | {"subject": dict(subject)}
            measured["protocol"] = with_arithmetic(entry.protocol)
            same = [measured[part] for part in ("output", "group", "metric", "protocol", "subject")]
            digest = hashlib.sha256(json.dumps(same, sort_keys=True, default=str).encode()).hexdigest()[:16]
            measured["value"] = _encodable(entry.value)
            measured["pictures"] = {stem: _encodable(value) for stem, value in entry.pictures.items()}
            self._measurements.pop(digest, None)
            self._measurements[digest] = {"key": digest, "measured": now} | measured

    def write(self) -> Path:
        """Write both files and return the table's path."""
        state = {"format": _FORMAT, "measurements": list(self._measurements.values())}
        atomic_write(self._path, json.dumps(state, indent=1, allow_nan=False))
        atomic_write(self._table, self._markdown())
        return self._table

    def _markdown(self) -> str:
        protocols: list[str] = []
        parts = ["# Metrics", ""]
        newest = list(self._measurements.values())[::-1]
        for subject in dict.fromkeys(_text(measured["subject"]) for measured in newest):
            own = [measured for measured in newest if _text(measured["subject"]) == subject]
            rows = []
            for measured in own:
                facts = _text(measured["protocol"])
                if facts not in protocols:
                    protocols.append(facts)
                value = _value(measured["metric"], measured["value"], measured["spread"])
                mark = " !" if measured["warnings"] else ""
                cells = (measured["output"], measured["group"], measured["metric"], value + mark, measured["count"])
                rows.append((*cells, measured["measured"], f"[{protocols.index(facts) + 1}]"))
            parts += [f"## {subject}", "", *_table(rows), "", *_warnings(own)]
        numbered = [line for i, facts in enumerate(protocols, 1) for line in (f"[{i}] {facts}", "")]
        return "\n".join([*parts, "## Protocols", "", *numbered])


def _table(rows: Sequence[Sequence[object]]) -> list[str]:
    heads = ("output", "question", "metric", "value", "pictures", "measured", "protocol")
    widths = [max(len(str(row[i])) for row in [heads, *rows]) for i in range(len(heads))]
    return [_row(heads, widths), _row(["-" * width for width in widths], widths), *(_row(row, widths) for row in rows)]


def _warnings(measurements: Sequence[Mapping]) -> list[str]:
    lines = [f"- {m['metric']} of {m['output']}: {warning}" for m in measurements for warning in m["warnings"]]
    return ["! Warnings:", "", *dict.fromkeys(lines), ""] if lines else []


def _row(cells: Sequence[object], widths: Sequence[int]) -> str:
    return "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def _encodable(value: float) -> float | str:
    # JSON has no infinity
    return value if math.isfinite(value) else str(value)
