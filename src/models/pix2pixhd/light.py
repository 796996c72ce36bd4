"""A light generator for pairs: a U-Net (Ronneberger et al. 2015, section 2) in the place of the global generator.

Its full-size maps are narrow and few, because these decide the time of an image. The idea of a light student of an
unpaired teacher's pairs is that of REGEN (2025), the U-Net that of HyPER-GAN (2026); widths and depth are this
project's.
"""

__all__ = ["LightGenerator"]

from mindspore import Tensor, nn, ops

from ..layers import NarrowConv, conv, norm_layer
from ..recompute import recompute_stages
from .layers import PUBLISHED, Layers
from .networks import ResidualBlock


def _layer(in_channels: int, out_channels: int, norm: str, stride: int = 1) -> nn.SequentialCell:
    """A 3x3 convolution with zeros around, its norm and ReLU."""
    return nn.SequentialCell(
        conv(in_channels, out_channels, 3, stride, 1, norm), norm_layer(norm, out_channels), nn.ReLU()
    )


class Doubled(nn.Cell):
    """Every pixel twice along both axes: (N, C, H, W) to (N, C, 2H, 2W)."""

    def construct(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = ops.broadcast_to(x.reshape(n * c, h, 1, w, 1), (n * c, h, 2, w, 2))
        return x.reshape(n, c, 2 * h, 2 * w)


class LightGenerator(nn.Cell):
    """(N, in, H, W) to (N, out, H, W) in [-1, 1]; H and W must be multiples of ``2 ** n_downsampling``.

    Every halving doubles the channels. On the way back a map is narrowed by a convolution at its own size, doubled by
    repeating pixels, and joined with the map of its new size from the way down by another convolution: no transposed
    convolutions, which leave checkerboards and are slow on CPUs.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ngf: int = 16,
        n_downsampling: int = 4,
        n_blocks: int = 9,
        norm: str = "instance",
        layers: Layers = PUBLISHED,
    ):
        super().__init__()
        widths = [ngf * 2**i for i in range(n_downsampling + 1)]
        self.entry = _layer(in_channels, ngf, norm)
        self.down = nn.CellList([_layer(widths[i], widths[i + 1], norm, 2) for i in range(n_downsampling)])
        self.body = nn.SequentialCell([ResidualBlock(widths[-1], norm, layers) for _ in range(n_blocks)])
        back = range(n_downsampling - 1, -1, -1)
        self.narrow = nn.CellList([_layer(widths[i + 1], widths[i], norm) for i in back])
        self.join = nn.CellList([_layer(2 * widths[i], widths[i], norm) for i in back])
        self.double = Doubled()
        self.exit = nn.SequentialCell(layers.pad(1), NarrowConv(ngf, out_channels, 3), nn.Tanh())

    def recompute_stages(self) -> None:
        """See :func:`src.models.recompute.recompute_stages`."""
        for sequence in (self.entry, *self.down, self.body, *self.narrow, *self.join, self.exit):
            recompute_stages(sequence)

    def construct(self, x: Tensor) -> Tensor:
        y = self.entry(x)
        kept = ()
        for down in self.down:
            kept = (y, *kept)
            y = down(y)
        y = self.body(y)
        for i in range(len(kept)):
            y = self.join[i](ops.concat((self.double(self.narrow[i](y)), kept[i]), 1))
        return self.exit(y)
