"""Hierarchy Flow weights that the published code trained: their names are ours."""

__all__ = ["HierarchyFlowWeights"]

from typing import TYPE_CHECKING

from ...contracts.published import Arrays, PublishedWeights
from ...models.hierarchyflow.networks import GATED
from ...utils.errors import UserError

if TYPE_CHECKING:
    from .system import HierarchyFlowSystem


class HierarchyFlowWeights(PublishedWeights):
    """Weights of slices and channels fit the formula that they were trained with alone."""

    def check(self, system: "HierarchyFlowSystem", network: str, arrays: Arrays, source: str) -> None:
        """Raise ``UserError`` where the weights of slices belong to the published formula, which is not chosen."""
        if system.config.weight_type in GATED and system.config.reverse == "exact":
            raise UserError(
                f"{source} was trained with the published formula, which its weights of type "
                f"{system.config.weight_type} are part of: pass --reverse public"
            )
