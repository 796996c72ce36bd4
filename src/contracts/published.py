"""Published weights of a system."""

__all__ = ["PublishedWeights"]

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from .system import System

Arrays = dict[str, np.ndarray]


class PublishedWeights:
    """Conversion of published files to networks of a system; the defaults fit files with this project's names."""

    #: published names of networks in files called EPOCH_net_NAME, to this project's names
    networks: ClassVar[Mapping[str, str]] = {}

    def read(self, path: Path) -> Arrays | None:
        """Arrays of a file with a layout of this system's own; None for an ordinary file of arrays."""
        return None

    def names(self, network: str, arrays: Arrays) -> Arrays:
        """The arrays of ``network`` under this project's names, without those that are not state here."""
        return arrays

    def options(self, network: str, arrays: Arrays) -> dict[str, object]:
        """Options that these weights need, as far as names and shapes determine them."""
        return {}

    def check(self, system: "System", network: str, arrays: Arrays, source: str) -> None:
        """Raise ``UserError`` if weights, under the names of their file, cannot fit for a reason other than shapes."""
