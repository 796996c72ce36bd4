"""What a run writes down: console lines, ``log.jsonl``, ``loss_log.txt`` and TensorBoard events."""

__all__ = ["RunLog", "get_logger", "read_log"]

import json
import logging
import math
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.progress import write_line

LOG_NAME = "log.jsonl"
TEXT_NAME = "loss_log.txt"
EVENTS_FOLDER = "events"

_TEXT_LINE = re.compile(rb"\(epoch: (\d+), iters: (\d+),")
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class _ConsoleHandler(logging.Handler):
    """Writes above the progress bar, to the standard streams of the moment (notebooks swap them)."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            write_line(self.format(record), sys.stderr if record.levelno >= logging.WARNING else sys.stdout)
        except Exception:
            self.handleError(record)


class _ConsoleFormatter(logging.Formatter):
    def __init__(self, rank: int):
        super().__init__("%(message)s")
        self._prefix = f"[rank {rank}] " if rank else ""

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return self._prefix + level + super().format(record)


def get_logger(rank: int | None = None) -> logging.Logger:
    """Return the logger of the project: plain lines on the console.

    Args:
        rank: rank of this process. Rank 0 shows information (standard output) and warnings (standard
            error), the others show warnings only, marked with their rank. None leaves the logger as it was
            set up, for rank 0 at first.
    """
    logger = logging.getLogger("mindi2i")
    if not logger.handlers:
        logger.addHandler(_ConsoleHandler())
        logger.propagate = False
        rank = rank or 0
    if rank is not None:
        logger.handlers[0].setFormatter(_ConsoleFormatter(rank))
        logger.setLevel(logging.WARNING if rank else logging.INFO)
    return logger


def read_log(path: str | os.PathLike) -> list[dict]:
    """Read a ``log.jsonl``.

    Returns:
        One dict a line: ``step``, ``epoch``, ``iteration``, ``at`` (seconds since 1970), ``values`` and
        ``extra`` (name to float). A half-written last line, which a killed run leaves, is left out; other
        unreadable lines are left out with a warning.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        lines = Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    records, bad = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        record = _parse(line)
        if record is not None:
            records.append(record)
        elif number < len(lines):
            bad.append(number)
    if bad:
        get_logger().warning(f"{path}: {len(bad)} unreadable lines left out, the first is line {bad[0]}")
    return records


class RunLog:
    """The written record of a run; every rank may own one, only rank 0 touches the disk.

    Args:
        folder: the run folder; it is made when it is missing.
        rank: rank of this process.
        tensorboard: also write TensorBoard events to ``events/``, if tensorboardX is installed.

    Raises:
        UserError: the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike, rank: int = 0, tensorboard: bool = True):
        self.folder = Path(folder)
        self._writes = rank == 0
        self._tensorboard = tensorboard and self._writes
        self._events = None
        self._hidden_from: int | None = None
        self._failed: set[str] = set()
        if not self._writes:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _mend_tail(self.folder / LOG_NAME)
            with open(self.folder / TEXT_NAME, "a", encoding="utf-8") as file:
                file.write(f"================ Training Loss ({time.strftime('%c')}) ================\n")
        except OSError as error:
            raise UserError(
                f"{self.folder} cannot be written ({error.strerror}): pass another --checkpoints_dir"
            ) from error

    def scalars(
        self,
        step: int,
        epoch: int,
        iteration: int,
        values: Mapping[str, float],
        extra: Mapping[str, float] | None = None,
    ) -> str:
        """Record the numbers of one step.

        A disk that refuses (full, say) is reported once and does not end the run; half lines are taken back.

        Args:
            step: optimizer steps since the start of the run.
            epoch: epoch, from 1.
            iteration: position in the epoch, from 1.
            values: loss terms by name.
            extra: anything else: ``time`` (seconds a sample, shown in the text line), ``learning_rate``,
                ``samples_per_second``, ``memory_gib``, ...

        Returns:
            The line for the console, in the format of pix2pixHD's ``loss_log.txt``.
        """
        values = {name: float(value) for name, value in values.items()}
        extra = {name: float(value) for name, value in (extra or {}).items()}
        line = f"(epoch: {epoch}, iters: {iteration}, time: {extra.get('time', 0.0):.3f}) "
        line += " ".join(f"{name}: {value:.3f}" for name, value in values.items())
        if self._writes:
            record = {
                "step": int(step),
                "epoch": int(epoch),
                "iteration": int(iteration),
                "at": round(time.time(), 3),
            }
            record["values"], record["extra"] = _encodable(values), _encodable(extra)
            self._append(LOG_NAME, json.dumps(record, ensure_ascii=False, allow_nan=False))
            self._append(TEXT_NAME, line)
            self._write_events(step, values, extra)
        return line

    def truncate_after(self, step: int) -> int:
        """Take back what was recorded after ``step``, which a resumed run will record again.

        Returns:
            Number of records taken back.

        Raises:
            UserError: the shortened files cannot be written; then they stay as they were.
        """
        if not self._writes:
            return 0
        self._hidden_from = step + 1
        path = self.folder / LOG_NAME
        if not path.exists():
            return 0
        kept, last, cut = [], (-1, -1), 0
        for line in path.read_bytes().split(b"\n"):
            record = _parse(line)
            if record is None:
                continue
            if record["step"] > step:
                cut += 1
                continue
            kept.append(line)
            last = max(last, (record["epoch"], record["iteration"]))
        if cut:
            atomic_write(path, b"".join(line + b"\n" for line in kept))
            self._cut_text(last)
        return cut

    def close(self) -> None:
        """Close the TensorBoard events; the other files are complete after every line."""
        if self._events is not None:
            self._events.close()
            self._events = None
        self._tensorboard = False

    def _append(self, name: str, line: str) -> None:
        path = self.folder / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                size = os.fstat(descriptor).st_size
                data = (line + "\n").encode("utf-8", "replace")
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

    def _cut_text(self, last: tuple[int, int]) -> None:
        path = self.folder / TEXT_NAME
        kept = []
        for line in path.read_bytes().split(b"\n"):
            found = _TEXT_LINE.match(line)
            if line and (found is None or (int(found[1]), int(found[2])) <= last):
                kept.append(line)
        atomic_write(path, b"".join(line + b"\n" for line in kept))

    def _write_events(self, step: int, values: Mapping[str, float], extra: Mapping[str, float]) -> None:
        if not self._tensorboard:
            return
        try:
            if self._events is None:
                self._events = _Events(self.folder / EVENTS_FOLDER, self._hidden_from)
            tags = {f"loss/{name}": value for name, value in values.items()}
            # names with a slash are tags of their own
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


class _Events:
    """TensorBoard events, written at once.

    The writer that tensorboardX recommends hands events to a thread through a bounded queue: when its disk is
    full the thread ends, the queue fills and training waits for ever. The synchronous one raises instead.
    """

    def __init__(self, folder: Path, hidden_from: int | None):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        self._event, self._scalar = Event, scalar
        folder.mkdir(parents=True, exist_ok=True)
        # Files are named after the second of their opening: the process id keeps a restart from reusing one.
        self._writer = EventsWriter(str(folder / "events"), f".{os.getpid()}")
        if hidden_from is not None:
            start = SessionLog(status=SessionLog.START)
            self._writer.write_event(Event(wall_time=time.time(), step=hidden_from, session_log=start))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        now = time.time()
        for tag, value in values.items():
            self._writer.write_event(self._event(wall_time=now, step=step, summary=self._scalar(tag, value)))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def _encodable(numbers: Mapping[str, float]) -> dict[str, float | str]:
    # JSON has no NaN and no infinities; as text they survive every reader.
    return {name: value if math.isfinite(value) else str(value) for name, value in numbers.items()}


def _parse(line: bytes) -> dict | None:
    try:
        record = json.loads(line)
        for name in ("step", "epoch", "iteration"):
            record[name] = int(record[name])
        for part in ("values", "extra"):
            record[part] = {k: float(_NOT_FINITE.get(v, v)) for k, v in record.get(part, {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return record


def _mend_tail(path: Path) -> None:
    """Cut the half line that a killed run leaves, so that the next record does not continue it."""
    if not path.exists():
        return
    data = path.read_bytes()
    if not data or data.endswith(b"\n"):
        return
    head, _, tail = data.rpartition(b"\n")
    if _parse(tail) is not None:
        with open(path, "ab") as file:
            file.write(b"\n")
    else:
        os.truncate(path, len(head) + 1 if head else 0)
