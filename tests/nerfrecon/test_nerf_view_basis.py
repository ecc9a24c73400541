"""Spherical harmonics: orthonormal on the sphere, in the known order and signs."""

from __future__ import annotations

import math

import numpy as np
import torch

from nerfrecon.ops.view_basis import WIDTH, view_basis


def quadrature(degree: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions and weights that integrate polynomials of this degree over the sphere exactly."""
    z, weight = np.polynomial.legendre.leggauss(degree)
    angle = 2 * math.pi * np.arange(degree + 1) / (degree + 1)
    ring = np.sqrt(1 - z**2)[:, None]
    directions = np.stack([ring * np.cos(angle), ring * np.sin(angle), z[:, None] + 0 * angle], -1)
    weights = np.repeat(weight * 2 * math.pi / (degree + 1), degree + 1)
    return torch.from_numpy(directions.reshape(-1, 3)), torch.from_numpy(weights)


def test_orthonormal_on_the_sphere():
    directions, weights = quadrature(8)
    values = view_basis(directions)
    gram = values.T @ (weights[:, None] * values)
    torch.testing.assert_close(gram, torch.eye(WIDTH, dtype=torch.float64), atol=1e-12, rtol=0)


def test_known_values():
    # tiny-cuda-nn's constants at the diagonal of the first octant.
    c = 1 / math.sqrt(3)
    values = view_basis(torch.tensor([[c, c, c]], dtype=torch.float64))[0]
    assert values[0].item() == 0.28209479177387814
    torch.testing.assert_close(values[1], torch.tensor(-0.48860251190291987 * c, dtype=torch.float64))
    torch.testing.assert_close(values[2], torch.tensor(0.48860251190291987 * c, dtype=torch.float64))
    torch.testing.assert_close(values[4], torch.tensor(1.0925484305920792 / 3, dtype=torch.float64))
    torch.testing.assert_close(values[10], torch.tensor(2.8906114426405538 * c**3, dtype=torch.float64))
    up = view_basis(torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64))[0]
    along_z = torch.zeros(16, dtype=torch.float64)
    for band in range(4):
        along_z[band * band + band] = math.sqrt((2 * band + 1) / (4 * math.pi))
    torch.testing.assert_close(up, along_z)


def test_a_band_turns_within_itself():
    # Rotating a direction mixes the values of a band alone: their sum of squares stays (Unsoeld).
    directions, _ = quadrature(6)
    values = view_basis(directions).square()
    for band in range(4):
        power = values[:, band * band : (band + 1) ** 2].sum(1)
        torch.testing.assert_close(power, torch.full_like(power, (2 * band + 1) / (4 * math.pi)))


def test_derivatives():
    directions = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(view_basis, (directions.requires_grad_(),))
