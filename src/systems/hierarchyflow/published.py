"""Hierarchy Flow weights of the published code, whose names this project uses unchanged."""

__all__ = ["HierarchyFlowWeights"]

from ...contracts.published import Arrays, PublishedWeights
from ...contracts.system import System
from ...models.hierarchyflow.networks import GATED
from ...utils.errors import UserError


class HierarchyFlowWeights(PublishedWeights):
    """Weights of slices and channels fit the formula that they were trained with alone."""

    def check(self, system: System, network: str, arrays: Arrays, source: str) -> None:
        """Raise ``UserError`` where the weights of slices belong to the published formula, which is not chosen."""
        if system.config.weight_type in GATED and system.config.reverse == "exact":
            raise UserError(
                f"{source} was trained with the published formula, which its weights of type "
                f"{system.config.weight_type} are part of: pass --reverse public"
            )
