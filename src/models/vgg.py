"""VGG19 up to conv5_1 as a fixed perceptual distance (Simonyan and Zisserman 2014; Johnson et al. 2016)."""

__all__ = ["VGG19", "VGGLoss", "convolution_stack", "load_vgg", "require_vgg"]

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn, ops

from ..utils.errors import UserError
from .layers import MaxPool, PooledConv, conv
from .losses import l1_loss
from .parameters import load_arrays, named_parameters
from .published_vgg import read_vgg19
from .recompute import Stage

# torchvision's vgg19().features: widths, "M" halves; conv5_1 is the last that is used
_PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512)
# indices behind relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1
_TAPS = (2, 7, 12, 21, 30)


def convolution_stack(plan: Sequence[int | str]) -> list[nn.Cell]:
    """Cells of a VGG's ``features`` in torchvision's order: 3x3 convolutions of these widths with ReLU, "M" halves."""
    cells, channels = [], 3
    for width in plan:
        if isinstance(width, str):
            cells.append(MaxPool())
        else:
            cells += [conv(channels, width, 3, 1, 1), nn.ReLU()]
            channels = width
    return cells


class VGG19(nn.SequentialCell):
    """(N, 3, H, W) to the five relu maps 1_1, 2_1, 3_1, 4_1, 5_1; parameters are named as torchvision's features.

    No map in front of a pool is asked for, and none is made: the pool comes before the bias and ReLU of its
    convolution, which is the same function.
    """

    def __init__(self) -> None:
        cells = convolution_stack(_PLAN)
        for i, cell in enumerate(cells):
            if isinstance(cell, MaxPool):
                before = cells[i - 2]
                cells[i - 2], cells[i] = PooledConv(before.in_channels, before.out_channels, 3, 1), nn.Identity()
        super().__init__(cells)
        for parameter in self.get_parameters():
            parameter.requires_grad = False
        self.stages = tuple(Stage(cells[a:b]) for a, b in pairwise((0, *_TAPS)))

    def recompute_stages(self) -> None:
        """Keep the maps alone and compute what is between them again in the backward pass."""
        for stage in self.stages:
            stage.recompute()

    def construct(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = ()
        for stage in self.stages:
            x = stage(x)
            maps = maps + (x,)
        return maps


class VGGLoss(nn.Cell):
    """Weighted L1 distance of VGG19 maps, 1/32, 1/16, 1/8, 1/4 and 1 from fine to coarse (pix2pixHD, section 3.2).

    Images are in [-1, 1] and go in as they are, without ImageNet's mean and standard deviation, as published. One
    channel is repeated to three; of four the first three are compared.
    """

    WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    def __init__(self, vgg: VGG19):
        super().__init__()
        self.vgg = vgg

    def features(self, image: Tensor) -> tuple[Tensor, ...]:
        if image.shape[1] == 1:
            image = ops.concat((image, image, image), 1)
        return self.vgg(image[:, :3])

    def construct(self, fake: Tensor, real_maps: tuple[Tensor, ...]) -> Tensor:
        fake_maps = self.features(fake)
        total = 0.0
        for i in range(len(self.WEIGHTS)):
            total = total + self.WEIGHTS[i] * l1_loss(fake_maps[i], real_maps[i])
        return total


def require_vgg(path: str, way_out: str) -> None:
    """Raise ``UserError`` unless there is a file of weights."""
    if not Path(path).is_file():
        raise UserError(f"the VGG19 weights {path} do not exist. {way_out}")


def load_vgg(path: str, way_out: str = "Download torchvision's vgg19-dcbb9e9d.pth and name that file") -> VGG19:
    """Build VGG19 from a file of published weights: torchvision's, or the model zoo's, whose biases are zero.

    ``way_out`` tells the user what to do if the file is missing or of another network.

    Raises:
        UserError: no such file, or not VGG19; the message says where the weights come from.
    """
    if not Path(path).is_file():
        raise UserError(f"the VGG19 weights {path} do not exist. {way_out}")
    vgg = VGG19()
    wanted = named_parameters(vgg)
    arrays = {name: np.asarray(array, np.float32) for name, array in read_vgg19(path).items() if name in wanted}
    try:
        load_arrays(vgg, arrays, source=path)
    except UserError as error:
        raise UserError(f"{path} holds no VGG19 of torchvision: {error}\n{way_out}") from None
    return vgg
