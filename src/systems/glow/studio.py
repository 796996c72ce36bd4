"""Conditional flows in the editor: temperature and seed of every level, and levels that are kept from a real image."""

__all__ = ["FlowStudio"]

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...editing.documents import Document, digit_source
from ...editing.levels import levels_control
from ...editing.studio import Studio, maps, pictures
from ...imaging.images import to_rgb
from ...options.config import Config
from .calls import ConditionalFlowModel


class FlowStudio(Studio):
    model: ConditionalFlowModel

    def __init__(self, model: ConditionalFlowModel, config: Config):
        root, phase, (height, width) = Path(config.data_root), config.phase, model.size
        if model.prepare.planes:
            source = digit_source(model.label_nc, (width, height))
        elif model.label_nc:
            source = maps(config, model.label_nc, lambda w, h: (width, height))
        else:
            val = "val" if phase == "test" else phase
            folders = [root / f"{phase}_img", root / f"{phase}_A", root / "leftImg8bit" / val, root / val]
            source = pictures(folders, config, lambda image: to_rgb(model.prepare.stored("condition", image)))
        super().__init__(model, source)

    @property
    def label_nc(self) -> int:
        return self.model.label_nc

    @property
    def uses_photos(self) -> bool:
        return self.source.kind == "labels"

    @property
    def _temperatures(self) -> list[float]:
        return [float(self.model.config.temp)] * len(self.model.latent_shapes)

    def controls(self) -> list[dict[str, Any]]:
        names = [f"{h}x{w}" for _, h, w in self.model.latent_shapes]
        return [levels_control(names, self._temperatures, keep=self.source.kind == "labels")]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        if document.label is None:
            condition = Image.fromarray(document.array("rgb"))
        else:
            condition = document.label.astype(np.int32)
        more: dict[str, Any] = {"output": "numpy"}
        if self.model.system.network.use_bmaps:
            more["instances"] = document.array("inst").astype(np.int32)
        levels = settings["levels"]
        temperatures, seeds = ([level[key] for level in levels] for key in ("temperature", "seed"))
        redrawn = [i for i, level in enumerate(levels) if not level["keep"]]
        if len(redrawn) < len(levels) and document.photo is not None:
            photo = Image.fromarray(document.photo)
            image = self.model.resample(photo, condition, redrawn, temperatures, seeds, **more)
        else:
            image = self.model.sample(condition, temperatures, seeds, **more)
        return to_rgb(image)
