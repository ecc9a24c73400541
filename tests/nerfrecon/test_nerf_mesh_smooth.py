"""Ripple goes, volume and triangles stay."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import marching_cubes

from nerfrecon.mesh.smooth import smoothed
from suite.geometry.mesh import Mesh

RADIUS = 12.0


def rough_ball(ripple: float) -> Mesh:
    """A ball of 12 cells' radius as marching cubes find it, its vertices moved outwards and inwards."""
    z, y, x = np.mgrid[-16:17, -16:17, -16:17]
    corners, faces, _, _ = marching_cubes(np.sqrt(x**2 + y**2 + z**2) - RADIUS, 0.0)
    corners = corners - 16.0
    out = corners / np.linalg.norm(corners, axis=1, keepdims=True)
    noise = np.random.default_rng(0).normal(scale=ripple, size=(len(corners), 1))
    return Mesh(corners + noise * out, faces[:, ::-1].astype(np.int64))


def roughness(mesh: Mesh) -> float:
    return float(np.linalg.norm(mesh.vertices, axis=1).std())


def test_ripple_goes_and_volume_stays():
    rough = rough_ball(0.2)
    fair = smoothed(rough, 10)
    assert roughness(fair) < 0.45 * roughness(rough)
    assert fair.volume() == pytest.approx(rough_ball(0.0).volume(), rel=0.003)
    np.testing.assert_array_equal(fair.faces, rough.faces)
    assert np.linalg.norm(fair.vertices.mean(0)) < 0.02


def test_a_fair_surface_hardly_moves():
    ball = rough_ball(0.0)
    before, after = (np.linalg.norm(one.vertices, axis=1) for one in (ball, smoothed(ball, 10)))
    assert np.abs(after - before).max() < 0.1  # of a cell
    assert smoothed(ball, 0) is ball


def test_vertices_without_triangles_stay_where_they_are():
    ball = rough_ball(0.1)
    more = Mesh(np.vstack([ball.vertices, [[40.0, 0.0, 0.0]]]), ball.faces)
    np.testing.assert_array_equal(smoothed(more, 3).vertices[-1], more.vertices[-1])
