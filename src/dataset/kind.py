"""A kind of data: its request, and how it is opened, examined and imitated by an example batch."""

__all__ = ["DataKind"]

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..options.config import Config
from ..options.owner import Owner
from ..utils.errors import UserError
from ..utils.progress import write_line
from .pipeline import Pipeline
from .reader import OptionError, Reader
from .report import Report


@dataclass(frozen=True)
class DataKind:
    """A kind of data set.

    Attributes:
        name: name in messages and records.
        owners: owners whose options the functions below may read, besides those of every run.
        request: a frozen dataclass: stride, channels and columns that the data must deliver.
        opens: ``(request, options, phase, rank, world, training)`` to a pipeline; ``options`` are those of ``owners``.
        examines: ``(request, options, phase)`` to a report on faults that would stop training.
        counts: ``(request, options, phase)`` to the number of training samples, going by names of files alone.
        training_size: ``(request, options)`` to the height and width that training is compiled for, as far as the
            options say.
        example: ``(request, batch_size, size, training)`` to a batch of zeros as the data delivers it.
        reads: ``(request, options, phase)`` to a reader of training samples, where their size depends on the files.
        whole: options with which evaluation reads all of the data set, whatever part of it the options name.
    """

    name: str
    owners: tuple[Owner, ...]
    request: type
    opens: Callable[[Any, Config, str, int, int, bool], Pipeline]
    examines: Callable[[Any, Config, str], Report]
    counts: Callable[[Any, Config, str], int]
    training_size: Callable[[Any, Config], tuple[int, int]]
    example: Callable[[Any, int, tuple[int, int], bool], dict[str, np.ndarray]]
    reads: Callable[[Any, Config, str], Reader] | None = None
    whole: Mapping[str, Any] = field(default_factory=dict)

    def open(
        self,
        request: Any,
        config: Config,
        phase: str,
        rank: int = 0,
        world: int = 1,
        training: bool | None = None,
    ) -> Pipeline:
        """Open the data that ``config`` names.

        Args:
            request: the data that the system needs.
            config: all options of the run.
            phase: part of the data set.
            rank, world: this process among those that share the data.
            training: records, crops, flips, equal batches on every rank; or every sample once, in order, whole, as its
                file is. None means training where ``phase`` is ``train``.

        Raises:
            UserError: any error that a user can correct, before the first batch.
        """
        trains = phase == "train" if training is None else training
        return self.opens(request, config.part(*self.owners), phase, rank, world, trains)

    def count(self, request: Any, config: Config, phase: str) -> int:
        """Number of training samples by the names of files; ``UserError`` where folders or partners are missing."""
        return self.counts(request, config.part(*self.owners), phase)

    def first_size(self, request: Any, config: Config, phase: str) -> tuple[int, int] | None:
        """Height and width of training samples; None where the first one cannot be read: opening finds all of these.

        Raises:
            OptionError: options that do not fit its files.
        """
        options = config.part(*self.owners)
        if self.reads is None:
            return self.training_size(request, options)
        try:
            reader = self.reads(request, options, phase)
            return reader.final_size(reader.load(0))
        except OptionError:
            raise
        except UserError:
            return None

    def examine(self, request: Any, config: Config, phase: str) -> Report:
        """Report on faults that would stop training on ``phase``."""
        return self.examines(request, config.part(*self.owners), phase)

    def report(self, request: Any, config: Config) -> int:
        """Print the faults that would stop training on ``config.phase``; 1 if there are problems, else 0."""
        report = self.examine(request, config, config.phase)
        write_line(f"data set {config.data_root}, phase {config.phase}\n{report.text()}", sys.stdout)
        return 1 if report.problems else 0
