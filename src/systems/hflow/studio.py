"""hflow in the editor: an image's latents, of which every level is kept or drawn anew."""

__all__ = ["LatentStudio"]

from typing import Any

import numpy as np

from ...dataset.imagefolder import image_rows, to_square
from ...editing.documents import Document, picture_source
from ...editing.levels import levels_control
from ...editing.studio import Studio
from ...options.config import Config
from ...utils.errors import UserError
from .calls import ImageFlowModel


class LatentStudio(Studio):
    model: ImageFlowModel

    def __init__(self, model: ImageFlowModel, config: Config):
        size = model.resolution
        where = config.pictures or config.data_root
        held_out = 0 if config.pictures else config.held_out
        try:
            files = [row.files["image"] for row in image_rows(where, config.phase, held_out)]
        except UserError as error:
            raise UserError(f"{error}; or pass --pictures FOLDER") from None
        super().__init__(
            model, picture_source(files, lambda image: to_square(image, size, config.image_fit), str(where))
        )

    @property
    def _temperatures(self) -> list[float]:
        """As published: the base standard deviation for spatial levels, 1 for the top."""
        base = float(self.model.config.sample_base_sigma)
        return [base if h * w > 1 else 1.0 for _, h, w in self.model.latent_shapes]

    def controls(self) -> list[dict[str, Any]]:
        spatial = sum(h * w > 1 for _, h, w in self.model.latent_shapes)
        names = [
            f"{h}x{w}" if i < spatial else f"top {i - spatial + 1}"
            for i, (_, h, w) in enumerate(self.model.latent_shapes)
        ]
        return [levels_control(names, self._temperatures, kept=True)]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        levels, system = settings["levels"], self.model.system
        encoded = self.model.encode(document.array("rgb")) if any(level["keep"] for level in levels) else []
        latents = []
        for i, level in enumerate(levels):
            drawn = system.draw(1, [level["temperature"]] * len(levels), level["seed"])
            latents.append(encoded[i] if level["keep"] else drawn[i])
        return self.model.decode(latents)[0]
