"""Intervals in hours, for tasks that are too slow to run every so many samples."""

__all__ = ["HourClock"]

import time
from collections.abc import Callable


class HourClock:
    """``due()`` is true once for every ``hours`` since the start or since it was last true; 0 is never."""

    def __init__(self, hours: float, now: Callable[[], float] = time.monotonic):
        self.seconds = 3600.0 * hours
        self._now = now
        self._last = now()

    def due(self) -> bool:
        """Whether the interval is over; if so the next one begins."""
        if self.seconds <= 0 or self._now() - self._last < self.seconds:
            return False
        self._last = self._now()
        return True
