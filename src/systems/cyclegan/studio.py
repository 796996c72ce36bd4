"""CycleGAN in the editor: an image and a direction."""

__all__ = ["CycleGANStudio"]

from typing import Any

import numpy as np
from PIL import Image

from ...dataset.folders import list_images
from ...editing.documents import Document, picture_source
from ...editing.studio import Studio, fit_width, pictures
from ...imaging.images import to_rgb
from ...options.config import Config
from .calls import CycleGANModel


class CycleGANStudio(Studio):
    """Images of both domains, as far as there are generators for them, in one list."""

    model: CycleGANModel

    def __init__(self, model: CycleGANModel, config: Config):
        fitted = fit_width(config, 0) if config.view_width else model.at_evaluation_size
        folders = [model.folders(way[0], config.phase) for way in model.directions]
        found = [
            next(((folder, files) for folder in domain if folder.is_dir() and (files := list_images(folder))), None)
            for domain in folders
        ]
        both = [domain for domain in found if domain]
        if len(both) > 1 and not config.pictures:
            where = " and ".join(str(folder) for folder, _ in both)
            source = picture_source([file for _, files in both for file in files], fitted, where)
        else:
            source = pictures([folder for domain in folders for folder in domain], config, fitted)
        super().__init__(model, source)

    def controls(self) -> list[dict[str, Any]]:
        words = {"A2B": "A to B", "B2A": "B to A"}
        options = [[way, words[way]] for way in self.model.directions]
        return [{"type": "choice", "id": "direction", "label": "Direction", "options": options}]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        direction = str(settings.get("direction", self.model.directions[0]))
        return to_rgb(self.model.translate(Image.fromarray(document.array("rgb")), direction, output="numpy"))
