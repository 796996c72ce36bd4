"""Hierarchy Flow from Python: images in the style of other images."""

__all__ = ["HierarchyFlowModel"]

from typing import Any

from ...inference.arrays import as_units, check_output, match_length
from ...inference.model import in_batches
from ..shared.unpaired import UnpairedModel


class HierarchyFlowModel(UnpairedModel):
    """Hierarchy Flow: ``translate`` a content image into the style of another image."""

    offers = ("translate",)

    def translate(self, images: Any, style: Any, batch_size: int = 1, output: str | None = None) -> Any:
        """Translate images into the style of other images.

        Args:
            images: the contents, (H, W, 3), of any size (up to ``pad_size`` the border is repeated and cut back).
            style: one image for all, or one for each; its size may differ from the content's.
            batch_size, output: see :class:`Model`.

        Raises:
            UserError: styles are neither one nor as many as contents.
        """
        check_output(output)
        units, form = as_units(images, 3)
        styles = match_length(as_units(style, 3, "style")[0], len(units), "styles")
        samples = [{"A": unit, "B": taken} for unit, taken in zip(units, styles, strict=True)]
        return form.pictures(in_batches(samples, batch_size, lambda batch: self.run(batch)["output"]), output)
