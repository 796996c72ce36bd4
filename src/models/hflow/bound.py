"""The bits that each level spends on a noisy encoding: the training objective, and a bound of the likelihood.

B_l = -(log N(z_l; 0, sigma_l) + logdet_l + H_l) / (dim_l ln 2), with H_l the entropy of the noise added to y_l. The
loss is the weighted sum over levels, each divided by its own dimension, as published; the joint bound divides the sum
of all levels by the number of image values instead.
"""

__all__ = ["Bound", "Encodings", "noise_size", "spread"]

import math

import numpy as np
from mindspore import Tensor, nn, ops

from .architecture import HFlowOptions
from .network import HFlow

_LOG_2PI = math.log(2.0 * math.pi)


def _noise_shapes(options: HFlowOptions) -> list[tuple[int, int, int]]:
    spatial = [(level.channels, level.resolution, level.resolution) for level in options.levels[1:]]
    return [*spatial, (options.top.width, 1, 1)]


def noise_size(options: HFlowOptions) -> int:
    """Number of standard normal values that one image needs: twice the size of y_1 to y_last and the top.

    The first half is added to the targets of the flows, the second to the inputs of the decoders and the style network.
    Each half is y_1, ..., y_last, top, flattened in NCHW order.
    """
    return 2 * sum(math.prod(shape) for shape in _noise_shapes(options))


def spread(y: Tensor) -> Tensor:
    """The standard deviation of ``y`` (N, ...) over the batch, averaged over the features: a scalar.

    A batch of one image has no spread, so the standard deviation over its features is used.
    """
    n = y.shape[0]
    flat = y.reshape(n, -1) if n > 1 else y.reshape(-1, 1)
    centred = flat - flat.mean(0, keep_dims=True)
    variance = (centred * centred).sum(0) / (flat.shape[0] - 1)
    # the small term keeps the gradient finite where a batch holds the same image twice
    return ops.sqrt(variance + 1e-12).mean()


class Encodings(nn.Cell):
    """``construct(image)``: the encodings that noise is added to, y_1 to y_last and then the parts of the top."""

    def __init__(self, network: HFlow):
        super().__init__()
        self.network = network

    def construct(self, image: Tensor) -> tuple[Tensor, ...]:
        scales, top = self.network.encode(image)
        return (*scales[1:], *self.network.endblock_unified.split(top))


class Bound(nn.Cell):
    """``construct(image, noise, spreads=None) -> (loss, bits)``.

    ``image`` is (N, 3, R, R), dequantised, in [-0.5, 0.5]; ``noise`` is (N, noise_size) standard normal. Noise is
    relative to ``spreads``, one for each of :class:`Encodings`; without them to the :func:`spread` over this batch, as
    published, so that the numbers of an image depend on the other images of the batch. ``loss`` is the batch mean of
    the weighted sum; ``bits`` is (latents, N): B_l of every latent of every image, unweighted. The encoders learn only
    as conditions: the targets of the flows and the entropies have no gradient.

    With ``strict``, given ``spreads`` and noise on every level (:attr:`bounds`), the sum over all levels is an upper
    bound of the image's bits (an unbiased one-sample estimate): conditions use the same noise as the targets. The
    published objective draws the two independently, gives the style network 1.5 times the noise, and the conditions of
    the top none.
    """

    def __init__(self, network: HFlow, strict: bool = False):
        super().__init__()
        options = network.options
        self.network = network
        self.strict = strict
        self.shapes = _noise_shapes(options)
        self.level_count = len(options.levels)
        levels = [level.noise if level.noisy else 0.0 for level in options.levels[:-1]]
        #: standard deviation of the noise on each encoding, relative to its spread
        self.noise_scales = [*levels, *options.top.noise]
        #: an encoding without noise has no density that a flow could bound
        self.bounds = strict and min(self.noise_scales) > 0.0
        self.style_noise = 1.0 if strict else options.top.style_noise
        self.stds = [level.prior_std for level in options.levels] + [1.0] * options.top.parts
        self.dims = [math.prod(shape) for shape in options.latent_shapes]
        self.image_dim = 3 * options.resolution**2
        weights = [level.weight for level in options.levels] + [1.0] * options.top.parts
        self.weights = Tensor(np.array(weights, np.float32).reshape(-1, 1))

    def unpack(self, noise: Tensor, start: int) -> tuple[tuple[Tensor, ...], int]:
        n, parts = noise.shape[0], ()
        for c, h, w in self.shapes:
            end = start + c * h * w
            parts = (*parts, noise[:, start:end].reshape(n, c, h, w))
            start = end
        return parts, start

    def entropy(self, std: Tensor, dim: int) -> Tensor:
        return ops.stop_gradient(dim * (ops.log(std) + 0.5 * (_LOG_2PI + 1.0)))

    def noisy(self, scales: tuple, top: Tensor, noise: Tensor, spreads: Tensor | None = None) -> tuple:
        """Targets, decoder inputs, top parts, their conditions, the input of the style network, and the entropies."""
        modelled, end = self.unpack(noise, 0)
        conditioning = modelled
        if not self.strict:
            conditioning, _ = self.unpack(noise, end)
        split = self.network.endblock_unified.split
        parts = split(top)
        encodings = (*scales[1:], *parts)
        modelled = (*modelled[:-1], *split(modelled[-1]))
        conditioning = (*conditioning[:-1], *split(conditioning[-1]))
        targets, inputs, entropies = (), (), ()
        for i in range(len(encodings)):
            y, scale = encodings[i], self.noise_scales[i]
            if scale > 0.0:
                std = (spread(y) if spreads is None else spreads[i]) * scale
                # of the top only the style network sees the noise, and another multiple of it
                seen = std if i < self.level_count - 1 else std * self.style_noise
                targets = (*targets, y + std * modelled[i])
                inputs = (*inputs, y + seen * conditioning[i])
                entropies = (*entropies, self.entropy(std, self.dims[i + 1]))
            else:
                targets, inputs = (*targets, y), (*inputs, y)
                entropies = (*entropies, ops.zeros((), y.dtype))
        last = self.level_count - 1
        noisy_parts = targets[last:]
        style = inputs[last] if len(parts) == 1 else ops.cat(inputs[last:], 1)
        conditions = noisy_parts if self.strict else parts
        return (scales[0], *targets[:last]), inputs[:last], noisy_parts, conditions, style, entropies

    def bits(self, image: Tensor, noise: Tensor, spreads: Tensor | None = None) -> Tensor:
        """(latents, N): B_l, unweighted."""
        scales, top = self.network.encode(image)
        targets, inputs, parts, conditions, style, entropies = self.noisy(scales, top, noise, spreads)
        stopped = ()
        for part in parts:
            stopped = (*stopped, ops.stop_gradient(part))
        top_z, top_logdets = self.network.endblock_unified.encode(stopped, conditions)
        stopped = ()
        for target in targets:
            stopped = (*stopped, ops.stop_gradient(target))
        z, logdets = self.network.levels_to_latents(stopped, inputs, style)
        z, logdets = (*z, *top_z), (*logdets, *top_logdets)
        bits = ()
        for i in range(len(z)):
            dim, std = self.dims[i], self.stds[i]
            squares = (z[i] * z[i]).sum((1, 2, 3)) / (std * std)
            bound = logdets[i] - 0.5 * squares - dim * (0.5 * _LOG_2PI + math.log(std))
            if i > 0:
                bound = bound + entropies[i - 1]
            bits = (*bits, bound / (-dim * math.log(2.0)))
        return ops.stack(bits)

    def construct(self, image: Tensor, noise: Tensor, spreads: Tensor | None = None) -> tuple[Tensor, Tensor]:
        bits = self.bits(image, noise, spreads)
        return (bits * self.weights).sum(0).mean(), bits
