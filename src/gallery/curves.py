"""The loss curves of a page: a bounded number of points, kept up to date with a log at a bounded cost."""

__all__ = ["LossCurves"]

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

from ..runs.log import parse_record
from ..utils.files import explain_os_error, open_regular

MOST_POINTS = 1200
"""Points of a curve: a screen has no room for more."""

_MOST_BYTES = 1 << 21
_PIECE = 1 << 13


@dataclass
class _Point:
    """The losses of consecutive records: the last step and epoch, and the finite values by name."""

    step: int
    epoch: int
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def merge(self, later: "_Point") -> None:
        self.step, self.epoch = later.step, later.epoch
        for name, value in later.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + later.counts[name]

    def mean(self, name: str) -> float | None:
        if not self.counts.get(name):
            return None
        mean = float(f"{self.sums[name] / self.counts[name]:.6g}")
        return mean if math.isfinite(mean) else None


class LossCurves:
    """Follows a ``log.jsonl`` that grows: each update reads what is new.

    A point is the mean over a stretch of steps; stretches double where there would be more than ``most_points``. Of
    more than 2 MiB of new lines (some 6000 records, as in the first update of a long log), 256 evenly spread pieces are
    read, so the cost of an update has an upper bound.
    """

    def __init__(self, path: str | os.PathLike, most_points: int = MOST_POINTS):
        self.path = Path(path)
        self._most_points = most_points
        self._begin()

    def _begin(self) -> None:
        self._read_to, self._stretch = 0, 1
        self._points: list[_Point] = []

    def update(self) -> dict | None:
        """Read new records and return the curves for the page, or None while there are none.

        Returns:
            ``steps`` and ``epochs``, the last of each point, and ``series``: for each loss its mean in each point, None
            where it has no finite value.

        Raises:
            UserError: the log cannot be read.
        """
        try:
            self._read_on()
        except OSError as error:
            raise explain_os_error(error, self.path, "read") from error
        if not self._points:
            return None
        names = dict.fromkeys(name for point in self._points for name in point.sums)
        return {
            "steps": [point.step for point in self._points],
            "epochs": [point.epoch for point in self._points],
            "series": {name: [point.mean(name) for point in self._points] for name in names},
        }

    def _read_on(self) -> None:
        with open_regular(self.path) as file:
            size = file.seek(0, os.SEEK_END)
            if size < self._read_to:  # the log was cut since
                self._begin()
            for start, stop in _pieces(self._read_to, size):
                file.seek(start)
                data = file.read(stop - start)
                # the writer may be in the middle of the last line
                whole = data[: data.rfind(b"\n") + 1]
                self._read_to = start + len(whole)
                for line in whole.split(b"\n"):
                    # a piece begins inside a line, and the rest of a line is not a record
                    record = parse_record(line)
                    if record and record["values"]:
                        self._add(record)

    def _add(self, record: dict) -> None:
        point = _Point(record["step"], record["epoch"])
        for name, value in record["values"].items():
            finite = math.isfinite(value)
            point.sums[name], point.counts[name] = value if finite else 0.0, int(finite)
        if self._points and point.step < self._points[-1].step:
            return
        self._put(point)
        while len(self._points) > self._most_points:
            self._stretch *= 2
            points, self._points = self._points, []
            for point in points:
                self._put(point)

    def _put(self, point: _Point) -> None:
        if self._points and (self._points[-1].step - 1) // self._stretch == (point.step - 1) // self._stretch:
            self._points[-1].merge(point)
        else:
            self._points.append(point)


def _pieces(start: int, stop: int) -> list[tuple[int, int]]:
    """Ranges to read of the bytes from ``start`` to ``stop``: everything, or evenly spread pieces."""
    if stop - start <= _MOST_BYTES:
        return [(start, stop)]
    count = _MOST_BYTES // _PIECE
    room = stop - start - _PIECE
    return [(begin, begin + _PIECE) for begin in (start + room * i // (count - 1) for i in range(count))]
