"""pix2pixHD's generators and encoder (Wang et al. 2018, section 3.1 and 3.3): Cells without losses.

The indices inside every ``model`` equal those of the published PyTorch modules, so a parameter has its published name.
Convolutions in front of an instance norm have a bias in files alone: see :func:`src.models.layers.cancel_bias`.
"""

__all__ = ["Encoder", "GlobalGenerator", "LocalEnhancer", "ResidualBlock"]

from mindspore import Tensor, nn

from ..layers import NarrowConv, conv, norm_layer
from ..recompute import recompute_stages
from .layers import PUBLISHED, Layers


class ResidualBlock(nn.Cell):
    """x + f(x) with two padded 3x3 convolutions; no activation after the sum."""

    def __init__(self, channels: int, norm: str, layers: Layers = PUBLISHED):
        super().__init__()
        self.conv_block = nn.SequentialCell(
            layers.pad(1),
            conv(channels, channels, 3, norm=norm),
            norm_layer(norm, channels),
            nn.ReLU(),
            layers.pad(1),
            conv(channels, channels, 3, norm=norm),
            norm_layer(norm, channels),
        )

    def construct(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def _entry(in_channels: int, out_channels: int, norm: str, layers: Layers) -> list[nn.Cell]:
    return [layers.pad(3), conv(in_channels, out_channels, 7, norm=norm), norm_layer(norm, out_channels), nn.ReLU()]


def _down(channels: int, norm: str) -> list[nn.Cell]:
    return [conv(channels, 2 * channels, 3, 2, 1, norm), norm_layer(norm, 2 * channels), nn.ReLU()]


def _up(channels: int, norm: str, layers: Layers) -> list[nn.Cell]:
    return [layers.deconv(channels, channels // 2, norm=norm), norm_layer(norm, channels // 2), nn.ReLU()]


def _exit(channels: int, out_channels: int, layers: Layers) -> list[nn.Cell]:
    return [layers.pad(3), NarrowConv(channels, out_channels, 7), nn.Tanh()]


class GlobalGenerator(nn.Cell):
    """G1: (N, in, H, W) to (N, out, H, W) in [-1, 1]; H and W must be multiples of ``2 ** n_downsampling``.

    With ``features_only`` the last three layers are left out and the result is the (N, ngf, H, W) map that a
    :class:`LocalEnhancer` builds on.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ngf: int = 64,
        n_downsampling: int = 4,
        n_blocks: int = 9,
        norm: str = "instance",
        features_only: bool = False,
        layers: Layers = PUBLISHED,
    ):
        super().__init__()
        cells = _entry(in_channels, ngf, norm, layers)
        for i in range(n_downsampling):
            cells += _down(ngf * 2**i, norm)
        cells += [ResidualBlock(ngf * 2**n_downsampling, norm, layers) for _ in range(n_blocks)]
        for i in range(n_downsampling, 0, -1):
            cells += _up(ngf * 2**i, norm, layers)
        if not features_only:
            cells += _exit(ngf, out_channels, layers)
        self.model = nn.SequentialCell(cells)

    def recompute_stages(self) -> None:
        """See :func:`src.models.recompute.recompute_stages`."""
        recompute_stages(self.model)

    def construct(self, x: Tensor) -> Tensor:
        return self.model(x)


class LocalEnhancer(nn.Cell):
    """G2: any number of enhancers around a global generator at 1/2**n of the resolution.

    (N, in, H, W) to (N, out, H, W) in [-1, 1]; H and W must be multiples of ``2 ** (n_downsample_global +
    n_local_enhancers)``. Every input channel is average pooled for the coarser levels, one-hot labels included.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        ngf: int = 32,
        n_downsample_global: int = 4,
        n_blocks_global: int = 9,
        n_local_enhancers: int = 1,
        n_blocks_local: int = 3,
        norm: str = "instance",
        layers: Layers = PUBLISHED,
    ):
        super().__init__()
        self.n_local_enhancers = n_local_enhancers
        coarse = GlobalGenerator(
            in_channels,
            out_channels,
            ngf * 2**n_local_enhancers,
            n_downsample_global,
            n_blocks_global,
            norm,
            features_only=True,
            layers=layers,
        )
        # the published name of the inner generator is ``model``, without a level of its own
        self.model = coarse.model
        for n in range(1, n_local_enhancers + 1):
            channels = ngf * 2 ** (n_local_enhancers - n)
            front = _entry(in_channels, channels, norm, layers) + _down(channels, norm)
            back = [ResidualBlock(2 * channels, norm, layers) for _ in range(n_blocks_local)]
            back += _up(2 * channels, norm, layers)
            if n == n_local_enhancers:
                back += _exit(channels, out_channels, layers)
            setattr(self, f"model{n}_1", nn.SequentialCell(front))
            setattr(self, f"model{n}_2", nn.SequentialCell(back))
        self._fronts = [getattr(self, f"model{n}_1") for n in range(1, n_local_enhancers + 1)]
        self._backs = [getattr(self, f"model{n}_2") for n in range(1, n_local_enhancers + 1)]
        self.downsample = layers.pool()

    def recompute_stages(self) -> None:
        """See :func:`src.models.recompute.recompute_stages`."""
        for sequence in (self.model, *self._fronts, *self._backs):
            recompute_stages(sequence)

    def construct(self, x: Tensor) -> Tensor:
        pyramid = [x]
        for _ in range(self.n_local_enhancers):
            pyramid.append(self.downsample(pyramid[-1]))
        y = self.model(pyramid[-1])
        for n in range(self.n_local_enhancers):
            y = self._backs[n](self._fronts[n](pyramid[self.n_local_enhancers - 1 - n]) + y)
        return y


class Encoder(nn.Cell):
    """E: (N, in, H, W) image to a (N, feat_num, H, W) feature map in [-1, 1], before instance-wise pooling."""

    def __init__(
        self,
        in_channels: int,
        feat_num: int = 3,
        nef: int = 16,
        n_downsampling: int = 4,
        norm: str = "instance",
        layers: Layers = PUBLISHED,
    ):
        super().__init__()
        cells = _entry(in_channels, nef, norm, layers)
        for i in range(n_downsampling):
            cells += _down(nef * 2**i, norm)
        for i in range(n_downsampling, 0, -1):
            cells += _up(nef * 2**i, norm, layers)
        self.model = nn.SequentialCell(cells + _exit(nef, feat_num, layers))

    def recompute_stages(self) -> None:
        """See :func:`src.models.recompute.recompute_stages`."""
        recompute_stages(self.model)

    def construct(self, image: Tensor) -> Tensor:
        return self.model(image)
