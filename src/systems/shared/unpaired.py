"""Shared code of trained systems of unpaired data: the size of evaluation, and the folders of their images."""

__all__ = ["UnpairedModel"]

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...dataset.geometry import Geometry
from ...dataset.unpaired import geometry_of
from ...inference.arrays import fitted
from ...inference.model import Batch, Model


class UnpairedModel(Model):
    """A model that can translate at the size of its training and resize results to the size of their images."""

    def run(self, batch: Batch, seed: int = 0, **how: Any) -> Batch:
        """As :meth:`Model.run`; with ``eval_size restored`` the system sees images as training scales them."""
        if self.config.eval_size != "restored":
            return self._shown(super().run(batch, seed, **how))
        scaled = {name: self._scaled(array) if array.ndim == 4 else array for name, array in batch.items()}
        outputs = self._shown(super().run(scaled, seed, **how))
        return {name: _resized(array, *self._source_size(batch, name)) for name, array in outputs.items()}

    def at_evaluation_size(self, image: np.ndarray) -> np.ndarray:
        """An image (H, W, C), uint8, at the size at which evaluation reads it."""
        return self._whole(image) if self.config.eval_size == "training" else image

    def folders(self, domain: str, phase: str) -> list[Path]:
        """Possible folders of the images of ``domain`` (A or B): one of the options, and those of the data set."""
        own = self.config[{"A": "source_root", "B": "target_root"}[domain]].replace("{phase}", phase)
        root = Path(self.config.data_root)
        return [*([Path(own)] if own else []), *(root / f"{p}{s}{domain}" for p in (phase, "train") for s in ("", "_"))]

    def _shown(self, outputs: Batch) -> Batch:
        """Translations (N, C, H, W) for display, at the size at which they were made."""
        return outputs

    @cached_property
    def _geometry(self) -> Geometry:
        return geometry_of(self.system.request(self.config, training=False), self.config)

    def _scaled(self, images: np.ndarray) -> np.ndarray:
        width, height = self._geometry.resized_whole(*images.shape[:1:-1])
        return np.stack([fitted(unit, (height, width), self._whole) for unit in images])

    def _whole(self, image: np.ndarray) -> np.ndarray:
        return self._geometry.whole({"image": image})["image"]


def _resized(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Images (N, C, H, W) stretched to ``height`` x ``width``, bilinearly."""
    if images.shape[2:] == (height, width):
        return images
    channels = images.reshape(-1, *images.shape[2:])
    resized = [Image.fromarray(c).resize((width, height), Image.Resampling.BILINEAR) for c in channels]
    return np.stack([np.asarray(c) for c in resized]).reshape(*images.shape[:2], height, width)
