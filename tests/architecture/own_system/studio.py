"""The editor of Invert: one grey document."""

__all__ = ["GreyStudio"]

import numpy as np

from ...editing.documents import Document, Source
from ...editing.studio import Studio


class GreyStudio(Studio):
    def __init__(self, model, config):
        grey = np.full((8, 8, 3), 128, np.uint8)
        super().__init__(model, Source("pictures", ["grey"], lambda index: Document("grey", rgb=grey)))

    def draw(self, document, settings):
        ramp = document.rgb[:, :, 0].astype(np.float32) / 127.5 - 1
        inverted = np.uint8(np.clip((self.model.translate(ramp) + 1) * 127.5, 0, 255))
        return np.repeat(inverted[:, :, None], 3, 2)
