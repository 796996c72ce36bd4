"""CUT (Park et al. 2020): unpaired translation with one generator."""

__all__ = ["CUT"]

from pathlib import Path

from ...contracts.description import Description
from ...dataset.owners import CHANNELS, UNPAIRED
from ..shared import GAN, RESIDUAL, own

CUT = Description(
    "cut",
    (
        *UNPAIRED,
        CHANNELS,
        *GAN,
        RESIDUAL,
        *own("CUT", Path(__file__).parent, train="train_options.yaml", eval="eval_options.yaml"),
    ),
    __name__,
    "system:CUTSystem",
)
