"""Bits per dimension."""

__all__ = ["bits_per_dimension", "level_shapes"]

import math

from mindspore import Tensor


def bits_per_dimension(log_likelihood: Tensor, dimensions: int, n_bits: int = 8) -> Tensor:
    """Bits per dimension (N,) of 8-bit images scaled to [0, 1], from ``log p + logdet`` (N,) in nats.

    ``dimensions`` is C*H*W. A density of values in [0, 1] becomes a probability of ``2^n_bits`` bins by the width of a
    bin, provided the images were dequantised with uniform noise of that width.
    """
    return (dimensions * n_bits * math.log(2.0) - log_likelihood) / (dimensions * math.log(2.0))


def level_shapes(channels: int, size: tuple[int, int], n_block: int) -> list[tuple[int, int, int]]:
    """(C, H, W) of the latents that each level of a multi-scale flow leaves behind, from the first."""
    shapes, height, width = [], *size
    for level in range(n_block):
        channels, height, width = 4 * channels, height // 2, width // 2
        if level < n_block - 1:
            channels //= 2
        shapes.append((channels, height, width))
    return shapes
