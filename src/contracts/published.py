"""Weights that others published for a system."""

__all__ = ["PublishedWeights"]

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from .system import System

Arrays = dict[str, np.ndarray]


class PublishedWeights:
    """How published files become networks of a system; the defaults fit files whose names are ours."""

    #: names that others give to networks in files called EPOCH_net_NAME, and ours
    networks: ClassVar[Mapping[str, str]] = {}

    def read(self, path: Path) -> Arrays | None:
        """Arrays of a file with a layout of this system's own; None for an ordinary file of arrays."""
        return None

    def names(self, network: str, arrays: Arrays) -> Arrays:
        """The arrays of ``network`` under our names, without those that are no state here."""
        return arrays

    def options(self, network: str, arrays: Arrays) -> dict[str, object]:
        """Options that these weights ask for, as far as their names and shapes tell."""
        return {}

    def check(self, system: "System", network: str, arrays: Arrays, source: str) -> None:
        """Raise ``UserError`` where weights, under the names of their file, cannot fit for a reason beside shapes."""
