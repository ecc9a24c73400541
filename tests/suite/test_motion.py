"""Depth between pixels, the motion of a subject between frames, and frames averaged with it undone."""

from __future__ import annotations

import numpy as np
import pytest

from suite.data.fusion import merge_frames, surface_edges
from suite.data.motion import Motion, find_motion
from suite.data.sampling import block_camera, depth_at, in_blocks, spread_out
from suite.geometry.camera import PinholeCamera
from suite.geometry.rotations import se3_exp, se3_inverse, transform_points

CAMERA = PinholeCamera(160, 200, 180.0, 180.0, 79.5, 99.5)
STILL = np.eye(4)


def height_m(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Relief (m, towards the camera) of a bumpy oval thing with a groove down its middle."""
    bumps = 0.02 * np.cos(18 * x + 1) * np.sin(14 * y + 0.5) - 0.006 * np.exp(-0.5 * (x / 0.006) ** 2)
    return bumps - 0.5 * x**2 - 0.2 * y**2


def depth_from(T: np.ndarray, swell_m: float = 0.0, camera: PinholeCamera = CAMERA) -> np.ndarray:
    """Exact depth of the thing, 0.8 m away, moved by T (camera frame); swollen in its upper half."""
    v, u = np.mgrid[: camera.height, : camera.width]
    ray = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1)
    back = se3_inverse(T)
    ray, start, along = ray @ back[:3, :3].T, back[:3, 3], np.full(u.shape, 0.8)
    x = y = np.zeros(u.shape)
    for _ in range(30):
        x, y, z = np.moveaxis(start + along[..., None] * ray, -1, 0)
        swollen = swell_m * np.exp(-0.5 * ((y + 0.12) / 0.05) ** 2)
        along = along + 0.7 * (0.8 - height_m(x, y) - swollen - z)
    return np.where((x / 0.22) ** 2 + (y / 0.3) ** 2 < 1, along, np.nan)


def moves(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    T = se3_exp(np.concatenate([rng.normal(0, 0.003, (n, 3)), rng.normal(0, 0.004, (n, 3))], axis=1))
    T[:, 2, 3] += 0.8 - (T[:, :3, :3] @ [0, 0, 0.8])[:, 2]  # turned where it stands
    T[:, :2, 3] -= (T[:, :3, :3] @ [0, 0, 0.8])[:, :2]
    return T


def in_coarse(depths: list[np.ndarray], size: int = 4) -> tuple[np.ndarray, PinholeCamera]:
    return np.stack([in_blocks(d, size) for d in depths]), block_camera(CAMERA, size)


def test_depth_between_pixels_is_bilinear_and_stops_at_edges():
    v, u = np.mgrid[:5, :6].astype(float)
    plane = 1 + 0.1 * u + 0.2 * v + 0.05 * u * v
    at = np.array([[0.0, 0.0], [2.5, 1.25], [4.0, 3.0], [4.9, 3.9]])
    expected = 1 + 0.1 * at[:, 0] + 0.2 * at[:, 1] + 0.05 * at[:, 0] * at[:, 1]
    np.testing.assert_allclose(depth_at(plane, at), expected)
    assert np.isnan(depth_at(plane, np.array([[-0.1, 1.0], [5.1, 1.0], [1.0, 4.5], [np.nan, 1.0]]))).all()
    plane[2, 2] = np.nan
    assert np.isnan(depth_at(plane, np.array([[1.5, 1.5], [2.5, 2.5]]))).all()
    assert np.isfinite(depth_at(plane, np.array([[3.5, 1.5]]))).all()
    step = np.where(u < 3, 1.0, 1.5)
    across = np.array([[2.5, 1.5], [1.5, 1.5]])
    assert np.isnan(depth_at(step, across, 0.1)).tolist() == [True, False]
    assert depth_at(step, across)[0] == pytest.approx(1.25)


def test_blocks_have_a_camera_of_their_own():
    x = np.linspace(0, 1, CAMERA.width)
    plane = 1.0 / (1 - 0.1 * (np.arange(CAMERA.width) - CAMERA.cx) / CAMERA.fx) * np.ones((CAMERA.height, 1))
    coarse = in_blocks(plane, 5)
    points = block_camera(CAMERA, 5).backproject(coarse)
    assert coarse.shape == (40, 32) and len(x) == 160
    np.testing.assert_allclose(points[..., 2] - 0.1 * points[..., 0], 1.0, atol=2e-4)
    holes = plane.copy()
    holes[:5, :5][np.arange(5), np.arange(5)] = np.nan  # 5 of 25
    holes[:5, 5:10][:, :2] = np.nan  # 10 of 25
    assert np.isfinite(in_blocks(holes, 5)[0, 0]) and np.isnan(in_blocks(holes, 5)[0, 1])
    back = spread_out(np.isfinite(in_blocks(holes, 5)), 5, *holes.shape)
    assert back[:5, :5].all() and not back[:5, 5:10].any() and back[5:].all()


def test_motion_is_found_to_fractions_of_a_millimetre():
    T = moves(5)
    depths, camera = in_coarse([depth_from(t) for t in T])
    motion = find_motion(depths, camera, reference=1)
    true = T @ se3_inverse(T[1])
    centre = motion.centre_m
    found, there = (transform_points(T, centre[None])[:, 0] for T in (motion.T_frame_ref, true))
    assert np.linalg.norm(there - centre, axis=1).max() > 0.003
    assert np.linalg.norm(found - there, axis=1).max() < 2e-4
    turned = np.swapaxes(true[:, :3, :3], 1, 2) @ motion.T_frame_ref[:, :3, :3]
    assert np.abs(turned - np.eye(3)).max() < 1e-3
    assert motion.overlap.min() > 0.8 and motion.apart_m.max() < 3e-4
    np.testing.assert_allclose(motion.against(3), motion.T_frame_ref @ se3_inverse(motion.T_frame_ref[3]))


def test_frames_of_another_shape_or_place_or_of_nobody_are_left_out():
    aside = np.eye(4)
    aside[0, 3] = 0.02
    swell_m = [0.0, 0.0, 0.006, 0.0, 0.007, 0.0]
    T = [*moves(6), aside]
    depths = [depth_from(t, s) for t, s in zip(T, [*swell_m, 0.0], strict=True)]
    gone = np.full(depths[0].shape, np.nan)
    coarse, camera = in_coarse([*depths, gone])
    motion = find_motion(coarse, camera, reference=0)
    reference, kept = motion.still(shape_m=0.0005, shift_m=0.015)
    assert kept.tolist() == [True, True, False, True, False, True, False, False]
    assert kept[reference]
    assert motion.overlap[-1] == 0 and np.isinf(motion.apart_m[-1, 0])
    assert motion.shift_m[6] == pytest.approx(0.02, abs=1.5e-3)
    assert np.degrees(motion.turn_rad[6]) < 0.5


def test_a_single_frame_is_still():
    coarse, camera = in_coarse([depth_from(STILL)])
    reference, kept = find_motion(coarse, camera).still(0.0005, 0.015)
    assert reference == 0 and kept.tolist() == [True]


def test_nobody_gives_no_motion():
    motion = find_motion(np.full((3, 10, 10), np.nan), PinholeCamera(10, 10, 9.0, 9.0, 5.0, 5.0))
    assert isinstance(motion, Motion) and (motion.overlap == 0).all()


def test_moved_frames_average_to_the_exact_surface_and_keep_the_groove():
    T = moves(6)
    frames = [depth_from(t) for t in T]
    true = T @ se3_inverse(T[2])
    merged = merge_frames(frames, true, CAMERA, frames[0])
    inner = np.isfinite(merged.depth_m) & np.isfinite(frames[2]) & ~surface_edges(frames[2], CAMERA)
    off = np.abs(merged.depth_m - frames[2])[inner]
    assert inner.sum() > 0.85 * np.isfinite(frames[2]).sum()
    assert np.percentile(off, 99) < 3e-4 and np.median(off) < 2e-5
    without = merge_frames(frames, np.tile(np.eye(4), (6, 1, 1)), CAMERA, frames[0])
    assert np.nanmedian(np.abs(without.depth_m - frames[2])[inner]) > 5e-4


def test_noise_falls_with_the_root_of_the_frames_and_is_told():
    rng, n, sigma = np.random.default_rng(0), 24, 0.001
    exact = depth_from(STILL)
    frames = [exact + rng.normal(0, sigma, exact.shape) for _ in range(n)]
    still = np.tile(np.eye(4), (n, 1, 1))
    mean, median = (merge_frames(frames, still, CAMERA, exact, mean=m) for m in (True, False))
    rms = [float(np.sqrt(np.nanmean((m.depth_m - exact) ** 2))) for m in (mean, median)]
    assert rms[0] == pytest.approx(sigma / np.sqrt(n), rel=0.1)
    assert rms[1] == pytest.approx(sigma / np.sqrt(n) * np.sqrt(np.pi / 2), rel=0.12)
    assert np.nanmedian(mean.noise_m) == pytest.approx(sigma, rel=0.1)


def test_outliers_do_not_count_and_holes_stay_open():
    rng, n = np.random.default_rng(1), 10
    exact = depth_from(STILL)
    frames = [exact + rng.normal(0, 2e-4, exact.shape) for _ in range(n)]
    for k in range(3):
        frames[k][100:110, 70:90] += 0.012  # flies in three of ten frames
    for k in range(7):
        frames[k][60:64, 70:74] = np.nan
    for frame in frames:
        frame[140:143, 60:64] = np.nan
    merged = merge_frames(frames, np.tile(np.eye(4), (n, 1, 1)), CAMERA, exact)
    assert np.abs(merged.depth_m - exact)[102:108, 72:88].max() < 4e-4
    assert (merged.count[102:108, 72:88] <= 7).all()
    assert np.isnan(merged.depth_m[60:64, 70:74]).all()  # three of ten are too few
    assert np.isnan(merged.depth_m[140:143, 60:64]).all()


def test_edges_are_outlines_and_jumps_but_no_groove_and_no_pinhole():
    depth = depth_from(STILL)
    depth[100, 60] = np.nan  # one pixel without depth
    depth[120:160, 90:110] -= 0.12  # something before it
    edge = surface_edges(depth, CAMERA, width_px=2)
    seen = np.isfinite(depth)
    assert not edge[~seen].any()
    groove = edge[60:115, 76:84]
    assert not groove.any() and not edge[98:103, 58:63].any()
    row = np.nonzero(seen[100])[0]
    assert edge[100, row[:2]].all() and edge[100, row[-2:]].all() and not edge[100, row[4]]
    assert edge[130, 88:92].all() and edge[130, 108:112].all() and not edge[140, 96:104].any()
