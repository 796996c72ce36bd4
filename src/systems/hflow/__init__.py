"""hflow (Timonen, Aittala and Lehtinen 2023): an invertible hierarchical generative model of images."""

__all__ = ["HFLOW"]

from pathlib import Path

from ...contracts.description import Description
from ...dataset.owners import IMAGES
from ...options.owner import Owner
from ..shared import INCEPTION, SAMPLING, own

_FOLDER = Path(__file__).parent

HFLOW = Description(
    "hflow",
    (
        *IMAGES,
        SAMPLING,
        INCEPTION,
        *own("hflow", _FOLDER, train="train_options.yaml", eval="eval_options.yaml"),
        Owner("hflow", _FOLDER / "fid_options.yaml", programs=("train", "eval")),
    ),
    __name__,
    "system:HFlowSystem",
    preset="settings:preset_options",
)
