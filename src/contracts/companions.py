"""Files and networks of a run besides those that it trains."""

__all__ = ["Companions"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..options.config import Config


class Companions:
    """Files and networks that a system adopts from another run or keeps beside its weights; by default none.

    ``system`` is the system that they belong to.
    """

    def complete(
        self, config: Config, resumed: Mapping[str, Any] | None, pretrained: Mapping[str, Any] | None
    ) -> Config:
        """Set options that follow from the resumed run or from the run whose networks are loaded."""
        return config

    def adopt(self, system: Any, networks: Mapping[str, Mapping[str, np.ndarray]], config: Mapping[str, Any]) -> None:
        """Add networks that are not trained here but belong to the result, from a checkpoint that holds them."""

    def files(self, config: Config) -> tuple[str, ...]:
        """Names of files in a pretrained run's folder that the evaluation of this run needs too."""
        return ()

    def load(self, system: Any, folder: Path) -> None:
        """Read the companion files of a trained run, if they exist."""
