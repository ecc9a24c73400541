"""Rays: through the pixels they should, with OpenCV's distortion undone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from nerfrecon.backends.base import RayCamera
from nerfrecon.render.rays import (
    camera_directions,
    camera_rays,
    distort,
    draw_backgrounds,
    draw_pixels,
    pixel_grid,
    undistort,
)

LENSES = {
    "none": (),
    "four": (0.08, -0.06, 0.001, -0.0005),
    "fox": (0.0578421, -0.0805099, -0.000980296, 0.00015575),
    "five": (-0.28, 0.09, 0.0007, -0.0002, -0.01),
    "rational": (0.5, 0.1, 0.0005, 0.0003, 0.02, 0.6, 0.15, 0.01),
}


def pose(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    Q, R = np.linalg.qr(rng.normal(size=(3, 3)))
    Q = Q * np.sign(np.diag(R))
    T = np.eye(4)
    T[:3, :3] = Q * np.sign(np.linalg.det(Q))
    T[:3, 3] = rng.normal(size=3)
    return T


def camera_of(lens: tuple[float, ...] = ()) -> RayCamera:
    return RayCamera(64, 48, 50.0, 52.0, 31.2, 24.7, pose(), lens)


@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES.keys())
def test_points_along_a_ray_project_to_its_pixel(lens: tuple[float, ...]):
    camera = camera_of(lens)
    pixels = pixel_grid(camera)
    rays = camera_rays(camera, pixels)
    points = rays.origins.double() + 2.5 * rays.directions.double()
    T_camera_unit = np.linalg.inv(camera.T_unit_camera)
    K = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    turn, _ = cv2.Rodrigues(T_camera_unit[:3, :3])
    found, _ = cv2.projectPoints(points.numpy(), turn, T_camera_unit[:3, 3], K, np.array(lens or [0.0] * 4))
    np.testing.assert_allclose(found[:, 0], pixels, atol=2e-4)


@pytest.mark.parametrize("lens", LENSES.values(), ids=LENSES.keys())
def test_undoing_a_lens_is_its_inverse(lens: tuple[float, ...]):
    points = np.random.default_rng(0).uniform(-0.6, 0.6, (200, 2))
    np.testing.assert_allclose(undistort(distort(points, lens), lens), points, atol=1e-11)


def test_directions_are_unit_and_their_z_gives_depth():
    camera = camera_of(LENSES["five"])
    directions = camera_directions(camera, pixel_grid(camera))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    rays = camera_rays(camera, pixel_grid(camera))
    forward = torch.from_numpy(camera.T_unit_camera[:3, 2]).float()
    np.testing.assert_allclose(rays.directions @ forward, directions[:, 2], atol=1e-6)


def test_the_pixel_at_the_principal_point_looks_along_the_axis():
    camera = camera_of()
    directions = camera_directions(camera, np.array([[camera.cx, camera.cy]]))
    np.testing.assert_array_equal(directions, [[0, 0, 1]])


def test_beyond_the_fold_of_a_lens_directions_are_finite():
    directions = camera_directions(
        camera_of((-0.9, 0.0, 0.0, 0.0)), np.array([[-500.0, -500.0], [30.0, 20.0]])
    )
    assert np.isfinite(directions).all()


def test_pixels_are_numbered_row_by_row():
    pixels = pixel_grid(camera_of())
    assert pixels.shape == (64 * 48, 2)
    assert pixels[0].tolist() == [0, 0] and pixels[65].tolist() == [1, 1] and pixels[-1].tolist() == [63, 47]


def test_drawn_pixels_cover_every_view_alike():
    sizes = torch.tensor([[4, 2], [3, 5]])
    drawn = draw_pixels(3, 9, torch.arange(20000), sizes)
    assert (drawn.column < sizes[drawn.view, 0]).all() and (drawn.row < sizes[drawn.view, 1]).all()
    for view, pixels in ((0, 8), (1, 15)):
        mine = drawn.view == view
        counts = torch.bincount(drawn.row[mine] * sizes[view, 0] + drawn.column[mine], minlength=pixels)
        assert len(counts) == pixels
        assert (counts - 10000 / pixels).abs().max() < 5 * (10000 / pixels) ** 0.5
    again = draw_pixels(3, 9, torch.tensor([17]), sizes)
    assert [int(x) for x in again] == [int(x[17]) for x in drawn]


def test_drawn_backgrounds_are_all_colours():
    drawn = draw_backgrounds(3, 9, torch.arange(5000))
    correlation = np.corrcoef(drawn.numpy().T) - np.eye(3)
    assert np.abs(correlation).max() < 0.06
    assert (drawn.mean(0) - 0.5).abs().max() < 0.02 and drawn.min() >= 0 and drawn.max() < 1
    assert not torch.equal(drawn, draw_backgrounds(3, 10, torch.arange(5000)))
