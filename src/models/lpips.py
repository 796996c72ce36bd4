"""LPIPS v0.1: a distance between images that agrees with human judgement better than pixel differences do.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric". Parameters are named as in
the two published files it is made of: torchvision's backbone (``features.*``) and the linear heads
(``lin0.model.1.weight``, ...).
"""

__all__ = ["LPIPS", "load_lpips"]

from itertools import pairwise
from pathlib import Path

import numpy as np
from mindspore import Tensor, nn, ops

from ..utils.errors import UserError
from ..utils.weights import read_weights
from .layers import conv
from .parameters import load_arrays
from .recompute import Stage
from .vgg import convolution_stack

# of images in [-1, 1]: torchvision's mean and standard deviation, rounded, as published
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPS = 1e-10
_VGG16 = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
#: backbone to the widths of its five maps and the indices behind them in torchvision's ``features``
_TAPS = {
    "alex": ((64, 192, 384, 256, 256), (2, 5, 8, 10, 12)),
    "vgg": ((64, 128, 256, 512, 512), (4, 9, 16, 23, 30)),
}
_FILES = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
_WAY_OUT = (
    "LPIPS needs two files: --lpips_weights alex.pth (or vgg.pth), the linear heads from folder lpips/weights/v0.1 of "
    f"the published code, and --lpips_backbone {_FILES['alex']} (or {_FILES['vgg']}), torchvision's weights"
)


def _alexnet() -> list[nn.Cell]:
    def pool() -> nn.Cell:
        return nn.MaxPool2d(3, 2, pad_mode="valid")

    return [
        *(conv(3, 64, 11, 4, 2), nn.ReLU(), pool()),
        *(conv(64, 192, 5, 1, 2), nn.ReLU(), pool()),
        *(conv(192, 384, 3, 1, 1), nn.ReLU()),
        *(conv(384, 256, 3, 1, 1), nn.ReLU()),
        *(conv(256, 256, 3, 1, 1), nn.ReLU()),
    ]


class _Head(nn.Cell):
    """Weights of the channels of one map; index 0 of the published sequence is a dropout of the training."""

    def __init__(self, channels: int):
        super().__init__()
        weigh = nn.Conv2d(channels, 1, 1, has_bias=False, weight_init="zeros")
        self.model = nn.SequentialCell([nn.Identity(), weigh])

    def construct(self, x: Tensor) -> Tensor:
        return self.model(x)


class LPIPS(nn.Cell):
    """Distances (N,) of two batches of images (N, 3, H, W) in [-1, 1] with sides of at least :attr:`SMALLEST`.

    Args:
        backbone: ``alex`` or ``vgg`` (VGG16).
    """

    SMALLEST = 32

    def __init__(self, backbone: str = "alex"):
        super().__init__()
        widths, taps = _TAPS[backbone]
        cells = _alexnet() if backbone == "alex" else convolution_stack(_VGG16)
        self.features = nn.SequentialCell(cells)
        self.stages = tuple(Stage(cells[a:b]) for a, b in pairwise((0, *taps)))
        self.lin0, self.lin1, self.lin2, self.lin3, self.lin4 = (_Head(width) for width in widths)
        self.shift = Tensor(np.array(_SHIFT, np.float32).reshape(1, 3, 1, 1))
        self.scale = Tensor(np.array(_SCALE, np.float32).reshape(1, 3, 1, 1))
        for parameter in self.get_parameters():
            parameter.requires_grad = False

    def construct(self, a: Tensor, b: Tensor) -> Tensor:
        count = a.shape[0]
        x = (ops.cat((a, b), 0) - self.shift) / self.scale
        heads = (self.lin0, self.lin1, self.lin2, self.lin3, self.lin4)
        total = 0.0
        for i in range(len(heads)):
            x = self.stages[i](x)
            unit = x / (ops.sqrt((x * x).sum(1, keepdims=True)) + _EPS)
            difference = unit[:count] - unit[count:]
            total = total + heads[i](difference * difference).mean((1, 2, 3))
        return total


def _read(path: str, what: str) -> dict[str, np.ndarray]:
    if not path:
        raise UserError(f"no file with {what} was given. {_WAY_OUT}")
    if not Path(path).is_file():
        raise UserError(f"the file {path} with {what} does not exist. {_WAY_OUT}")
    return read_weights(path)


def load_lpips(weights: str, backbone: str) -> LPIPS:
    """Build the network from files of the published heads and of torchvision's backbone.

    The heads decide which backbone it is.

    Raises:
        UserError: a file is missing or of another network; the message says where the right ones come from.
    """
    heads = {k: v for k, v in _read(weights, "LPIPS's linear heads").items() if k.startswith("lin")}
    widths = tuple(heads[f"lin{i}.model.1.weight"].shape[1] for i in range(5) if f"lin{i}.model.1.weight" in heads)
    name = next((name for name, (own, _) in _TAPS.items() if widths == own and len(heads) == 5), None)
    if name is None:
        raise UserError(f"{weights} holds no linear heads of LPIPS v0.1 for AlexNet or VGG16. {_WAY_OUT}")
    body = _read(backbone, f"torchvision's weights ({_FILES[name]})")
    body = {k: np.asarray(v, np.float32) for k, v in body.items() if k.startswith("features.")}
    network = LPIPS(name)
    try:
        load_arrays(network, heads | body, source=f"{weights} with {backbone}")
    except UserError as error:
        raise UserError(f"{weights} is for {_FILES[name]}, which {backbone} is not: {error}\n{_WAY_OUT}") from None
    network.set_train(False)
    return network
