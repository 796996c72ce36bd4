"""Starting values: random weights by name, and actnorms from a first batch, outside any compiled graph."""

__all__ = ["fit_actnorms", "init_parameters"]

import zlib

import numpy as np
from mindspore import Parameter, Tensor, ops

from .bound import Bound
from .layers import EqualConv, EqualLinear
from .mixing import ChannelMix, OrthogonalMix
from .network import HFlow
from .steps import ActNorm, StepChain


def _assign(parameter: Parameter, value: np.ndarray) -> None:
    ops.assign(parameter, Tensor(np.ascontiguousarray(value, np.float32)))


def init_parameters(network: HFlow, seed: int = 0) -> None:
    """Draw every weight as published; the values depend only on ``seed`` and the structural name."""

    def normal(name: str, shape: tuple[int, ...]) -> np.ndarray:
        return np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)

    for name, cell in network.cells_and_names():
        if isinstance(cell, (EqualConv, EqualLinear)):
            if cell.initial_std:
                _assign(cell.w, normal(f"{name}.w", cell.w.shape) * cell.initial_std)
        elif isinstance(cell, ChannelMix):
            _assign(cell.K, np.linalg.qr(normal(f"{name}.K", cell.K.shape))[0] / cell.scale)
        elif isinstance(cell, OrthogonalMix):
            _assign(cell.U, normal(f"{name}.U", cell.U.shape) / cell.scale)
    constant = network.endblock_autoencoder.components[0].conv_d_const
    _assign(constant, normal("conv_d_const", constant.shape))


def _fit(actnorm: ActNorm, x: Tensor) -> None:
    values = x.asnumpy().astype(np.float64)
    mean, std = values.mean((0, 2, 3), keepdims=True), values.std((0, 2, 3), ddof=1, keepdims=True)
    _assign(actnorm.an_bias, mean)
    # a channel that is constant over the batch cannot be normalised
    _assign(actnorm.an_scale, np.log(np.where(std > 1e-6, std, 1.0)))


def _fit_chain(chain: StepChain, x: Tensor, condition: Tensor) -> None:
    matrices, _ = chain.mixes()
    for k in reversed(range(chain.count)):
        step = chain.steps[k]
        _fit(step.actnorm, x)
        x, _ = step.encode(x, condition, matrices[k])


def fit_actnorms(network: HFlow, image: Tensor, noise: Tensor) -> None:
    """Give every spatial actnorm the mean and standard deviation of its input on this batch; run it in PyNative mode.

    ``image`` (N, 3, R, R) and ``noise`` (N, noise_size) are those of a training step; 64 images are published. The
    top's actnorms stay zero: one vector of each image is too small a sample.
    """
    scales, top = network.encode(image)
    targets, inputs, _, _, style_top, _ = Bound(network).noisy(scales, top, noise)
    below, style = network.start(style_top)
    skip = None
    for i in reversed(range(network.level_count)):
        level = network.blocks[i]
        condition, (start_b, start_s, _, _), skip = level.condition(below, style, skip)
        _fit_chain(level.blocks, (targets[i] - start_b) * ops.exp(-start_s), condition)
        if i:
            below = inputs[i - 1]
