"""The hflow network: encoders, decoders and flows of all levels, and the passes through them.

Images are (N, 3, R, R) in [-0.5, 0.5]. Latents are a tuple of the spatial levels from fine to coarse, then the parts of
the top (``HFlowOptions.latent_shapes``). They are more numbers than the image has: image to latents to image is exact,
latents to image to latents is not, because the finer levels are conditioned on an encoding of the image.
"""

__all__ = ["HFlow", "Level"]

import math

import numpy as np
from mindspore import Tensor, nn, ops

from .architecture import HFlowOptions
from .autoencoder import EncoderDecoder, TopAutoencoder
from .couplings import ConvCoupling, PooledCoupling
from .layers import EqualConv
from .steps import StepChain, level_chain
from .top import PartitionedTop, StyleNetwork
from .unet import UNet

#: images are multiplied by this, which makes their variance about 1
DATA_SCALE = 4.0


class Level(nn.Cell):
    """p(y | coarser y, style, skip): a flow between two affine maps that the decoder predicts."""

    def __init__(self, options: HFlowOptions, index: int):
        super().__init__()
        level = options.levels[index]
        self.finest = index == 0
        self.learned_upscaler = EncoderDecoder(options, index)
        self.learned_upscaler_cond = EqualConv(level.decoder_channels, level.condition_channels, 1, activation="linear")
        if index:
            entering = options.levels[index - 1].skip_channels
            self.skip_to_next = EqualConv(
                level.decoder_channels, entering, 1, options.decoder_lr_scale, activation="linear"
            )
        self.blocks = level_chain(level)

    def condition(self, below: Tensor, style: Tensor | None, skip: Tensor | None) -> tuple:
        """Condition of the flow steps, the four heads, and the skip into the next finer decoder."""
        features, heads = self.learned_upscaler.decode(below, style, skip)
        onward = None
        if not self.finest:
            onward = self.skip_to_next(features)
        return self.learned_upscaler_cond(features), heads, onward

    def construct(
        self, y: Tensor, below: Tensor, style: Tensor | None, skip: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Data to latent: (z, log-determinant (N,), skip for the next finer level)."""
        condition, heads, onward = self.condition(below, style, skip)
        start_b, start_s, end_b, end_s = heads
        z, logdet = self.blocks((y - start_b) * ops.exp(-start_s), condition)
        logdet = logdet - start_s.sum((1, 2, 3)) - end_s.sum((1, 2, 3))
        return (z - end_b) * ops.exp(-end_s), logdet, onward

    def generate(
        self, z: Tensor, below: Tensor, style: Tensor | None, skip: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Latent to data, with the log-determinant of this direction."""
        condition, heads, onward = self.condition(below, style, skip)
        start_b, start_s, end_b, end_s = heads
        y, logdet = self.blocks.generate(z * ops.exp(end_s) + end_b, condition)
        logdet = logdet + start_s.sum((1, 2, 3)) + end_s.sum((1, 2, 3))
        return y * ops.exp(start_s) + start_b, logdet, onward


class HFlow(nn.Cell):
    """The whole model. ``construct(image) -> (latents, log-determinants)``; ``generate`` is its inverse.

    The log-determinants are (N,) each, in nats, one for each latent; those of the two directions cancel. Level 0's
    contains the scaling of the image.
    """

    def __init__(self, options: HFlowOptions):
        super().__init__()
        self.options = options
        top = options.top
        self.level_count = len(options.levels)
        self.endblock_autoencoder = TopAutoencoder(options)
        self.endblock_unified = PartitionedTop(top)
        self.endblock_split_conv = EqualConv(top.width, top.width, 1, activation="linear")
        self.styled = any(level.styled for level in options.levels)
        if self.styled:
            self.global_state = StyleNetwork(top.width, options.style_channels, top.mapping_lr_scale)
        self.blocks = nn.CellList([Level(options, i) for i in range(self.level_count)])
        self.style_mask = Tensor(_hide(top.width, top.style_hidden))
        self.base_mask = Tensor(_hide(top.width, top.base_hidden))
        self.data_logdet = 3 * options.resolution**2 * math.log(DATA_SCALE)

    @property
    def chains(self) -> list[StepChain]:
        """The steps of flow behind every latent, in the order of the latents."""
        top = self.endblock_unified
        return [*(level.blocks for level in self.blocks), top.endblock_uncond, *top.conditionals]

    def recompute_blocks(self) -> None:
        """Let the backward pass compute couplings and U-Nets again; call it before anything is compiled."""
        for _, cell in self.cells_and_names():
            if isinstance(cell, (ConvCoupling, PooledCoupling, UNet)):
                cell.recompute()

    def encode(self, image: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """The deterministic encodings y_0 (the scaled image) to y_last, and the top (N, width, 1, 1)."""
        features = image * DATA_SCALE
        scales = (features,)
        for i in range(self.level_count):
            y, features = self.blocks[i].learned_upscaler.encode(features)
            if i < self.level_count - 1:
                scales = (*scales, y)
        return scales, self.endblock_autoencoder(features)

    def start(self, top: Tensor) -> tuple[Tensor, Tensor | None]:
        """The trunk of the decoders and the style vector, from the top (N, width, 1, 1)."""
        trunk = self.endblock_autoencoder.trunk(self.endblock_split_conv(top * self.base_mask))
        style = None
        if self.styled:
            style = self.global_state(top * self.style_mask)
        return trunk, style

    def levels_to_latents(
        self, targets: tuple[Tensor, ...], inputs: tuple[Tensor, ...], top: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Spatial latents and log-determinants of ``targets`` y_0 to y_last.

        ``inputs`` are what the decoders see: y_1 to y_last, perhaps with other noise than the targets; ``top`` is what
        the style network sees.
        """
        below, style = self.start(top)
        skip = None
        latents, logdets = (), ()
        for k in range(self.level_count):
            i = self.level_count - 1 - k
            z, logdet, skip = self.blocks[i](targets[i], below, style, skip)
            if i == 0:
                logdet = logdet + self.data_logdet
            else:
                below = inputs[i - 1]
            latents, logdets = (z, *latents), (logdet, *logdets)
        return latents, logdets

    def construct(self, image: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        scales, top = self.encode(image)
        top_latents, top_logdets = self.endblock_unified(top)
        latents, logdets = self.levels_to_latents(scales, scales[1:], top)
        return (*latents, *top_latents), (*logdets, *top_logdets)

    def generate(self, latents: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Latents to the image, unclamped, and the log-determinants of this direction."""
        top, top_logdets = self.endblock_unified.generate(latents[self.level_count :])
        below, style = self.start(top)
        skip = None
        logdets = ()
        for k in range(self.level_count):
            i = self.level_count - 1 - k
            below, logdet, skip = self.blocks[i].generate(latents[i], below, style, skip)
            logdets = (logdet, *logdets)
        logdets = (logdets[0] - self.data_logdet, *logdets[1:])
        return below / DATA_SCALE, (*logdets, *top_logdets)


def _hide(width: int, hidden: tuple[int, int]) -> np.ndarray:
    mask = np.ones((1, width, 1, 1), np.float32)
    mask[:, hidden[0] : hidden[1]] = 0.0
    return mask
