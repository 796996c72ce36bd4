"""The written record of a run: ``log.jsonl``, the same losses as pix2pixHD's ``loss_log.txt``, TensorBoard events."""

__all__ = ["RunLog", "parse_record", "read_log"]

import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from ..utils.errors import UserError
from ..utils.files import explain_os_error, open_regular, open_unlinked
from ..utils.logging import get_logger
from ..utils.text import readable
from .events import Events

LOG_NAME = "log.jsonl"
TEXT_NAME = "loss_log.txt"
EVENTS_FOLDER = "events"

_BLOCK = 1 << 16
_LONGEST_LINE = 1 << 20
_TEXT_LINE = re.compile(rb"\(epoch: (\d{1,18}), iters: (\d{1,18}),")
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def parse_record(line: bytes) -> dict | None:
    """Return the record in one line of a ``log.jsonl``, or None if the line holds none.

    A record has ``step``, ``epoch`` and ``iteration`` (0 or more), ``at`` (seconds since 1970), and ``values`` and
    ``extra`` (name to float).
    """
    try:
        record = json.loads(line)
        for name in ("step", "epoch", "iteration"):
            record[name] = int(record[name])
            if not 0 <= record[name] < 2**63:
                return None
        for part in ("values", "extra"):
            record[part] = {k: float(_NOT_FINITE.get(v, v)) for k, v in record.get(part, {}).items()}
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return None
    return record


def read_log(path: str | os.PathLike) -> list[dict]:
    """Read a whole ``log.jsonl``.

    Returns:
        One dict a line, see :func:`parse_record`. A half-written last line, which a killed run leaves, is left out;
        other unreadable lines are left out with a warning.

    Raises:
        UserError: the file cannot be read.
    """
    records, bad = [], []
    try:
        with open_regular(path) as file:
            for number, line in enumerate(file, 1):
                record = parse_record(line)
                if record is not None:
                    records.append(record)
                elif line.strip() and line.endswith(b"\n"):
                    bad.append(number)
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    if bad:
        get_logger().warning(f"{path}: {len(bad)} unreadable lines left out, the first is line {bad[0]}")
    return records


class RunLog:
    """The written record of a run; every rank may own one, only rank 0 writes to the disk.

    The cost of a record does not depend on the length of the log.

    Args:
        folder: the run folder; it is made when it is missing.
        rank: rank of this process.
        tensorboard: also write TensorBoard events to ``events/``, if tensorboardX is installed.

    Raises:
        UserError: the folder cannot be written, or a file in it is damaged or a link.
    """

    def __init__(self, folder: str | os.PathLike, rank: int = 0, tensorboard: bool = True):
        self.folder = Path(folder)
        self._writes = rank == 0
        self._tensorboard = tensorboard and self._writes
        self._events: Events | None = None
        self._hidden_from: int | None = None
        self._failed: set[str] = set()
        self._text_head = f"================ Training Loss ({time.strftime('%c')}) ================\n"
        if not self._writes:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (OSError, UnicodeEncodeError) as error:
            raise explain_os_error(error, self.folder, "create") from error
        # the next record must not continue the half line that a killed run leaves
        for name in (LOG_NAME, TEXT_NAME):
            _shorten(self.folder / name, lambda line: line.endswith(b"\n") or parse_record(line) is not None)

    def scalars(
        self,
        step: int,
        epoch: int,
        iteration: int,
        values: Mapping[str, float],
        extra: Mapping[str, float] | None = None,
    ) -> str:
        """Record the numbers of one step.

        A failed write (a full disk, for example) is reported once and does not end the run; half lines are removed.

        Args:
            step: optimizer steps since the start of the run.
            epoch: epoch, from 1.
            iteration: position in the epoch, from 1.
            values: loss terms by name.
            extra: anything else: ``time`` (seconds a sample, shown in the text line), ``learning_rate``,
                ``samples_per_second``, ``memory_gib``, ...

        Returns:
            The line for the console, in the format of pix2pixHD's ``loss_log.txt``; lines with losses go there too.
        """
        values = {name: float(value) for name, value in values.items()}
        extra = {name: float(value) for name, value in (extra or {}).items()}
        line = f"(epoch: {epoch}, iters: {iteration}, time: {extra.get('time', 0.0):.3f}) "
        line += " ".join(f"{name}: {value:.3f}" for name, value in values.items())
        if self._writes:
            record: dict[str, object] = {
                "step": int(step),
                "epoch": int(epoch),
                "iteration": int(iteration),
                "at": round(time.time(), 3),
            }
            record["values"], record["extra"] = _encodable(values), _encodable(extra)
            self._append(LOG_NAME, json.dumps(record, allow_nan=False))
            if values:
                self._append(TEXT_NAME, self._text_head + line)
                self._text_head = ""
            self._write_events(step, values, extra)
        return line

    def truncate_after(self, step: int) -> int:
        """Remove the records after ``step``, which a resumed run will record again.

        Returns:
            Number of lines removed from ``log.jsonl``.

        Raises:
            UserError: the files cannot be shortened.
        """
        if not self._writes:
            return 0
        self._hidden_from = step + 1
        lost, last = _shorten(
            self.folder / LOG_NAME, lambda line: (parse_record(line) or {"step": math.inf})["step"] <= step
        )
        if lost:
            record = parse_record(last) or {"epoch": 0, "iteration": 0}
            place = record["epoch"], record["iteration"]
            _shorten(
                self.folder / TEXT_NAME,
                lambda line: (found := _TEXT_LINE.match(line)) and (int(found[1]), int(found[2])) <= place,
            )
        return lost

    def close(self) -> None:
        """Close the TensorBoard events; the other files are complete after every line."""
        if self._events is not None:
            self._events.close()
            self._events = None
        self._tensorboard = False

    def _append(self, name: str, text: str) -> None:
        path = self.folder / name
        try:
            descriptor = open_unlinked(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                size = os.fstat(descriptor).st_size
                data = readable(text + "\n").encode()
                try:
                    if os.write(descriptor, data) != len(data):
                        raise OSError(28, "no space left")
                except OSError:
                    os.ftruncate(descriptor, size)
                    raise
            finally:
                os.close(descriptor)
        except OSError as error:
            self._report(name, f"{path} cannot be written ({error.strerror}): lines are missing until it can")

    def _write_events(self, step: int, values: Mapping[str, float], extra: Mapping[str, float]) -> None:
        if not self._tensorboard:
            return
        try:
            if self._events is None:
                self._events = Events(self.folder / EVENTS_FOLDER, self._hidden_from)
            tags = {f"loss/{name}": value for name, value in values.items()}
            # names with a slash are used as tags unchanged
            tags |= {name if "/" in name else f"run/{name}": value for name, value in extra.items()}
            self._events.scalars(step, tags)
        except ImportError:
            self._tensorboard = False
            get_logger().info("TensorBoard events are off: pip install tensorboardX to have them")
        except Exception as error:
            self._tensorboard, self._events = False, None
            get_logger().warning(f"TensorBoard events are off from step {step}: {error}")

    def _report(self, name: str, message: str) -> None:
        if name not in self._failed:
            self._failed.add(name)
            get_logger().warning(message)


def _encodable(numbers: Mapping[str, float]) -> dict[str, float | str]:
    # JSON has no NaN and no infinities; every reader keeps them as text.
    return {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}


def _shorten(path: Path, stays: Callable[[bytes], object]) -> tuple[int, bytes]:
    """Cut the lines at the end of a file, back to the last one that ``stays``, which gets a line end if it has none.

    Only the end of the file is read. A missing file is an empty one.

    Returns:
        Number of lines cut, and the last line that is left.

    Raises:
        UserError: a line that no run writes, a link in place of the file, or a failed write.
    """
    lost, last, stop = 0, b"", 0
    try:
        with open(open_unlinked(path, os.O_RDWR), "r+b") as file:
            for start, line in _lines_from_end(file):
                if len(line) > _LONGEST_LINE:
                    raise UserError(
                        f"{path} is damaged (it has a line of more than {_LONGEST_LINE} bytes): move it away"
                    )
                if stays(line):
                    last, stop = line, start + len(line)
                    break
                lost += 1
            file.truncate(stop)
            if last and not last.endswith(b"\n"):
                file.seek(stop)
                file.write(b"\n")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise explain_os_error(error, path) from error
    return lost, last


def _lines_from_end(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield where each line of a file starts, and the line with its end, from the last line to the first.

    Of a line of more than 1 MiB only the end is yielded, so that a damaged file is not read whole.
    """
    start, rest = file.seek(0, os.SEEK_END), b""
    while start:
        size = min(start, _BLOCK)
        start = file.seek(start - size)
        block = file.read(size) + rest
        stop = len(block)
        while (end := block.rfind(b"\n", 0, stop - 1)) >= 0:
            yield start + end + 1, block[end + 1 : stop]
            stop = end + 1
        rest = block[:stop]
        if len(rest) > _LONGEST_LINE or not start:
            yield start, rest
