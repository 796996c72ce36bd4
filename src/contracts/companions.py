"""Files and networks that belong to a run beside what it trains."""

__all__ = ["Companions"]

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..options.config import Config


class Companions:
    """What a system takes over from another run or keeps beside its weights; by default nothing.

    ``system`` is one of the kind that they belong to.
    """

    def complete(
        self, config: Config, resumed: Mapping[str, Any] | None, pretrained: Mapping[str, Any] | None
    ) -> Config:
        """Fill in options that follow from the run that is resumed or the one whose networks are taken over."""
        return config

    def adopt(self, system: Any, networks: Mapping[str, Mapping[str, np.ndarray]], config: Mapping[str, Any]) -> None:
        """Add networks that are not trained here but belong to the result, from a checkpoint that has them."""

    def files(self, config: Config) -> tuple[str, ...]:
        """Names of files in the folder of a pretrained run that evaluation of this one needs, too."""
        return ()

    def load(self, system: Any, folder: Path) -> None:
        """Read the companion files of a trained run, where they are there."""
