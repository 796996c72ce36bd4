"""8-bit images as values that the model is trained on: the bins of [0, 1), spread and shifted to [-0.5, 0.5]."""

__all__ = ["dequantise", "quantise"]

import numpy as np


def quantise(image: np.ndarray, bits: int) -> np.ndarray:
    """Images in [-1, 1], made from 8-bit values, to the lower edges of their ``2 ** bits`` bins in [0, 1), float64."""
    values = np.rint((image.astype(np.float64) + 1.0) * 127.5).clip(0, 255)
    return (values.astype(np.int64) >> (8 - bits)) / 2.0**bits


def dequantise(image: np.ndarray, bits: int, rng: np.random.Generator, noise_std: float = 0.0) -> np.ndarray:
    """Images in [-1, 1] to float32 in the model's [-0.5, 0.5], each value drawn uniformly from its bin.

    ``noise_std`` is the standard deviation of additional normal noise, as in published training.
    """
    values = quantise(image, bits) + rng.random(image.shape) / 2.0**bits
    return (values + rng.standard_normal(image.shape) * noise_std - 0.5).astype(np.float32)
