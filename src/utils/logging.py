"""Console output: plain lines, printed above a visible progress bar."""

__all__ = ["get_logger"]

import logging
import sys

from .progress import write_line


class _ConsoleHandler(logging.Handler):
    """Writes to the current standard streams, which notebooks and tests replace."""

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
        rank: rank of this process. Rank 0 shows information (standard output) and warnings (standard error), the others
            show warnings only, marked with their rank. None leaves the logger as it was set up, for rank 0 at first.
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
