"""CycleGAN and Hierarchy Flow in the editor: a picture, a direction, a style picture."""

__all__ = ["DirectionStudio", "LookStudio"]

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from src.dataset.crops import Cropper
from src.dataset.folders import list_images
from src.editing.documents import Document, picture_source
from src.editing.studio import Studio, as_colour, fit_width, number, phase_of, pictures
from src.inference.unpaired import CycleGANModel, HierarchyFlowModel
from src.utils.config import Config


def _domain(config: Config, domain: str, phase: str) -> list[Path]:
    option = {"A": "source_root", "B": "target_root"}[domain]
    own = getattr(config, option).replace("{phase}", phase)
    root = Path(config.data_root)
    return [*([Path(own)] if own else []), *(root / f"{p}{s}{domain}" for p in (phase, "train") for s in ("", "_"))]


def _fit_unpaired(config: Config, options: dict[str, str]) -> Callable[[np.ndarray], np.ndarray]:
    """The size that evaluation gives to pictures."""
    if options.get("width"):
        return fit_width(options, 0)
    if config.eval_size == "original":
        return lambda image: image
    size = config.width or config.fine_size, config.height or config.fine_size
    cropper = Cropper(config.resize_or_crop, config.load_size, *size, config.scale_l, config.scale_h, 1)
    return lambda image: cropper.whole({"A": image})["A"]


class DirectionStudio(Studio):
    model: CycleGANModel

    def __init__(self, model: CycleGANModel, options: dict[str, str]):
        config, phase = model.config, phase_of(options)
        folders = [
            f for d in ("A", "B") if f"{d}2{'BA'[d == 'B']}" in model.directions for f in _domain(config, d, phase)
        ]
        fitted = _fit_unpaired(config, options)
        found = [f for f in folders if f.is_dir()] if not options.get("pictures") else []
        source = pictures(found or folders, options, fitted)
        if len(found) > 1 and {found[0].name[-1], found[-1].name[-1]} == {"A", "B"}:
            other = next(f for f in found if f.name[-1] != found[0].name[-1])
            files = list_images(found[0]) + list_images(other)
            source = picture_source(files, fitted, f"{found[0]} and {other}")
        super().__init__(model, source)

    def controls(self) -> list[dict[str, Any]]:
        words = {"A2B": "A to B", "B2A": "B to A"}
        return [
            {
                "type": "choice",
                "id": "direction",
                "label": "Direction",
                "options": [[way, words[way]] for way in self.model.directions],
            }
        ]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        direction = str(settings.get("direction", self.model.directions[0]))
        return as_colour(self.model.translate(Image.fromarray(document.rgb), direction, output="numpy"))


class LookStudio(Studio):
    model: HierarchyFlowModel

    def __init__(self, model: HierarchyFlowModel, options: dict[str, str]):
        config, phase = model.config, phase_of(options)
        fitted = _fit_unpaired(config, options)
        super().__init__(model, pictures(_domain(config, "A", phase), options, fitted))
        styles = {"pictures": options.get("styles", "")}
        self.looks = pictures(_domain(config, "B", phase), styles, fitted)

    def controls(self) -> list[dict[str, Any]]:
        return [{"type": "look", "id": "look", "label": "Style picture", "names": self.looks.names}]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        look = self.looks.open(int(number(settings, "look", 0, 0, len(self.looks.names) - 1)))
        return self.model.translate(document.rgb, look.rgb)
