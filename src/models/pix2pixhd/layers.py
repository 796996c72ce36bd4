"""The three layers that pix2pixHD's two families of weights were trained with, chosen here and nowhere else."""

__all__ = ["LAYERS", "PREDECESSOR", "PUBLISHED", "Layers"]

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from mindspore import nn

from ..layers import AvgPool, ReflectionPad, SameAvgPool, ZeroPad, deconv


class Layers(NamedTuple):
    """The padding before 7x7 and residual convolutions, the upsampling layer, and the pooling of images."""

    pad: Callable[[int], nn.Cell]
    deconv: Callable[..., nn.Cell]
    pool: Callable[[], nn.Cell]


#: Wang et al. 2018
PUBLISHED = Layers(ReflectionPad, deconv, AvgPool)
#: the MindSpore predecessor, with zeros and with MindSpore's ``pad_mode='same'``
PREDECESSOR = Layers(ZeroPad, partial(deconv, padding=(0, 1, 0, 1)), SameAvgPool)
#: by the value of option ``layers``
LAYERS = {"published": PUBLISHED, "predecessor": PREDECESSOR}
