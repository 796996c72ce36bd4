"""PSNR and SSIM against closed forms and against SSIM written out window by window."""

import math

import numpy as np
import pytest
import scipy.ndimage

from src.metrics.similarity import psnr, ssim
from src.utils.errors import UserError


def two_pictures(height=24, width=31, noise=25.0, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)[:height, :width]
    b = a + rng.normal(0, noise, a.shape)
    return a.astype(np.uint8), b.clip(0, 255).astype(np.uint8)


def test_psnr_of_a_constant_difference():
    a = np.full((5, 7, 3), 100, np.uint8)
    assert psnr(a, a + 10) == pytest.approx(20 * math.log10(255 / 10))
    assert psnr(a, a - 100) == psnr(a - 100, a) == pytest.approx(20 * math.log10(255 / 100))
    assert psnr(np.zeros_like(a), np.full_like(a, 255)) == pytest.approx(0.0)
    assert psnr(a, a) == math.inf


def test_ssim_of_flat_pictures_is_its_luminance_term():
    a, b = (np.full((16, 16, 3), value, np.uint8) for value in (100, 130))
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 130 + c1) / (100**2 + 130**2 + c1))


def test_ssim_of_equal_and_inverted_pictures():
    a, _ = two_pictures()
    assert ssim(a, a) == pytest.approx(1.0)
    assert ssim(a, 255 - a) < 0
    b, c = two_pictures(noise=10)[1], two_pictures(noise=60)[1]
    assert 1 > ssim(a, b) > ssim(a, c) > 0
    assert ssim(a, b) == pytest.approx(ssim(b, a))


def window_by_window(a, b):
    """The definition: weighted moments of every 11x11 window that fits."""
    y, x = np.mgrid[-5:6, -5:6]
    weights = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        for i in range(a.shape[0] - 10):
            for j in range(a.shape[1] - 10):
                p, q = (z[i : i + 11, j : j + 11, channel].astype(float) for z in (a, b))
                mp, mq = (weights * p).sum(), (weights * q).sum()
                vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
                covariance = (weights * (p - mp) * (q - mq)).sum()
                values.append(
                    (2 * mp * mq + c1) * (2 * covariance + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)),
                )
    return np.mean(values)


def test_ssim_meets_its_definition():
    a, b = two_pictures()
    assert ssim(a, b) == pytest.approx(window_by_window(a, b), abs=1e-10)


def test_ssim_meets_scipy_gaussian_filters():
    """The usual code: Gaussian filters cut at 3.5 deviations, without the border of 5 pixels."""
    a, b = two_pictures(40, 56, seed=1)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        x, y = a[:, :, channel].astype(float), b[:, :, channel].astype(float)

        def blurred(z):
            return scipy.ndimage.gaussian_filter(z, 1.5, truncate=3.5)[5:-5, 5:-5]

        mx, my = blurred(x), blurred(y)
        vx, vy, vxy = blurred(x * x) - mx * mx, blurred(y * y) - my * my, blurred(x * y) - mx * my
        values.append(((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    assert ssim(a, b) == pytest.approx(np.mean(values), abs=1e-10)


def test_what_cannot_be_compared():
    a = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(UserError, match="16x16 and 8x16"):
        psnr(a, a[:, :8])
    with pytest.raises(UserError, match="at least 11x11, these are 10x16"):
        ssim(a[:, :10], a[:, :10])
