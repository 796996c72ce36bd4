"""LPIPS v0.1: a distance between images that agrees with human judgement better than pixel differences do.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric". Parameters are named as in
the two published files it is made of: torchvision's backbone (``features.*``) and the linear heads
(``lin0.model.1.weight``, ...). The same normalised maps, averaged, are features that sets of images are compared by.
"""

__all__ = ["LPIPS", "VGG16Features", "load_lpips", "load_vgg16_features"]

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


class _Backbone(nn.Cell):
    """A published network in five stages, each of which ends with a map."""

    SMALLEST = 32

    def __init__(self, backbone: str):
        super().__init__()
        self.widths, taps = _TAPS[backbone]
        cells = _alexnet() if backbone == "alex" else convolution_stack(_VGG16)
        self.features = nn.SequentialCell(cells)
        self.stages = tuple(Stage(cells[a:b]) for a, b in pairwise((0, *taps)))
        self.shift = Tensor(np.array(_SHIFT, np.float32).reshape(1, 3, 1, 1))
        self.scale = Tensor(np.array(_SCALE, np.float32).reshape(1, 3, 1, 1))

    def normalised(self, images: Tensor) -> Tensor:
        """What the first stage takes, of images in [-1, 1]."""
        return (images - self.shift) / self.scale

    def unit(self, x: Tensor) -> Tensor:
        """A map with the channels of every place scaled to length 1."""
        return x / (ops.sqrt((x * x).sum(1, keepdims=True)) + _EPS)


class LPIPS(_Backbone):
    """Distances (N,) of two batches of images (N, 3, H, W) in [-1, 1] with sides of at least :attr:`SMALLEST`.

    Args:
        backbone: ``alex`` or ``vgg`` (VGG16).
    """

    def __init__(self, backbone: str = "alex"):
        super().__init__(backbone)
        self.lin0, self.lin1, self.lin2, self.lin3, self.lin4 = (_Head(width) for width in self.widths)
        for parameter in self.get_parameters():
            parameter.requires_grad = False

    def construct(self, a: Tensor, b: Tensor) -> Tensor:
        count = a.shape[0]
        x = self.normalised(ops.cat((a, b), 0))
        heads = (self.lin0, self.lin1, self.lin2, self.lin3, self.lin4)
        total = 0.0
        for i in range(len(heads)):
            x = self.stages[i](x)
            unit = self.unit(x)
            difference = unit[:count] - unit[count:]
            total = total + heads[i](difference * difference).mean((1, 2, 3))
        return total


class VGG16Features(_Backbone):
    """Images (N, 3, H, W) in [-1, 1] to (N, :attr:`COUNT`): means over the places of LPIPS's five maps of VGG16.

    Each place's channels are scaled to a mean square of 1, so that neither the size of a layer's activations nor its
    number of channels decides how much it counts.
    """

    COUNT = sum(_TAPS["vgg"][0])

    def __init__(self) -> None:
        super().__init__("vgg")
        for parameter in self.get_parameters():
            parameter.requires_grad = False

    def construct(self, images: Tensor) -> Tensor:
        x = self.normalised(images)
        means = ()
        for i in range(len(self.stages)):
            x = self.stages[i](x)
            means = means + (self.unit(x).mean((2, 3)) * self.widths[i] ** 0.5,)
        return ops.cat(means, 1)


def _read(path: str, what: str, way_out: str = _WAY_OUT) -> dict[str, np.ndarray]:
    if not path:
        raise UserError(f"no file with {what} was given. {way_out}")
    if not Path(path).is_file():
        raise UserError(f"the file {path} with {what} does not exist. {way_out}")
    return read_weights(path)


def _features(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(array, np.float32) for name, array in arrays.items() if name.startswith("features.")}


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
    body = _features(_read(backbone, f"torchvision's weights ({_FILES[name]})"))
    network = LPIPS(name)
    try:
        load_arrays(network, heads | body, source=f"{weights} with {backbone}")
    except UserError as error:
        raise UserError(f"{weights} is for {_FILES[name]}, which {backbone} is not: {error}\n{_WAY_OUT}") from None
    network.set_train(False)
    return network


def load_vgg16_features(path: str) -> VGG16Features:
    """Build the network from a file of VGG16 in torchvision's form.

    Raises:
        UserError: the file is missing or of another network.
    """
    way_out = f"Pass --vgg16_net_path {_FILES['vgg']}, torchvision's weights, or what data/convert_hed_encoder.py makes"
    body = _features(_read(path, "VGG16's weights", way_out))
    network = VGG16Features()
    try:
        load_arrays(network, body, source=path)
    except UserError as error:
        raise UserError(f"{path} holds no VGG16: {error}\n{way_out}") from None
    network.set_train(False)
    return network
