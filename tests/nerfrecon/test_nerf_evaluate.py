"""PSNR and SSIM against known values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nerfrecon.evaluate import over, psnr, ssim


def noise(sigma: float, seed: int = 0, size: tuple[int, int] = (40, 48)) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, (*size, 3)).astype(np.float32)


def test_psnr_is_minus_ten_log_of_the_mean_square():
    grey = np.full((20, 30, 3), 0.5, np.float32)
    assert psnr(grey, grey + np.float32(0.1)) == pytest.approx(20, abs=1e-4)
    assert psnr(grey, grey) == math.inf
    usable = np.zeros((20, 30), bool)
    assert math.isnan(psnr(grey, grey + np.float32(0.1), usable))
    usable[:10] = True
    wrong = grey.copy()
    wrong[10:] = 0
    assert psnr(wrong, grey, usable) == math.inf


def test_ssim_by_its_formula_at_one_window_and_by_its_laws():
    x, y = 0.5 + noise(0.2), 0.5 + noise(0.2, 1)
    assert ssim(x, x) == pytest.approx(1)
    assert ssim(x, y) == pytest.approx(ssim(y, x))
    assert ssim(x, x + noise(0.02, 2)) > ssim(x, x + noise(0.1, 2)) > ssim(x, y)
    # One window: weights, means, variances and covariance as the paper has them.
    a, b = x[:11, :11].astype(np.float64), y[:11, :11].astype(np.float64)
    steps = np.arange(-5, 6)
    w = np.exp(-(steps[:, None] ** 2 + steps**2) / (2 * 1.5**2))[..., None]
    w /= w.sum()
    ma, mb = (w * a).sum((0, 1)), (w * b).sum((0, 1))
    va, vb, c = (
        (w * a * a).sum((0, 1)) - ma**2,
        (w * b * b).sum((0, 1)) - mb**2,
        (w * a * b).sum((0, 1)) - ma * mb,
    )
    expected = (2 * ma * mb + 1e-4) * (2 * c + 9e-4) / ((ma**2 + mb**2 + 1e-4) * (va + vb + 9e-4))
    assert ssim(x[:11, :11], y[:11, :11]) == pytest.approx(expected.mean(), rel=1e-6)
    assert math.isnan(ssim(x[:10], y[:10]))


def test_ssim_leaves_out_what_is_not_usable():
    x = 0.5 + noise(0.2)
    y = x.copy()
    y[:, :12] = 0
    usable = np.ones(x.shape[:2], bool)
    usable[:, :12] = False
    assert ssim(x, y) < 0.9 and ssim(x, y, usable) == pytest.approx(1)
    assert math.isnan(ssim(x, y, np.zeros_like(usable)))


def test_alpha_is_laid_over_grey():
    pixels = np.array([[[255, 0, 0, 255], [255, 255, 255, 0], [0, 0, 0, 51]]], np.uint8)
    np.testing.assert_allclose(over(pixels, 1.0), [[[1, 0, 0], [1, 1, 1], [0.8, 0.8, 0.8]]], atol=1e-6)
    np.testing.assert_allclose(over(pixels[..., :3], 1.0)[0, 1], 1)
