"""Progress with time left: a bar in a terminal, plain lines now and then in a log file or CI."""

__all__ = ["Progress", "track", "write_line"]

import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

FIRST_LINE_AFTER = 5.0
"""Seconds until the first plain line: early enough to see that something moves."""


class _Bar(tqdm):
    # The monitor thread only revives bars with adaptive refresh; ours go by time, and threads hurt forks.
    monitor_interval = 0


class Progress:
    """Shows how far a loop is and how long it will still take. Use it as a context manager.

    In a terminal it draws a bar on ``stream``. Anywhere else (a file, a pipe, CI, ``TERM=dumb``) it writes
    one plain line, without control characters, at most every ``interval`` seconds, and one when it closes.

    Args:
        total: number of steps to do, or None where it is not known.
        description: what is being done, shown first.
        initial: steps that were done before (a resumed run); they do not count for the speed.
        unit: what is counted, in the plural for plain lines (``images``).
        enabled: False shows nothing (every rank but the first).
        stream: where to write; standard error by default.
        interval: seconds between plain lines.
    """

    def __init__(
        self,
        total: int | None,
        description: str = "",
        *,
        initial: int = 0,
        unit: str = "steps",
        enabled: bool = True,
        stream: TextIO | None = None,
        interval: float = 30.0,
    ):
        self.total, self.description, self.unit = total, description, unit
        self.done, self.initial = initial, initial
        self._stream = sys.stderr if stream is None else stream
        self._interval = interval
        self._numbers: dict[str, float] = {}
        self._open = enabled
        self._bar: _Bar | None = None
        self._start = time.monotonic()
        self._last_time, self._last_done = self._start, initial
        self._next_line = self._start + min(interval, FIRST_LINE_AFTER)
        if enabled and _is_terminal(self._stream):
            self._bar = _Bar(
                total=total,
                desc=description or None,
                initial=initial,
                unit=f" {unit}",
                file=self._stream,
                # Some terminals say they are 0 columns wide, and tqdm would draw nothing there.
                dynamic_ncols=_columns(self._stream) > 0,
                ncols=None if _columns(self._stream) > 0 else 80,
                miniters=1,
                smoothing=0.1,
            )

    def update(self, count: int = 1, **numbers: float) -> None:
        """Count ``count`` more steps as done and show ``numbers`` (the latest losses, say) beside them."""
        self.done += count
        self._numbers.update(numbers)
        if self._bar is not None:
            if numbers:
                self._bar.set_postfix_str(_numbers_text(self._numbers), refresh=False)
            self._bar.update(count)
        elif self._open and time.monotonic() >= self._next_line:
            self._write(self._line())

    def describe(self, description: str) -> None:
        """Change what is shown first, for instance when the next epoch starts."""
        self.description = description
        if self._bar is not None:
            self._bar.set_description(description or None, refresh=False)

    def close(self) -> None:
        """Take the bar off, or write the last plain line. Closing twice is allowed."""
        if not self._open:
            return
        self._open = False
        if self._bar is not None:
            self._bar.close()
            self._bar = None
            return
        elapsed = time.monotonic() - self._start
        steps = self.done - self.initial
        parts = [self._count()]
        parts.append(f"{_duration(elapsed)} in all" + (f", {steps / elapsed:.3g} {self.unit}/s" if elapsed > 0 else ""))
        self._write(self._join(parts))

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _count(self) -> str:
        if self.total is None:
            return f"{self.done} {self.unit}"
        percent = 100 * self.done // self.total if self.total else 100
        return f"{self.done}/{self.total} {self.unit} ({percent} %)"

    def _line(self) -> str:
        now = time.monotonic()
        # The speed since the last line: the first steps compile and must not spoil the estimate for hours.
        elapsed, steps = now - self._last_time, self.done - self._last_done
        parts = [self._count()]
        if elapsed > 0 and steps > 0:
            speed = steps / elapsed
            parts.append(f"{speed:.3g} {self.unit}/s")
            if self.total is not None and self.total > self.done:
                parts.append(f"{_duration((self.total - self.done) / speed)} left")
        self._last_time, self._last_done = now, self.done
        self._next_line = now + self._interval
        return self._join(parts)

    def _join(self, parts: list[str]) -> str:
        if self._numbers:
            parts.append(_numbers_text(self._numbers))
        text = ", ".join(parts)
        return f"{self.description}: {text}" if self.description else text

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # A closed or full log must not end the work that it reports on.
            self._open = False


def track(
    iterable: Iterable[Item], description: str = "", *, total: int | None = None, **options: object
) -> Iterator[Item]:
    """Yield the items of ``iterable`` and show the progress; ``options`` are those of :class:`Progress`."""
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    with Progress(total, description, **options) as progress:
        for item in iterable:
            yield item
            progress.update()


def write_line(text: str, stream: TextIO | None = None) -> None:
    """Write one line to ``stream`` (standard output by default) above any bar that is on the screen."""
    stream = sys.stdout if stream is None else stream
    tqdm.write(text, file=stream)
    stream.flush()


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):
        return False


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def _numbers_text(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
