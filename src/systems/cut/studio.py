"""CUT in the editor: an image to paint over, and its translation."""

__all__ = ["CUTStudio"]

from typing import Any

import numpy as np

from ...editing.documents import Document
from ...editing.studio import Studio, fit_width, pictures
from ...imaging.images import to_rgb
from ...options.config import Config
from .calls import CUTModel


class CUTStudio(Studio):
    """Images of A."""

    model: CUTModel

    def __init__(self, model: CUTModel, config: Config):
        fitted = fit_width(config, 0) if config.view_width else model.at_evaluation_size
        super().__init__(model, pictures(model.folders("A", config.phase), config, fitted))

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        return to_rgb(self.model.translate(document.array("rgb"), output="numpy"))
