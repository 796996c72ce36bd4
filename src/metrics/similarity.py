"""Closeness of two images of one size, pixel by pixel: PSNR and SSIM."""

__all__ = ["PSNR_VARIANT", "SMALLEST", "SSIM_VARIANT", "psnr", "ssim"]

import math

import cv2
import numpy as np

from ..utils.errors import UserError

PSNR_VARIANT = "10 log10(255^2 / mean squared error) over all pixels and channels of 8-bit RGB, mean over images"
SSIM_VARIANT = (
    "Wang et al. 2004: Gaussian window 11x11 of sigma 1.5, K1 0.01, K2 0.03, data range 255, windows inside the "
    "image only, no downsampling, mean over the channels of 8-bit RGB"
)

#: side of SSIM's window, and so of the smallest allowed image
SMALLEST = 11
_SIGMA = 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal to noise ratio in dB of (H, W, C) uint8 images; infinite where they are equal."""
    _check(a, b)
    difference = a.astype(np.int32) - b
    error = float(np.mean(difference * difference, dtype=np.float64))
    return 10.0 * math.log10(255.0**2 / error) if error else math.inf


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity, at most 1, of (H, W, C) uint8 images of at least 11x11 pixels.

    Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity", section III.C, with
    the variances of the weighted population, as there; colour is the mean of the channels.

    Raises:
        UserError: the images are smaller than the window, or differ in size.
    """
    _check(a, b)
    if min(a.shape[:2]) < SMALLEST:
        raise UserError(f"SSIM needs images of at least {SMALLEST}x{SMALLEST}, these are {a.shape[1]}x{a.shape[0]}")
    return float(np.mean([_ssim_of_channel(a[:, :, c], b[:, :, c]) for c in range(a.shape[2])]))


def _ssim_of_channel(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_a, mean_b = _weighted(a), _weighted(b)
    products, squares = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    covariance = _weighted(a * b) - products
    # the formula has the two variances only as their sum
    variances = _weighted(a * a + b * b) - squares
    similarity = (2 * products + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))
    return float(similarity.mean())


def _weighted(values: np.ndarray) -> np.ndarray:
    kernel = cv2.getGaussianKernel(SMALLEST, _SIGMA, cv2.CV_64F)
    half = SMALLEST // 2
    return cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel)[half:-half, half:-half]


def _check(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        sizes = " and ".join(f"{x.shape[1]}x{x.shape[0]}" for x in (a, b))
        raise UserError(f"images of {sizes} cannot be compared pixel by pixel: pass --metrics_size")
