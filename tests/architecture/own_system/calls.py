"""Invert from Python."""

__all__ = ["InvertModel"]

import numpy as np

from ...inference.model import Model


class InvertModel(Model):
    """``translate`` a ramp (H, W)."""

    offers = ("translate",)

    def translate(self, ramp):
        """The negative of a ramp, float32 (H, W)."""
        return self.run({"ramp": np.float32(ramp)[None, None]})["inverted"][0, 0]
