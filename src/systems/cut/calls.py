"""CUT from Python: images of A to images of B."""

__all__ = ["CUTModel"]

from typing import Any

from ...inference.arrays import as_units, check_output
from ...inference.model import in_batches
from ..shared.unpaired import UnpairedModel


class CUTModel(UnpairedModel):
    """CUT: ``translate`` images of A."""

    offers = ("translate",)

    def translate(self, images: Any, batch_size: int = 1, output: str | None = None) -> Any:
        """Translate images of any size (below 8 pixels a side the border is repeated and cut back).

        Args:
            images: images (H, W, input_nc).
            batch_size, output: see :class:`Model`.
        """
        check_output(output)
        units, form = as_units(images, self.config.input_nc)
        samples = [{"A": unit} for unit in units]
        return form.pictures(in_batches(samples, batch_size, lambda batch: self.run(batch)["fake_B"]), output)
