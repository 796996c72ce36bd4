"""The normalised VGG-19 of Hierarchy Flow's losses (encoder of Huang and Belongie 2017), up to relu4_1."""

__all__ = ["LAYERS", "SMALLEST", "NormalisedVgg", "load_normalised_vgg", "require_normalised_vgg"]

from pathlib import Path

import numpy as np
from mindspore import Tensor, nn

from ...utils.errors import UserError
from ...utils.weights import read_weights
from ..layers import ReflectionPad, conv
from ..parameters import load_arrays

# (index, in, out) of each convolution in the published 53-layer sequence; a pool follows indices 5, 12 and 25
LAYERS = (
    (0, 3, 3),
    (2, 3, 64),
    (5, 64, 64),
    (9, 64, 128),
    (12, 128, 128),
    (16, 128, 256),
    (19, 256, 256),
    (22, 256, 256),
    (25, 256, 256),
    (29, 256, 512),
)
#: height and width below which a map becomes too small to be mirrored at its border
SMALLEST = 9
_POOL_AFTER = (5, 12, 25)
_TAPS = (2, 9, 16, 29)
_BGR_MEAN = np.array([-103.939, -116.779, -123.68], np.float32)


class NormalisedVgg(nn.Cell):
    """RGB (N, 3, H, W) in [0, 1] to relu1_1, 2_1, 3_1 and 4_1: (N, 64, H, W) ... (N, 512, H/8, W/8).

    The first, 1x1, convolution turns the image into BGR with the channel means removed, so nothing else normalises it.
    Every 3x3 convolution pads by reflection, and odd sizes are halved upwards; H and W are at least :data:`SMALLEST`.
    The weights are never trained.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pad = ReflectionPad(1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2, 2, pad_mode="same")
        self.convs = nn.CellList([conv(a, b, 1 if i == 0 else 3) for i, a, b in LAYERS])
        self.pool_after = [i in _POOL_AFTER for i, _, _ in LAYERS]
        self.is_tap = [i in _TAPS for i, _, _ in LAYERS]
        for parameter in self.get_parameters():
            parameter.requires_grad = False

    def construct(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        responses = self.responses(image)
        taps = ()
        for i in range(len(responses)):
            if self.is_tap[i + 1]:
                taps = taps + (responses[i],)
        return taps

    def responses(self, image: Tensor) -> tuple[Tensor, ...]:
        """What each convolution but the first answers after its ReLU, in order."""
        x = self.convs[0](image)
        responses = ()
        for i in range(1, len(self.pool_after)):
            x = self.relu(self.convs[i](self.pad(x)))
            responses = responses + (x,)
            if self.pool_after[i]:
                x = self.pool(x)
        return responses


_WAY_OUT = (
    "Hierarchy Flow's losses need vgg_normalised.pth, the encoder published with AdaIN in PyTorch: pass "
    "--vgg_pre_trained FILE, or --vgg_pre_trained random:1 for random features, which need no file"
)


def require_normalised_vgg(path: str) -> None:
    """Raise ``UserError`` unless the file of weights exists or ``path`` is ``random:SEED``."""
    if path.startswith("random:"):
        if not path.removeprefix("random:").isdigit():
            raise UserError(f"vgg_pre_trained {path}: what follows random: is a whole number, such as random:1")
    elif not Path(path).is_file():
        raise UserError(f"the VGG weights {path} do not exist. {_WAY_OUT}")


def load_normalised_vgg(path: str) -> NormalisedVgg:
    """Build the encoder from a file of the published weights (``.pth`` or ``.safetensors``), or from ``random:SEED``.

    Random weights need no download. Their features compare colours, contrasts and textures, but not objects.

    Raises:
        UserError: no such file, or weights of another network; the message says where the right ones come from.
    """
    require_normalised_vgg(path)
    vgg = NormalisedVgg()
    if path.startswith("random:"):
        arrays = _random_weights(int(path.removeprefix("random:")))
    else:
        arrays = read_weights(path)
    ours = {f"{i}.{kind}": f"convs.{n}.{kind}" for n, (i, _, _) in enumerate(LAYERS) for kind in ("weight", "bias")}
    try:
        load_arrays(vgg, {ours[k]: np.asarray(v, np.float32) for k, v in arrays.items() if k in ours}, source=path)
    except UserError as error:
        raise UserError(f"{path} is not the normalised VGG-19: {error}\n{_WAY_OUT}") from None
    first = vgg.convs[0].bias.asnumpy()
    if not path.startswith("random:") and np.abs(first - _BGR_MEAN).max() > 0.5:
        raise UserError(
            f"{path} is not the normalised VGG-19: its first layer should subtract the channel means "
            f"{-_BGR_MEAN}, but adds {first}.\n{_WAY_OUT}"
        )
    return vgg


def _random_weights(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.RandomState(seed)
    arrays = {}
    for i, inputs, outputs in LAYERS:
        shape = (outputs, inputs, 1, 1) if i == 0 else (outputs, inputs, 3, 3)
        arrays[f"{i}.weight"] = rng.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))
        arrays[f"{i}.bias"] = rng.standard_normal(outputs) * 0.01
    return arrays
