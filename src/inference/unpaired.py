"""CycleGAN and Hierarchy Flow from Python: pictures of one kind to pictures of another."""

__all__ = ["CycleGANModel", "HierarchyFlowModel"]

from typing import Any, ClassVar

from src.evaluation.translate import translate_any_size
from src.inference.model import Model, in_batches
from src.inference.pictures import as_units, check_output, match_length
from src.utils.errors import UserError


class CycleGANModel(Model):
    """CycleGAN: ``translate`` in the directions whose generators the checkpoint holds."""

    offers = ("translate",)
    _ways: ClassVar[dict[str, tuple[str, str]]] = {"A2B": ("G_AB", "A"), "B2A": ("G_BA", "B")}
    _names: ClassVar[dict[str, str]] = {"AtoB": "A2B", "BtoA": "B2A"}

    @property
    def directions(self) -> tuple[str, ...]:
        """``A2B`` and ``B2A``, as far as the checkpoint holds the generators."""
        return tuple(way for way, (network, _) in self._ways.items() if network in self.system.networks)

    def translate(self, images: Any, direction: str = "", batch_size: int = 1, output: str | None = None) -> Any:
        """Translate pictures of any size (below the stride of 4 the border is repeated and cut back).

        Args:
            images: pictures (H, W, input_nc).
            direction: ``A2B`` or ``B2A``; by default the first that the checkpoint has.
            batch_size, output: see :class:`Model`.

        Raises:
            UserError: the checkpoint lacks the generator of this direction.
        """
        check_output(output)
        direction = self._names.get(direction, direction) or self.directions[0]
        if direction not in self.directions:
            raise UserError(f"direction {direction} is not one of {', '.join(self.directions)} of this checkpoint")
        column = self._ways[direction][1]
        units, form = as_units(images, self.config.input_nc)
        # the system makes the directions of its configuration: both, as far as columns are there
        system = self.system
        system.config = system.config.replace(direction="both")
        samples = [{column: unit} for unit in units]
        return form.pictures(
            in_batches(samples, batch_size, lambda batch: next(iter(translate_any_size(system, batch).values()))),
            output,
        )


class HierarchyFlowModel(Model):
    """Hierarchy Flow: ``translate`` a content picture into the look of a style picture."""

    offers = ("translate",)

    def translate(self, images: Any, style: Any, batch_size: int = 1, output: str | None = None) -> Any:
        """Give pictures the look of others.

        Args:
            images: the contents, (H, W, 3), any size above ``pad_size``.
            style: one picture for all, or one for each; its size may differ from the content's.
            batch_size, output: see :class:`Model`.

        Raises:
            UserError: a picture is too small, or styles are neither one nor as many as contents.
        """
        check_output(output)
        units, form = as_units(images, 3)
        styles = match_length(as_units(style, 3, "style")[0], len(units), "styles")
        samples = [{"A": unit, "B": look} for unit, look in zip(units, styles, strict=True)]
        made = in_batches(
            samples, batch_size, lambda batch: next(iter(translate_any_size(self.system, batch).values()))
        )
        return form.pictures(made, output)
