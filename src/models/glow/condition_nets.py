"""The networks that turn a left activation into parameters of a right op (Full-Glow)."""

__all__ = ["MIN_BLOCK_SIZE", "ConditionNet", "CouplingCondition", "coupling_net"]

import numpy as np
from mindspore import Parameter, Tensor

from ..flows.nets import (
    Chain,
    Conv,
    Dense,
    Flatten,
    Net,
    OutputDense,
    ReLU,
    ZeroConv,
    gaussian,
    zeros,
)

#: two unpadded 3x3 convolutions leave nothing of a smaller activation
MIN_BLOCK_SIZE = 5


class _ConvTrunk(Net):
    def __init__(self, *nets: Net):
        super().__init__()
        self.conv_net = Chain(*nets)

    def weights(self) -> tuple[Parameter, ...]:
        return self.conv_net.weights()

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        return self.conv_net.compute(x, weights, at)


class _LinearHead(Net):
    def __init__(self, *nets: Net):
        super().__init__()
        self.linear_net = Chain(*nets)

    def weights(self) -> tuple[Parameter, ...]:
        return self.linear_net.weights()

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        return self.linear_net.compute(x, weights, at)


class ConditionNet(Net):
    """Parameters of an actnorm or of a 1x1 mixing from an activation (N, C, H, W): (N, ``outputs``).

    Three convolutions down to two channels, two of them unpadded, then four dense layers. There is no pooling: the
    first dense layer has ``2 (H - 4) (W - 4)`` inputs, which ties the weights to one image size. The last layer starts
    with zero weight (:class:`src.models.flows.nets.OutputDense`).
    """

    def __init__(
        self,
        rng: np.random.Generator,
        channels: int,
        size: tuple[int, int],
        outputs: int,
        flagged: bool = False,
    ):
        super().__init__()
        features = 2 * (size[0] - 4) * (size[1] - 4)
        self.conv_net = _ConvTrunk(
            Conv(rng, channels, 8, 1), ReLU(), Conv(rng, 8, 4, 3), ReLU(), Conv(rng, 4, 2, 3), ReLU(), Flatten()
        )
        self.linear_net = _LinearHead(
            Dense(rng, features, 32),
            ReLU(),
            Dense(rng, 32, 64),
            ReLU(),
            Dense(rng, 64, 48),
            ReLU(),
            OutputDense(48, outputs, flagged),
        )
        self.trunk_weights = len(self.conv_net.weights())

    @property
    def last(self) -> OutputDense:
        """The layer whose bias is the start of the op."""
        return self.linear_net.linear_net[6]

    def weights(self) -> tuple[Parameter, ...]:
        return self.conv_net.weights() + self.linear_net.weights()

    def compute(self, x: Tensor, weights: tuple, at: int = 0) -> Tensor:
        features = self.conv_net.compute(x, weights, at)
        return self.linear_net.compute(features, weights, at + self.trunk_weights)


class CouplingCondition(_ConvTrunk):
    """Embeds the left activation for the right coupling: two 3x3 convolutions, result (N, ``out_channels``, H, W)."""

    def __init__(self, rng: np.random.Generator, in_channels: int, out_channels: int):
        super().__init__(Conv(rng, in_channels, 128, 3, 1), ReLU(), Conv(rng, 128, out_channels, 3, 1), ReLU())


def coupling_net(rng: np.random.Generator, in_channels: int, out_channels: int, width: int) -> Chain:
    """Glow's coupling network: 3x3, 1x1 and a zero-initialised 3x3 convolution, ``width`` channels between."""
    return Chain(
        Conv(rng, in_channels, width, 3, 1, weight_init=gaussian(0.05), bias_init=zeros),
        ReLU(),
        Conv(rng, width, width, 1, weight_init=gaussian(0.05), bias_init=zeros),
        ReLU(),
        ZeroConv(rng, width, out_channels),
    )
