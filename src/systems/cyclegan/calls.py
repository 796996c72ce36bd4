"""CycleGAN from Python: images of one domain to images of the other."""

__all__ = ["CycleGANModel"]

from typing import Any, ClassVar

import numpy as np

from ...inference.arrays import as_units, check_output
from ...inference.model import Batch, in_batches
from ...utils.errors import UserError
from ..shared.unpaired import UnpairedModel

_FLAT = 1e-5


class CycleGANModel(UnpairedModel):
    """CycleGAN: ``translate`` in the directions whose generators the checkpoint holds."""

    offers = ("translate",)
    #: each direction's generator, source, and name in the options
    _ways: ClassVar[dict[str, tuple[str, str, str]]] = {"A2B": ("G_AB", "A", "AtoB"), "B2A": ("G_BA", "B", "BtoA")}

    @property
    def directions(self) -> tuple[str, ...]:
        """``A2B`` and ``B2A``, as far as the checkpoint holds the generators."""
        return tuple(way for way, (network, *_) in self._ways.items() if network in self.system.networks)

    def run(self, batch: Batch, seed: int = 0, direction: str = "", **how: Any) -> Batch:
        """As :meth:`UnpairedModel.run`, in ``direction``: AtoB, BtoA or both; by default that of the options."""
        return super().run(batch, seed, direction=direction or self.config.direction, **how)

    def translate(self, images: Any, direction: str = "", batch_size: int = 1, output: str | None = None) -> Any:
        """Translate images of any size (below 8 pixels a side the border is repeated and cut back).

        Args:
            images: images (H, W, input_nc).
            direction: ``A2B`` or ``B2A``; by default the first that the checkpoint has.
            batch_size, output: see :class:`Model`.

        Raises:
            UserError: the checkpoint lacks the generator of this direction.
        """
        check_output(output)
        direction = {way: name for name, (*_, way) in self._ways.items()}.get(direction, direction)
        direction = direction or self.directions[0]
        if direction not in self.directions:
            raise UserError(f"direction {direction} is not one of {', '.join(self.directions)} of this checkpoint")
        _, column, way = self._ways[direction]
        units, form = as_units(images, self.config.input_nc)
        samples = [{column: unit} for unit in units]
        made = in_batches(samples, batch_size, lambda batch: next(iter(self.run(batch, direction=way).values())))
        return form.pictures(made, output)

    def _shown(self, outputs: Batch) -> Batch:
        """With ``display minmax``, every image stretched so that its darkest value is -1 and its brightest 1."""
        if self.config.display == "linear":
            return outputs
        shown = {}
        for name, images in outputs.items():
            low, high = (f(images, axis=(1, 2, 3), keepdims=True) for f in (np.min, np.max))
            shown[name] = (images - low) / np.maximum(high - low, _FLAT) * 2 - 1
        return shown
