"""The normalised VGG-19 of Hierarchy Flow's losses (encoder of Huang and Belongie 2017), up to relu4_1."""

__all__ = ["LAYERS", "NormalisedVgg"]

from mindspore import Tensor, nn

from src.models.layers import ReflectionPad, conv

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
_POOL_AFTER = (5, 12, 25)
_TAPS = (2, 9, 16, 29)


class NormalisedVgg(nn.Cell):
    """RGB (N, 3, H, W) in [0, 1] to relu1_1, 2_1, 3_1 and 4_1: (N, 64, H, W) ... (N, 512, H/8, W/8).

    The first, 1x1, convolution turns the image into BGR with the channel means removed, so nothing else
    normalises it. Every 3x3 convolution pads by reflection, and odd sizes are halved upwards. The weights are
    never trained.
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
        x = self.convs[0](image)
        taps = ()
        for i in range(1, len(self.pool_after)):
            x = self.relu(self.convs[i](self.pad(x)))
            if self.is_tap[i]:
                taps = taps + (x,)
            if self.pool_after[i]:
                x = self.pool(x)
        return taps
