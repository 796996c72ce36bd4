"""Hierarchy Flow in the editor: an image, and another whose style it takes."""

__all__ = ["HierarchyFlowStudio"]

from typing import Any

import numpy as np

from ...editing.documents import Document
from ...editing.studio import Studio, fit_width, number, pictures
from ...options.config import Config
from .calls import HierarchyFlowModel


class HierarchyFlowStudio(Studio):
    """Contents to edit, and styles to choose from."""

    model: HierarchyFlowModel

    def __init__(self, model: HierarchyFlowModel, config: Config):
        fitted = fit_width(config, 0) if config.view_width else model.at_evaluation_size
        super().__init__(model, pictures(model.folders("A", config.phase), config, fitted))
        self.styles = pictures(model.folders("B", config.phase), config.replace(pictures=config.styles), fitted)

    def controls(self) -> list[dict[str, Any]]:
        return [{"type": "look", "id": "look", "label": "Style image", "names": self.styles.names}]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        style = self.styles.open(int(number(settings, "look", 0, 0, len(self.styles.names) - 1)))
        return self.model.translate(document.array("rgb"), style.array("rgb"))
