"""Encoders that halve the resolution, and the decoders that turn a level into the conditions of the next finer one.

The two halves of a component share a Cell because they share a name in published checkpoints. Layers called ``conv_e*``
belong to the encoders, ``conv_d*`` to the decoders: their learning rates differ.
"""

__all__ = ["Component", "EncoderDecoder", "TopAutoencoder"]

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from .architecture import HFlowOptions
from .layers import EqualConv, EqualLinear, UnbiasedInstanceNorm, merge, nearest_double
from .resample import Resample, encoder_resample, up_matrix
from .unet import UNet


class Component(nn.Cell):
    """One halving. ``encode`` and ``decode`` are its two uses; ``construct`` is ``encode``.

    The encoder has up to two heads: ``latent`` channels, instance normalised, are the level's y; ``passes_on`` is the
    unnormalised input of the next encoder.
    """

    def __init__(
        self,
        size: int,
        in_channels: int,
        width: int,
        kernel: int,
        lr: float,
        latent: int,
        passes_on: bool,
        filtered: bool,
    ):
        super().__init__()
        half = size // 2
        self.normalised = half > 1
        self.has_latent = latent > 0
        self.passes_on = passes_on
        kernel = kernel if size >= 4 else 1
        self.conv_e1 = EqualConv(in_channels, width, kernel, lr)
        self.conv_e2 = EqualConv(width, width, kernel, lr)
        self.shrink = encoder_resample(size, filtered)
        if latent:
            self.conv_e3 = EqualConv(width, latent, 1, lr, activation="linear")
        if passes_on:
            self.conv_e3_b = EqualConv(width, width, 1, lr, activation="linear")
        if self.normalised:
            self.norm_1 = UnbiasedInstanceNorm(width, half)
            self.norm_2 = UnbiasedInstanceNorm(width, half)
            if latent:
                self.norm_3 = UnbiasedInstanceNorm(latent, half)

    def construct(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return self.encode(x)

    def encode(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """(N, in_channels, size, size) to (y, h) at half the size; a head that does not exist gives None."""
        x = self.shrink(self.conv_e1(x))
        if self.normalised:
            x = self.norm_1(x)
        x = self.conv_e2(x)
        if self.normalised:
            x = self.norm_2(x)
        latent, onward = None, None
        if self.passes_on:
            onward = self.conv_e3_b(x)
        if self.has_latent:
            latent = self.conv_e3(x)
            if self.normalised:
                latent = self.norm_3(latent)
        return latent, onward

    def add_decoder(
        self,
        size: int,
        in_channels: int,
        width: int,
        lr: float,
        skip: int,
        predicts: bool,
        style: int,
        normalised: bool,
        out_channels: int,
        residual_unets: bool,
    ) -> None:
        """Add a decoder from size / 2 to ``size``.

        ``predicts`` refines the input by a U-Net that also sees the skip; ``style`` is the width of the style vector or
        0; ``out_channels`` makes the heads of the finest component.
        """
        half = size // 2
        self.predicts, self.styled = predicts, style > 0
        self.decoder_norm = normalised
        self.residual_unets = residual_unets
        self.final_norm = normalised and not out_channels
        if predicts:
            self.conv_d_pred_0 = UNet(skip + in_channels, in_channels, half, 2.0, normalised)
            self.conv_d_pred_1 = EqualConv(in_channels, width, 3, lr)
            self.conv_d_pred_2 = EqualConv(width, width, 3, lr, bias=False)
            self.conv_d_pred_3 = EqualConv(width, in_channels, 3, lr, activation="linear", bias=False)
        self.conv_d1 = EqualConv(in_channels + (skip if predicts else 0), width, 3, lr)
        self.conv_d2 = EqualConv(width, width, 3, lr)
        self.conv_d3 = EqualConv(width, width, 3, lr)
        self.conv_d4 = EqualConv(width, width, 3, lr)
        self.grow = Resample(up_matrix(half))
        if normalised:
            self.norm_d1 = UnbiasedInstanceNorm(width, half)
        if normalised or self.styled:
            self.norm_d3 = UnbiasedInstanceNorm(width, size)
            self.norm_d4 = UnbiasedInstanceNorm(width, size)
        if self.final_norm:
            self.norm_d5 = UnbiasedInstanceNorm(width, size)
        if self.styled:
            self.A_1_s = EqualLinear(style, 2 * width, activation="linear")
            self.A_2_s = EqualLinear(style, 2 * width, activation="linear")
        if out_channels:
            self.conv_d5_a = EqualConv(width, out_channels, 1, lr, activation="linear")
            self.conv_d5_b = EqualConv(width, out_channels, 3, lr)
            self.conv_d5_bb = EqualConv(out_channels, out_channels, 1, lr, activation="linear", zero=True)
            self.conv_d5_c = EqualConv(width, out_channels, 1, lr, activation="linear")
            self.conv_d5_d = EqualConv(width, out_channels, 3, lr)
            self.conv_d5_dd = EqualConv(out_channels, out_channels, 1, lr, activation="linear", zero=True)
            if residual_unets:
                self.conv_d5_un = UNet(out_channels, out_channels, size, 1.5, normalised)
                self.conv_d5_c_un = UNet(out_channels, out_channels, size, 1.5, normalised)

    def _restyle(self, x: Tensor, projected: Tensor) -> Tensor:
        n, c, _, _ = x.shape
        scale, shift = ops.chunk(projected, 2, 1)
        return x * scale.reshape(n, c, 1, 1) + shift.reshape(n, c, 1, 1)

    def decode(self, z: Tensor, style: Tensor | None, skip: Tensor | None) -> Tensor:
        """(N, in_channels, size / 2, size / 2) to features (N, width, size, size)."""
        if self.predicts:
            z = merge(z, self.conv_d_pred_0(ops.cat((skip, z), 1)))
            w = self.conv_d_pred_1(z)
            w = self.conv_d_pred_3(merge(w, self.conv_d_pred_2(w)))
            z = ops.cat((skip, w), 1)
        x = self.conv_d1(z)
        if self.decoder_norm:
            x = self.norm_d1(x)
        x = self.grow(merge(self.conv_d2(x), x))
        if self.styled:
            x = self._restyle(self.norm_d3(x), self.A_1_s(style))
        elif self.decoder_norm:
            x = self.norm_d3(x)
        x = merge(self.conv_d3(x), x)
        if self.styled:
            x = self._restyle(self.norm_d4(x), self.A_2_s(style))
        elif self.decoder_norm:
            x = self.norm_d4(x)
        x = merge(self.conv_d4(x), x)
        if self.final_norm:
            x = self.norm_d5(x)
        return x

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Shift and log-scale at the data end and at the latent end of the flow, log-scales in [-3, 3]."""
        start_b, end_b = self.conv_d5_a(x), self.conv_d5_c(x)
        if self.residual_unets:
            start_b = merge(self.conv_d5_un(start_b), start_b)
            end_b = merge(self.conv_d5_c_un(end_b), end_b)
        start_s = ops.clamp(self.conv_d5_bb(self.conv_d5_b(x)), -3.0, 3.0)
        end_s = ops.clamp(self.conv_d5_dd(self.conv_d5_d(x)), -3.0, 3.0)
        return start_b, start_s, end_b, end_s


class EncoderDecoder(nn.Cell):
    """One or two components (for a ratio of 2 or 4) between level ``index`` and the next coarser one."""

    def __init__(self, options: HFlowOptions, index: int):
        super().__init__()
        level = options.levels[index]
        last = index == len(options.levels) - 1
        coarse = 4 if last else options.levels[index + 1].resolution
        below = options.top.width if last else options.levels[index + 1].channels
        entering = 3 if index == 0 else options.levels[index - 1].encoder_channels
        style = options.style_channels if level.styled else 0
        width, depth = level.encoder_channels, 2 if level.resolution == 4 * coarse else 1
        components = []
        for j in range(depth):
            size = level.resolution // 2**j
            lowest, highest = j == depth - 1, j == 0
            latent = 0 if last and lowest else below if lowest else width
            component = Component(
                size,
                entering if highest else width,
                width,
                level.encoder_kernel,
                options.encoder_lr_scale,
                latent,
                passes_on=lowest,
                filtered=not last,
            )
            component.add_decoder(
                size,
                below if lowest else level.decoder_channels,
                level.decoder_channels,
                options.decoder_lr_scale,
                level.skip_channels,
                predicts=lowest and not last,
                style=style,
                normalised=level.normalised,
                out_channels=level.channels if highest else 0,
                residual_unets=level.residual_unets and highest,
            )
            components.append(component)
        self.components = nn.CellList(components)
        self.depth = depth

    def construct(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        return self.encode(x)

    def encode(self, x: Tensor) -> tuple[Tensor | None, Tensor]:
        """Features of the finer level to (y of the coarser one, features for the encoder after this)."""
        latent, onward = self.components[0].encode(x)
        if self.depth == 2:
            latent, onward = self.components[1].encode(latent)
        return latent, onward

    def decode(self, z: Tensor, style: Tensor | None, skip: Tensor | None) -> tuple[Tensor, tuple]:
        """The coarser y to features at the finer level and the four heads of its flow."""
        x = self.components[self.depth - 1].decode(z, style, skip)
        if self.depth == 2:
            x = self.components[0].decode(x, style, skip)
        return x, self.components[0].heads(x)


class TopAutoencoder(nn.Cell):
    """4x4 features to the top latent, and the trunk (N, width, 4, 4) at which all decoders start."""

    def __init__(self, options: HFlowOptions):
        super().__init__()
        width, lr = options.top.width, options.encoder_lr_scale
        entering = options.levels[-1].encoder_channels
        self.components = nn.CellList(
            [
                Component(4, entering, width, 3, lr, width, passes_on=False, filtered=False),
                Component(2, width, width, 3, lr, 0, passes_on=True, filtered=False),
            ]
        )
        self.components[0].conv_d_const = Parameter(Tensor(np.zeros((1, width, 4, 4), np.float32)))
        self.constant = options.top.constant_trunk

    def construct(self, x: Tensor) -> Tensor:
        """(N, encoder channels, 4, 4) to (N, width, 1, 1)."""
        middle, _ = self.components[0].encode(x)
        return self.components[1].encode(middle)[1]

    def trunk(self, base: Tensor) -> Tensor:
        """The learned constant, plus ``base`` (N, width, 1, 1) repeated unless the trunk is constant."""
        n, c, _, _ = base.shape
        constant = ops.broadcast_to(self.components[0].conv_d_const, (n, c, 4, 4))
        return constant if self.constant else constant + nearest_double(base)
