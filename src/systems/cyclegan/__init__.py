"""CycleGAN (Zhu et al. 2017): unpaired translation in both directions."""

__all__ = ["CYCLEGAN"]

from pathlib import Path

from ...contracts.description import Description
from ...dataset.owners import CHANNELS, UNPAIRED
from ..shared import GAN, RESIDUAL, own

CYCLEGAN = Description(
    "cyclegan",
    (
        *UNPAIRED,
        CHANNELS,
        *GAN,
        RESIDUAL,
        *own("CycleGAN", Path(__file__).parent, train="train_options.yaml", eval="eval_options.yaml"),
    ),
    __name__,
    "system:CycleGAN",
    also={"cycle_gan": {}},
)
