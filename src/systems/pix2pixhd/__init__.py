"""pix2pixHD (Wang et al. 2018): label maps to images, with a style for each instance."""

__all__ = ["PIX2PIXHD"]

from pathlib import Path

from ...contracts.description import Description
from ...dataset.owners import CHANNELS, LABELS, PAIRED
from ..shared import GAN, PERCEPTUAL, own

PIX2PIXHD = Description(
    "pix2pixHD",
    (
        *PAIRED,
        LABELS,
        CHANNELS,
        *GAN,
        PERCEPTUAL,
        *own(
            "pix2pixHD",
            Path(__file__).parent,
            train="train_options.yaml",
            eval="eval_options.yaml",
            precompute="precompute_options.yaml",
        ),
    ),
    __name__,
    "system:Pix2PixHD",
)
