"""Flows in the editor: temperature and seed of every level, and levels that are kept from a real picture."""

__all__ = ["FlowStudio", "LatentStudio"]

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from src.dataset.imagefolder import image_rows, to_square
from src.dataset.layouts import LAYOUTS
from src.dataset.transforms import resize_photo
from src.editing.documents import Document, digit_source, picture_source
from src.editing.studio import Studio, as_colour, maps, number, phase_of, pictures, seed_of
from src.inference.conditional import ConditionalFlowModel
from src.inference.images import ImageFlowModel
from src.utils.errors import UserError


def _level_settings(settings: dict[str, Any], defaults: list[float]) -> list[tuple[float, int, bool]]:
    """(temperature, seed, kept from the photo) of every level."""
    levels, count = settings.get("levels", []), len(defaults)
    if not isinstance(levels, list) or len(levels) not in (0, count) or not all(isinstance(v, dict) for v in levels):
        raise UserError(f"settings name {len(levels) if isinstance(levels, list) else levels!r} levels of {count}")
    return [
        (float(number(v, "temperature", default, 0, 10)), seed_of(v), v.get("keep") is True)
        for v, default in zip(levels or [{}] * count, defaults, strict=True)
    ]


class FlowStudio(Studio):
    model: ConditionalFlowModel

    def __init__(self, model: ConditionalFlowModel, options: dict[str, str]):
        config = model.config
        root, phase = Path(config.data_root), phase_of(options)
        height, width = model.size
        if LAYOUTS[config.dataset].planes:
            source = digit_source(model.label_nc, (width, height))
        elif model.label_nc:
            source = maps(config, options, model.label_nc, lambda w, h: (width, height))
        else:
            val = "val" if phase == "test" else phase
            folders = [root / f"{phase}_img", root / f"{phase}_A", root / "leftImg8bit" / val, root / val]
            source = pictures(folders, options, lambda image: resize_photo(image, (width, height)))
        super().__init__(model, source)

    @property
    def label_nc(self) -> int:
        return self.model.label_nc

    @property
    def uses_photos(self) -> bool:
        return self.source.kind == "labels"

    def controls(self) -> list[dict[str, Any]]:
        return [
            {
                "type": "levels",
                "names": [f"{h}x{w}" for _, h, w in self.model.latent_shapes],
                "temperatures": [float(self.model.config.temp)] * len(self.model.latent_shapes),
                "keep": self.source.kind == "labels",
            }
        ]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        condition = Image.fromarray(document.rgb) if document.label is None else document.label.astype(np.int32)
        more: dict[str, Any] = {"output": "numpy"}
        if self.model.system.network.use_bmaps:
            more["instances"] = document.inst.astype(np.int32)
        levels = _level_settings(settings, [self.model.config.temp] * len(self.model.latent_shapes))
        temperatures, seeds, kept = (list(column) for column in zip(*levels, strict=True))
        if any(kept) and document.photo is not None:
            redrawn = [i for i, keep in enumerate(kept) if not keep]
            picture = self.model.resample(
                Image.fromarray(document.photo), condition, redrawn, temperatures, seeds, **more
            )
        else:
            picture = self.model.sample(condition, temperatures, seeds, **more)
        return as_colour(picture)


class LatentStudio(Studio):
    model: ImageFlowModel

    def __init__(self, model: ImageFlowModel, options: dict[str, str]):
        config, size = model.config, model.resolution
        where = options.get("pictures") or config.data_root
        held_out = 0 if options.get("pictures") else config.held_out
        try:
            files = [row.files["image"] for row in image_rows(where, phase_of(options), held_out)]
        except UserError as error:
            raise UserError(f"{error}; or pass --pictures FOLDER") from None
        super().__init__(
            model, picture_source(files, lambda image: to_square(image, size, config.image_fit), str(where))
        )

    @property
    def _deviations(self) -> list[float]:
        """As published: the base deviation for spatial levels, 1 for the top."""
        base = float(self.model.config.sample_base_sigma)
        return [base if h * w > 1 else 1.0 for _, h, w in self.model.latent_shapes]

    def controls(self) -> list[dict[str, Any]]:
        spatial = sum(h * w > 1 for _, h, w in self.model.latent_shapes)
        names = [
            f"{h}x{w}" if i < spatial else f"top {i - spatial + 1}"
            for i, (_, h, w) in enumerate(self.model.latent_shapes)
        ]
        return [
            {
                "type": "levels",
                "names": names,
                "temperatures": self._deviations,
                "keep": True,
                "kept": True,
            }
        ]

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        shapes = self.model.latent_shapes
        levels = _level_settings(settings, self._deviations)
        runner = self.model.system.runner
        latents = []
        encoded = self.model.encode(document.rgb) if any(keep for *_, keep in levels) else [None] * len(shapes)
        for i, ((temperature, seed, keep), own) in enumerate(zip(levels, encoded, strict=True)):
            latents.append(own if keep else runner.draw(1, [temperature] * len(shapes), seed)[i])
        return self.model.decode(latents)[0]
