"""Progress bars: tqdm's, with plain lines where the output is not a terminal, and the speed without the first step."""

__all__ = ["Progress", "compiling", "track", "write_line"]

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

from .text import readable

Item = TypeVar("Item")

FIRST_LINE_AFTER = 5.0
"""Seconds until the first plain line: early enough to see progress."""
REMIND_AFTER = 15.0
"""Seconds between two lines that say that the first step still compiles."""


class _PlainLines:
    """Stream that prints every state of a bar as a line: no carriage returns, nothing erased."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> None:
        # as in _say_first
        if text.strip():
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text.strip() + "\n")
                self._stream.flush()


class Progress(tqdm):
    """A tqdm bar, to be used as a context manager.

    In a terminal it is drawn on ``stream``. Anywhere else (a file, a pipe, CI, ``TERM=dumb``) each state of it becomes
    a plain line, without control characters, at most every ``interval`` seconds, and one at the end. The first step,
    which compiles and fills caches, counts as done but not for the speed and the time left; neither do ``initial``
    steps of an earlier process.

    Args:
        total: number of steps to do, or None where it is not known.
        description: name of the work, shown first.
        initial: steps of an earlier process (a resumed run).
        unit: the counted noun, in the plural (``images``).
        enabled: False shows nothing (every rank but the first).
        stream: output stream; standard error by default.
        interval: seconds between plain lines.
        first: extra work of the first step (see :func:`compiling`): one line announces it, others say every
            :data:`REMIND_AFTER` seconds that it goes on, and one gives its duration.
    """

    # tqdm's monitor thread only serves bars with adaptive refresh; these bars refresh by time, and threads harm forks
    monitor_interval = 0

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
        first: str = "",
    ):
        self._stream = sys.stderr if stream is None else stream
        draws, columns = _is_terminal(self._stream), _columns(self._stream)
        self._interval = 0.1 if draws else interval
        self._first, self._began, self._is_steady = first, time.monotonic(), threading.Event()
        super().__init__(
            total=total,
            desc=readable(description, self._stream.encoding),
            initial=initial,
            unit=unit,
            disable=not enabled,
            file=self._stream if draws else _PlainLines(self._stream),
            # some terminals say they are 0 columns wide, which for tqdm means the numbers without the bar
            dynamic_ncols=draws and columns > 0,
            ncols=80 if draws else 0,
            mininterval=min(self._interval, FIRST_LINE_AFTER),
            miniters=1,
            smoothing=0.1,
            # a bar that was never shown has no last line: short loops are silent in a file
            delay=0.0 if draws else 0.001,
        )
        if enabled and first:
            self._say_first("...")
            threading.Thread(target=self._remind, daemon=True).start()

    def update(self, count: int = 1, **numbers: float) -> None:
        """Count ``count`` more steps as done and show ``numbers`` (the latest losses, say) beside them."""
        if self.disable:
            return
        if numbers:
            self.set_postfix(numbers, refresh=False)
        if self._is_steady.is_set():
            if super().update(count):
                self.mininterval = self._interval
            return
        self._is_steady.set()
        self.n += count
        self.initial = self.last_print_n = self.n
        self.unpause()
        if self._first:
            self._say_first(f"took {time.monotonic() - self._began:.1f} s with the first of the {self.unit}")

    def close(self) -> None:
        """End the bar, and what is said of the first step."""
        # tqdm closes bars that were never built, too
        if hasattr(self, "_is_steady"):
            self._is_steady.set()
        super().close()

    def describe(self, description: str) -> None:
        """Change the description, for instance when the next epoch starts."""
        self.set_description(readable(description, self._stream.encoding), refresh=False)

    def _remind(self) -> None:
        while not self._is_steady.wait(REMIND_AFTER):
            self._say_first(f"for {time.monotonic() - self._began:.0f} s so far ...")

    def _say_first(self, text: str) -> None:
        # a closed or full log must not stop the work
        with contextlib.suppress(OSError, ValueError):
            write_line(f"{self._first} {text}", self._stream)


def compiling(mode: str, networks: Iterable[str]) -> str:
    """What the first step does besides: in graph mode, compile ``networks``; nothing in PyNative mode."""
    return f"compiling {', '.join(networks)}" if mode == "graph" else ""


def track(
    iterable: Iterable[Item], description: str = "", *, total: int | None = None, **options: Any
) -> Iterator[Item]:
    """Yield the items of ``iterable`` and show the progress; ``options`` are those of :class:`Progress`."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Progress(total, description, **options) as progress:
        for item in iterable:
            yield item
            progress.update()


def write_line(text: str, stream: TextIO | None = None) -> None:
    """Write one line to ``stream`` (standard output by default) above any bar that is on the screen."""
    stream = sys.stdout if stream is None else stream
    Progress.write(readable(text, stream.encoding), file=stream)
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
