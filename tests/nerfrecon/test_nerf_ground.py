"""Up and the plane that things stand on, from cameras and points in any frame."""

from __future__ import annotations

import numpy as np
import pytest

from nerfrecon.ground import camera_up, find_plane
from nerfrecon.object.frame import similarity
from nerfrecon.simulate.orbit import ring_poses

CENTRE = np.array([0, 0.3, 0])


def poses(count: int = 12, arc: int | None = None, lowest: float = 5.0, highest: float = 50.0) -> np.ndarray:
    """T_world_camera of a ring in two heights, y up, about CENTRE; of an arc, the first so many of it."""
    return ring_poses(CENTRE, 3.0, count, lowest, highest, 2)[:arc]


def on_their_side(T: np.ndarray) -> np.ndarray:
    """The phone was turned: the sensor's left is up."""
    turned = T.copy()
    turned[:, :3, 0], turned[:, :3, 1] = T[:, :3, 1], -T[:, :3, 0]
    return turned


def table(rng: np.random.Generator, count: int = 600) -> np.ndarray:
    return np.c_[rng.uniform(-1.2, 1.2, count), rng.normal(0, 0.002, count), rng.uniform(-1.2, 1.2, count)]


@pytest.mark.parametrize("seed", range(3))
def test_the_ground_is_found_in_any_frame(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ball = rng.normal(size=(300, 3))
    ball = CENTRE + 0.3 * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    Q = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    T = similarity(Q * np.linalg.det(Q), rng.normal(size=3), 4.0)
    points = np.r_[ball, table(rng)] @ T[:3, :3].T + T[:3, 3]
    cameras, centre = poses()[:, :3, 3] @ T[:3, :3].T + T[:3, 3], T[:3, :3] @ CENTRE + T[:3, 3]
    found = find_plane(points, cameras, centre, None, near=0.8, seed=seed)
    up = T[:3, 1] / 4.0
    assert found is not None and found.plane is not None and not found.is_wall
    assert found.up @ up > np.cos(np.deg2rad(0.2)) and found.share > 0.5
    assert abs(found.plane[:3] @ T[:3, 3] + found.plane[3]) < 0.01  # the table goes through 0
    assert find_plane(points, cameras, centre, -up, near=0.8, seed=seed) is None  # told that it is overhead
    assert find_plane(points[300:330], cameras, centre, None, near=0.8, seed=seed) is None  # too little


def test_a_wall_is_no_ground_where_up_is_known() -> None:
    rng = np.random.default_rng(1)
    wall = table(rng, 400)[:, [0, 2, 1]] + [0, 1.2, -0.5]
    cameras = poses(count=24)[:, :3, 3]
    cameras = cameras[cameras[:, 2] > 0]
    assert find_plane(wall, cameras, CENTRE, np.array([0, 1.0, 0]), near=0.8) is None
    found = find_plane(wall, cameras, CENTRE, None, near=0.8)
    assert found is not None and found.up[2] > 0.9999


@pytest.mark.parametrize("arc", [None, 5])
@pytest.mark.parametrize("heights", [(5.0, 50.0), (60.0, 75.0)])
def test_up_is_square_to_what_is_held_level(arc: int | None, heights: tuple[float, float]) -> None:
    T = poses(16, arc, *heights)
    up, is_sure = camera_up(T)
    assert is_sure and up[1] > 0.9999
    for orientations in ([6] * len(T), None):  # told by EXIF, and not
        sideways, is_sure = camera_up(on_their_side(T), orientations)
        assert is_sure and sideways == pytest.approx(up, abs=1e-6)


def test_pictures_that_hardly_turn_or_roll_are_not_sure_of_up() -> None:
    T = poses(360, 12)
    up, is_sure = camera_up(T)
    assert not is_sure and up[1] > 0.5
    rng = np.random.default_rng(0)
    rolled = poses(16)
    for pose in rolled:
        c, s = np.cos(turn := rng.uniform(-1.2, 1.2)), np.sin(turn)
        pose[:3, :2] = pose[:3, :2] @ np.array([[c, -s], [s, c]])
    assert not camera_up(rolled)[1]
    assert not camera_up(poses(16, 2))[1]
