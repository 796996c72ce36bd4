"""Hierarchy Flow (Fan et al. 2023): an image in the style of another, its content kept."""

__all__ = ["HIERARCHYFLOW"]

from pathlib import Path

from ...contracts.description import Description
from ...dataset.owners import UNPAIRED
from ..shared import PERCEPTUAL, own

HIERARCHYFLOW = Description(
    "hierarchyflow",
    (
        *UNPAIRED,
        PERCEPTUAL,
        *own(
            "Hierarchy Flow",
            Path(__file__).parent,
            train="train_options.yaml",
            eval="eval_options.yaml",
            export="eval_options.yaml",
        ),
    ),
    __name__,
    "system:HierarchyFlowSystem",
    also={"hierarchy_flow": {}},
    preset="settings:preset_options",
)
