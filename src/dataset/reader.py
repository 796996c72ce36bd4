"""The contract of the readers of all kinds of data: rows of files become arrays, and arrays become samples."""

__all__ = ["MOST_PROBLEMS", "OptionError", "Reader", "describe_problems", "inspect_rows"]

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..utils.errors import UserError
from ..utils.progress import track
from ..utils.text import counted
from .folders import Row

MOST_PROBLEMS = 20


class OptionError(UserError):
    """An option that does not fit the files at all: reading more of them would only repeat the message."""


class Reader(ABC):
    """Reads one kind of data set. Records store what :meth:`load` returns; a batch stacks :meth:`sample`'s.

    Attributes:
        kind: name in records and messages.
        phase: prefix of the folders.
        rows: the samples, in the order of their ids.
        stored: names of the arrays :meth:`load` returns.
        columns: names of the arrays :meth:`sample` returns.
        settings: every option (JSON values) that changes what :meth:`load` returns or accepts.
    """

    kind: str
    phase: str
    rows: Sequence[Row]
    stored: tuple[str, ...]
    columns: tuple[str, ...]
    settings: dict[str, object]

    @abstractmethod
    def load(self, index: int) -> dict[str, np.ndarray]:
        """Read and resize the files of one row: uint8 or uint16 arrays, ``(H, W)`` or ``(H, W, 1|3|4)``.

        Deterministic. Raises ``UserError`` naming the file if it cannot be used for training, and ``OptionError`` if
        the options are the reason.
        """

    @abstractmethod
    def final_size(self, arrays: dict[str, np.ndarray]) -> tuple[int, int]:
        """Height and width that :meth:`sample` makes of these arrays."""

    @abstractmethod
    def sample(self, arrays: dict[str, np.ndarray], rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """Turn loaded arrays into network inputs, ``(C, H, W)`` each.

        ``rng`` draws the augmentation of this sample in this epoch; None means no augmentation (evaluation).
        """

    def inspect(self, index: int) -> None:
        """Raise ``UserError`` if a row cannot be used; the default reads it."""
        self.load(index)


def describe_problems(problems: Sequence[str], more: bool = False) -> str:
    """One message for several unusable files; ``more`` tells that the search stopped early."""
    if len(problems) == 1 and not more:
        return problems[0]
    title = f"{counted(len(problems), 'problem')} with the data" + (" (the search stopped there)" if more else "")
    return "\n  - ".join([f"{title}; --check_data True shows a full report:", *problems])


def inspect_rows(reader: Reader, indices: Sequence[int], threads: int, show: bool = True) -> None:
    """Check rows in ``threads`` threads before anything is computed from them; ``show`` shows the progress.

    Raises ``UserError`` with the problems of up to 20 rows.
    """
    problems: list[str] = []

    def look(index: int) -> str:
        try:
            reader.inspect(index)
        except UserError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = pool.map(look, indices)
        for problem in track(found, "checking files", total=len(indices), unit="samples", enabled=show):
            if problem:
                problems.append(problem)
    if problems:
        raise UserError(describe_problems(problems[:MOST_PROBLEMS], more=len(problems) > MOST_PROBLEMS))
