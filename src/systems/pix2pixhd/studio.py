"""pix2pixHD in the editor: label maps with instances and their styles, or images."""

__all__ = ["PairedStudio"]

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...dataset.geometry import Geometry
from ...editing.documents import Document
from ...editing.studio import Studio, fit_width, maps, pictures, scaled
from ...imaging.images import to_rgb
from ...options.config import Config
from ...utils.errors import UserError
from .calls import PairedModel


class PairedStudio(Studio):
    model: PairedModel

    def __init__(self, model: PairedModel, config: Config):
        root, phase = Path(config.data_root), config.phase
        if config.label_nc:
            side = config.fine_size
            size = Geometry("paired", config.resize_or_crop, config.load_size, side, side).resized_whole
            source = maps(config, config.label_nc, scaled(config, size), config.allow_8bit_instances)
        else:
            width = config.load_size if config.resize_or_crop.startswith("scale_width") else 0
            source = pictures([root / f"{phase}_A", root / "train_A"], config, fit_width(config, width))
        super().__init__(model, source)

    @property
    def label_nc(self) -> int:
        return self.model.config.label_nc

    @property
    def _per_class(self) -> bool:
        return self.model.config.label_feat

    def about(self) -> dict[str, Any]:
        about = super().about()
        if self.model.has_styles:
            clusters = {} if self.model.clusters is None else self.model.clusters.by_label
            about["styles"] = {
                "per": "class" if self._per_class else "instance",
                "count": self.model.config.feat_num,
                "clusters": {str(label): np.round(rows, 5).tolist() for label, rows in clusters.items()},
            }
        return about

    def open(self, index: int) -> tuple[Document, dict[int, list[float]]]:
        """Styles are those of the photo where there is one; the page chooses the others."""
        document = self.source.open(index)
        styles = {}
        if self.model.has_styles and document.photo is not None and "encode" in self.model.offers:
            inst = None if self.model.config.no_instance else document.inst
            encoded = self.model.encode(Image.fromarray(document.photo), document.array("label"), inst)
            styles = {i: np.round(values.astype(float), 5).tolist() for i, values in encoded.items()}
        return document, styles

    def draw(self, document: Document, settings: dict[str, Any]) -> np.ndarray:
        if document.label is None:
            return to_rgb(self.model.translate(Image.fromarray(document.array("rgb")), output="numpy"))
        inst = None if self.model.config.no_instance else document.inst
        styles = self._styles(document, settings) if self.model.has_styles else None
        return to_rgb(self.model.translate(document.label, inst, styles, output="numpy"))

    def _styles(self, document: Document, settings: dict[str, Any]) -> dict[int, np.ndarray]:
        """A style for every region of the map: zeros, the middle of the encoder's range, where the page has none."""
        given = settings.get("styles", {})
        count = self.model.config.feat_num
        styles = {}
        for region in np.unique(document.array("label" if self._per_class else "inst")).tolist():
            values = given.get(str(region)) if isinstance(given, dict) else None
            if values is None:
                styles[region] = np.zeros(count, np.float32)
                continue
            if not isinstance(values, list) or not all(isinstance(v, (int, float)) for v in values):
                raise UserError(f"the style of {region} is {values!r}: {count} numbers in [-1, 1] are expected")
            # centres of clusters may exceed the range by a rounding error
            styles[region] = np.clip(np.asarray(values, np.float32), -1, 1)
        return styles
