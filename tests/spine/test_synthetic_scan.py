"""Scans and depth images of simulated backs, and the files that keep them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from scipy.spatial import KDTree

from spine.synthetic import (
    D415,
    D435,
    DepthCamera,
    ScanConfig,
    SimulatedSubject,
    depth_frame,
    load_truth,
    record,
    save_subject,
    scan_points,
    simulate_subject,
    truth_of,
)
from spine.synthetic.camera import camera_behind, exact_depth
from spine.synthetic.render import DARK, render
from suite.data.rgbd import read_recording
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera
from suite.geometry.mesh import PointCloud
from suite.geometry.mesh_io import read_geometry

SMALL = DepthCamera("small", PinholeCamera(120, 212, 106.0, 106.0, 59.5, 105.5), 0.05)


@pytest.fixture(scope="module")
def person() -> SimulatedSubject:
    return simulate_subject(7)


def interior(depth_m: np.ndarray, pixels: int) -> np.ndarray:
    """Pixels of the body at least so far from its outline."""
    return np.asarray(binary_erosion(np.isfinite(depth_m), iterations=pixels), bool)


def in_body(points: np.ndarray, T: np.ndarray) -> np.ndarray:
    return (points - T[:3, 3]) @ T[:3, :3]


def test_a_scan_without_noise_lies_on_the_skin(person: SimulatedSubject) -> None:
    scan = scan_points(person, noise_mm=0.0, rng=np.random.default_rng(0), n_points=20_000)
    T = scan.T_scan_body
    assert np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3)) and np.linalg.det(T[:3, :3]) == pytest.approx(1)
    p = in_body(scan.cloud.points, T)
    assert len(p) == 20_000
    assert np.abs(person.skin.sample(p[:, 0], p[:, 1]) - p[:, 2]).max() < 1e-6
    assert (scan.cloud.points[:, 2] > 300).all()  # in front of the scanner, which looks along z
    assert np.ptp(p[:, 1]) > person.trunk_length_mm


@pytest.mark.parametrize("noise_mm", [0.5, 2.0])
def test_noise_has_the_stated_size_along_the_line_of_sight(person: SimulatedSubject, noise_mm: float) -> None:
    clean, noisy = (
        scan_points(person, noise_mm=n, rng=np.random.default_rng(1), n_points=20_000)
        for n in (0.0, noise_mm)
    )
    error = noisy.cloud.points - clean.cloud.points
    assert np.sqrt((error**2).sum(1).mean()) == pytest.approx(noise_mm, rel=0.15)
    sight = clean.cloud.points / np.linalg.norm(clean.cloud.points, axis=1, keepdims=True)
    assert np.abs(np.linalg.norm(error, axis=1) - np.abs((error * sight).sum(1))).max() < 1e-9


def test_part_of_the_noise_is_shared_by_neighbours(person: SimulatedSubject) -> None:
    def correlation(share: float) -> float:
        config = ScanConfig(correlated_share=share)
        clean, noisy = (
            scan_points(person, noise_mm=n, rng=np.random.default_rng(2), n_points=15_000, config=config)
            for n in (0.0, 1.0)
        )
        error = (noisy.cloud.points - clean.cloud.points)[:, 2]
        near = np.asarray(KDTree(clean.cloud.points).query(clean.cloud.points, k=2)[1])[:, 1]
        return float(np.corrcoef(error, error[near])[0, 1])

    assert correlation(0.0) < 0.08 and correlation(0.6) > 0.4


def test_scans_end_where_clothes_and_hair_begin_and_have_holes(person: SimulatedSubject) -> None:
    config = ScanConfig(below_base_mm=(30.0, 30.0), above_vp_mm=(20.0, 20.0))
    scan = scan_points(person, noise_mm=0.0, rng=np.random.default_rng(5), config=config)
    p = in_body(scan.cloud.points, scan.T_scan_body)
    assert p[:, 1].min() > -30.001 and p[:, 1].max() < person.vp_mm[1] + 20.001
    with pytest.raises(BadInput, match="noise"):
        scan_points(person, noise_mm=-1.0, rng=np.random.default_rng(0))


def test_exact_depth_lies_on_the_skin(person: SimulatedSubject) -> None:
    T = camera_behind(person, 0.8)
    turned = T.copy()
    c, s = np.cos(0.1), np.sin(0.1)
    turned[:3, :3] = T[:3, :3] @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    for T_camera_body in (T, turned):
        depth, place = exact_depth(person, SMALL.camera, T_camera_body)
        p = SMALL.camera.backproject(depth)
        seen = np.isfinite(depth)
        assert seen.mean() > 0.05
        body = in_body(p[seen], T_camera_body) * 1000
        assert np.allclose(body[:, :2], place[seen], atol=1e-6)
        body = body[person.skin.is_observed(body[:, 0], body[:, 1]) & (np.abs(body[:, 0]) < 90)]
        assert len(body) > 1000
        miss = np.abs(person.skin.sample(body[:, 0], body[:, 1]) - body[:, 2])
        assert np.median(miss) < 0.05 and np.quantile(miss, 0.97) < 0.3


@pytest.mark.parametrize("camera", [D435, D415], ids=lambda c: c.name)
def test_depth_noise_grows_with_the_square_of_distance(person: SimulatedSubject, camera: DepthCamera) -> None:
    sigma = []
    for distance_m in (0.7, 1.4):
        frame = depth_frame(person, camera, distance_m, rng=np.random.default_rng(3), background_m=2.5)
        depth, _ = exact_depth(person, camera.camera, camera_behind(person, distance_m))
        inner = interior(depth, 4)
        relative = (frame.depth_m - depth)[inner] / camera.sigma_m(depth[inner])
        assert (
            abs(np.nanmean(relative)) < 0.4
        )  # the fixed errors are long: few independent ones fit on a back
        sigma.append(np.nanstd((frame.depth_m - depth)[inner]) / np.nanmean(depth[inner]) ** 2)
        step = camera.disparity_step / camera.subpixel / np.sqrt(12)
        assert np.nanstd(relative) == pytest.approx(np.hypot(1, step), rel=0.15)
    assert sigma[1] == pytest.approx(sigma[0], rel=0.15)


def test_depth_is_quantised_in_disparity_and_flies_only_at_the_outline(person: SimulatedSubject) -> None:
    frame = depth_frame(person, D435, 0.8, rng=np.random.default_rng(4), background_m=1.6)
    depth, _ = exact_depth(person, D435.camera, camera_behind(person, 0.8))
    disparity = D435.camera.fx * D435.baseline_m / frame.depth_m.astype(np.float64)
    steps = disparity[np.isfinite(disparity)] / D435.disparity_step
    assert np.abs(steps - np.round(steps)).max() < 1e-2  # float32 depth
    far = np.abs(frame.depth_m - depth) > 0.05
    assert far.sum() > 50
    assert not far[interior(depth, 3)].any()


def test_markers_alone_are_blue_and_skin_is_seen_as_one_hue() -> None:
    for seed in (7, 8, 9):
        person = simulate_subject(seed)
        frame = depth_frame(person, D435, 0.8, rng=np.random.default_rng(4), background_m=1.6)
        view = render(person, D435.camera, camera_behind(person, 0.8))
        assert frame.color is not None and view.color is not None
        red, _, blue = np.moveaxis(frame.color.astype(float), -1, 0)
        apart = np.full(blue.shape, np.inf)
        for marker in person.markers_mm:
            apart = np.minimum(
                apart, np.linalg.norm(np.nan_to_num(view.place_mm, nan=1e6) - marker[:2], axis=-1)
            )
        assert (apart[blue > red + 15] < 8).all()
        back = person.skin.is_observed(*np.moveaxis(view.place_mm, -1, 0)) & (apart > 10)
        back &= view.place_mm[..., 1] > -30  # below begin trousers
        assert back.sum() > 10_000 and (red[back] > blue[back]).mean() > 0.98
        assert (view.color[~np.isfinite(view.depth_m)] == DARK).all()


def test_a_recording_averages_to_the_truth_but_for_its_fixed_part(
    person: SimulatedSubject, tmp_path: Path
) -> None:
    T = record(
        person, tmp_path / "r", SMALL, rng=np.random.default_rng(0), n_frames=8, sway_mm=0.0, sway_deg=0.0
    )
    frames = read_recording(tmp_path / "r")
    assert len(frames) == 8 and frames.info.device == "simulated small"
    assert np.allclose(T, T[0]) and frames.info.gravity_camera == pytest.approx([0, 1, 0])
    depth, _ = exact_depth(person, SMALL.camera, T[0])
    inner = interior(depth, 4)
    errors = np.array([f.depth_m[inner] - depth[inner] for f in frames]) / SMALL.sigma_m(depth[inner])
    single, mean = np.nanstd(errors[0]), np.nanstd(np.nanmean(errors, axis=0))
    assert np.sqrt(SMALL.fixed_share) * 0.8 < mean / single < 0.85


def test_people_sway_and_breathe(person: SimulatedSubject, tmp_path: Path) -> None:
    T = record(
        person,
        tmp_path / "r",
        SMALL,
        rng=np.random.default_rng(0),
        n_frames=5,
        sway_mm=3.0,
        breath_mm=4.0,
        fps=2.0,
    )
    assert len(read_recording(tmp_path / "r")) == 5
    moved = np.linalg.norm(T[1:, :3, 3] - T[0, :3, 3], axis=1)
    assert 0.0003 < moved.max() < 0.05
    still, place = exact_depth(person, SMALL.camera, T[0])
    full, _ = exact_depth(person, SMALL.camera, T[0], breath_mm=4.0)
    x, u = place[..., 0], place[..., 1] / person.vp_mm[1]
    rise = (still - full) * 1000
    assert rise[(np.abs(x) < 60) & (np.abs(u - 0.68) < 0.04)] == pytest.approx(4.0, abs=0.6)
    assert np.abs(rise[(np.abs(x) < 60) & (np.abs(u) < 0.04)]).max() < 0.2


def test_truth_round_trip(person: SimulatedSubject, tmp_path: Path) -> None:
    scan = scan_points(person, noise_mm=1.0, rng=np.random.default_rng(6), n_points=5000)
    save_subject(person, tmp_path / "s", scan, camera=SMALL, n_frames=2)
    truth, expected = load_truth(tmp_path / "s"), truth_of(person, scan)
    for name, value in vars(expected).items():
        if name != "T_camera_body":
            assert np.array_equal(getattr(truth, name), value), name
    assert truth.T_camera_body.shape == (2, 4, 4)
    cloud = read_geometry(tmp_path / "s" / "scan.ply")
    assert isinstance(cloud, PointCloud)
    assert np.allclose(cloud.points * 1000, scan.cloud.points)
    away = KDTree(cloud.points * 1000).query(truth.in_scan(truth.line_mm[5:-5]))[0]
    assert np.median(away) < 8  # the line lies among the points
    with pytest.raises(BadInput, match="exists already"):
        save_subject(person, tmp_path / "s", scan)
    assert json.loads((tmp_path / "s" / "truth.json").read_text())["config"]["grid_mm"] == 2.0


def test_nothing_is_left_of_a_failed_write(person: SimulatedSubject, tmp_path: Path) -> None:
    scan = scan_points(person, noise_mm=1.0, rng=np.random.default_rng(6), n_points=2000)
    with pytest.raises(TypeError):
        save_subject(person, tmp_path / "s", scan, camera=SMALL, no_such_option=1)
    assert not list(tmp_path.iterdir())


def test_bad_truth_is_named(person: SimulatedSubject, tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    with pytest.raises(BadInput, match="no such file"):
        load_truth(path)
    path.write_text('{"format": ')
    with pytest.raises(BadInput, match=r"truth\.json:1: is not JSON"):
        load_truth(path)
    path.write_text("{}")
    with pytest.raises(BadInput, match="is not the truth"):
        load_truth(path)
    path.write_text('{"format": "simulated-back", "version": 1, "seed": 3}')
    with pytest.raises(BadInput, match="lacks curve_type"):
        load_truth(path)
