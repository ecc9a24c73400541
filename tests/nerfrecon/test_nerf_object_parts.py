"""Ground, hull, cuts and frames of the object, each by itself."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV is not installed")
from dataclasses import replace
from pathlib import Path

from nerfrecon.object.box import object_points, points_box, tightest_turn
from nerfrecon.object.cut import border_hints, border_model, cut, is_plain, tidied
from nerfrecon.object.frame import (
    boxed,
    scale_of,
    similarity,
    turned_about_y,
    upright_turn,
    widened,
)
from nerfrecon.object.ground_picture import picture_ground
from nerfrecon.object.hull import agreement, carve
from nerfrecon.object.small import Silhouette, SmallPicture
from nerfrecon.scene import View
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.simulate.orbit import ring_poses
from suite.geometry.camera import PinholeCamera

CAMERA = LensCamera(PinholeCamera(96, 72, 110.0, 110.0, 47.5, 35.5))


def ring(views: int = 12, lowest: float = 5.0, T: np.ndarray | None = None) -> list[View]:
    """Views of the place (0, 0.3, 0) from 3 away, in two heights; in a world that T has moved."""
    T = np.eye(4) if T is None else T
    R, scale = T[:3, :3] / scale_of(T), scale_of(T)
    views_ = []
    for k, pose in enumerate(ring_poses(np.array([0, 0.3, 0]), 3.0, views, lowest, 50.0, 2)):
        moved = np.eye(4)
        moved[:3, :3], moved[:3, 3] = R @ pose[:3, :3], scale * R @ pose[:3, 3] + T[:3, 3]
        views_.append(View(f"{k}.png", Path(f"{k}.png"), CAMERA, moved))
    return views_


def ball_and_ground(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points of a ball of radius 0.3 on a wide table, some stray; which are the ball's."""
    ball = rng.normal(size=(300, 3))
    ball = np.array([0, 0.3, 0]) + 0.3 * ball / np.linalg.norm(ball, axis=1, keepdims=True)
    table = np.column_stack(
        [rng.uniform(-1.2, 1.2, 600), rng.normal(size=600) * 0.002, rng.uniform(-1.2, 1.2, 600)]
    )
    stray = np.column_stack([rng.uniform(-1, 1, 20), rng.uniform(0.9, 1.5, 20), rng.uniform(-1, 1, 20)])
    return np.concatenate([ball, table, stray]), np.arange(920) < 300


@pytest.mark.parametrize("seed", range(4))
def test_the_smallest_turn_to_upright(seed: int) -> None:
    rng = np.random.default_rng(seed)
    up = rng.normal(size=3)
    R = upright_turn(up)
    assert np.allclose(R @ R.T, np.eye(3)) and np.linalg.det(R) == pytest.approx(1)
    assert np.allclose(R @ up / np.linalg.norm(up), [0, 1, 0])
    axis = np.cross(up, [0, 1, 0])
    assert np.allclose(R @ axis, axis)
    assert np.allclose(upright_turn(np.array([0.0, -2, 0])) @ [0, -1, 0], [0, 1, 0])
    T = similarity(R, rng.normal(size=3), 3.5)
    assert scale_of(T) == pytest.approx(3.5)


def test_the_objects_points_are_those_above_the_ground() -> None:
    points, own = ball_and_ground(np.random.default_rng(1))
    found = object_points(points, ring(), np.array([0, 0.3, 0]), True)
    low = points[:, 1] < 0.05
    assert (found[own & ~low]).mean() > 0.95 and not found[~own].any()
    box = points_box(points[found], True)
    assert box[0, 1] == 0 and np.allclose(box, [[-0.3, 0, -0.3], [0.3, 0.6, 0.3]], atol=0.03)
    assert np.allclose(widened(box, 0.1) - box, 0.1 * np.ptp(box, axis=0).max() * np.array([[-1], [1]]))


def test_a_brick_is_turned_into_its_box() -> None:
    rng = np.random.default_rng(0)
    brick = rng.uniform(-1, 1, (4000, 3)) * [2, 1, 0.5]
    for angle in (-0.6, 0.3, 0.0):
        turned = brick @ turned_about_y(angle).T
        back = turned @ turned_about_y(tightest_turn(turned[:, [0, 2]])).T
        assert np.prod(np.ptp(boxed(back), axis=0)) < 1.03 * 8


def test_hull_of_a_ball_and_a_bad_mask() -> None:
    views = ring(16)
    middle = np.array([0, 0.3, 0])
    silhouettes = []
    v, u = np.mgrid[:72, :96]
    rays = CAMERA.directions(np.stack([u, v], -1).astype(np.float64))
    for view in views:
        ways = rays @ view.T_world_camera[:3, :3].T
        ways /= np.linalg.norm(ways, axis=-1, keepdims=True)
        off = np.linalg.norm(np.cross(middle - view.position, ways), axis=-1)
        silhouettes.append(Silhouette(view, CAMERA, off < 0.3))
    box = np.array([[-0.5, 0, -0.5], [0.5, 1, 0.5]])
    hull = carve(silhouettes, box, 48)
    volume = hull.kept.sum() * hull.step**3
    assert 0.95 < volume / (4 / 3 * np.pi * 0.027) < 1.5  # a hull holds what it is of
    for one in silhouettes:
        assert agreement(one.mask, hull.outline(one)) > 0.9
    bad = [replace(silhouettes[0], mask=np.roll(silhouettes[0].mask, 30, 1)), *silhouettes[1:]]
    voted = carve(bad, box, 48)
    assert voted.kept.sum() > 0.94 * hull.kept.sum()  # one is outvoted
    scores = [agreement(one.mask, voted.outline(one)) for one in bad]
    assert scores[0] < 0.5 and min(scores[1:]) > 0.85
    nothing = [replace(one, mask=np.zeros((72, 96), bool)) for one in silhouettes]
    assert not carve(nothing, box, 24).kept.any() and agreement(nothing[0].mask, nothing[1].mask) == 1


def test_the_ground_is_what_most_pictures_show() -> None:
    views = ring(12, 30.0)
    rng = np.random.default_rng(0)
    v, u = np.mgrid[:72, :96]
    rays = CAMERA.directions(np.stack([u, v], -1).astype(np.float64))
    smalls, truths = [], []
    for view in views:
        ways = rays @ view.T_world_camera[:3, :3].T
        place = view.position + (-view.position[1] / ways[..., 1])[..., None] * ways
        stripes = 110 + 60 * np.sin(4 * place[..., 0]) * np.cos(3 * place[..., 2])
        unit = ways / np.linalg.norm(ways, axis=-1, keepdims=True)
        ball = np.linalg.norm(np.cross(np.array([0, 0.3, 0]) - view.position, unit), axis=-1) < 0.3
        grey = np.where(ball, 215, stripes) * rng.uniform(0.8, 1.1)
        smalls.append(SmallPicture(view, CAMERA, np.repeat(grey[..., None], 3, 2).round().astype(np.uint8)))
        truths.append(ball)
    foot = 0.1 * np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    ground = picture_ground(smalls, np.zeros(2), 1.2, foot)
    for small, ball in zip(smalls, truths, strict=True):
        difference = ground.difference(small)
        known = np.isfinite(difference)
        assert known.mean() > 0.3
        assert (difference[known & ball] > 1.5).mean() > 0.8
        assert (difference[known & ~ball] < 1.5).mean() > 0.9
    assert np.isnan(ground.colour[128, 128]).all()  # where the object stands


def test_a_plain_background_is_cut_off() -> None:
    rng = np.random.default_rng(0)
    v, u = np.mgrid[:90, :120]
    disc = (u - 60) ** 2 + (v - 45) ** 2 < 30**2
    picture = np.repeat((225 - 0.2 * u)[..., None], 3, 2) + rng.normal(size=(90, 120, 3))
    picture[disc] = [150, 60, 40] + 20 * rng.normal(size=(disc.sum(), 3))
    rgb = picture.clip(0, 255).astype(np.uint8)
    difference, spread = border_model(rgb)
    assert is_plain(spread) and difference[~disc].mean() < 3 < 20 < difference[disc].mean()
    mask = tidied(cut(rgb, border_hints(difference, 8.0), np.ones_like(disc)))
    assert agreement(mask, disc) > 0.97
    noisy = rng.integers(0, 255, (90, 120, 3)).astype(np.uint8)
    assert not is_plain(border_model(noisy)[1])
    speck = mask.copy()
    speck[3, 3], speck[45, 60] = True, False
    assert np.array_equal(tidied(speck), mask)
