"""Scans in, back surfaces out: units, what is removed, refused or flagged and why; the body frame."""

from __future__ import annotations

import dataclasses
import json

import analytic_back
import numpy as np
import pytest

from spine import cleaning
from spine.scan import RawScan, read_scan
from spine.surface import BackSurface, align_to_body, back_surface, load_surface
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera
from suite.geometry.mesh import Mesh

CAMERA = PinholeCamera(width=320, height=400, fx=500.0, fy=500.0, cx=159.5, cy=199.5)
PATIENTS = [str(n) for n in range(1, 30, 2)]


def write_ply(path, points) -> None:
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n"
    head += "property float x\nproperty float y\nproperty float z\nend_header\n"
    path.write_bytes(head.encode() + np.asarray(points, "<f4").tobytes())


def depth_image(points_m: np.ndarray) -> np.ndarray:
    """Depth (m) of points in the camera frame: the nearest of those that fall on a pixel, 0 where none."""
    u, v = np.rint(CAMERA.project(points_m)).astype(int).T
    depth = np.full((CAMERA.height, CAMERA.width), np.inf)
    inside = (u >= 0) & (u < CAMERA.width) & (v >= 0) & (v < CAMERA.height)
    np.minimum.at(depth, (v[inside], u[inside]), points_m[inside, 2])
    return np.where(np.isfinite(depth), depth, 0.0)


@pytest.fixture(scope="module")
def back() -> BackSurface:
    return back_surface(analytic_back.in_camera(analytic_back.scan(hump_mm=10.0)))


def test_a_back_loads_without_flags_and_says_what_it_assumed(back):
    assert back.flags == ()
    assert back.mm_per_unit == 1000 and not back.gravity_known
    assert any("units: m" in note for note in back.notes) and any("up: -y" in note for note in back.notes)
    assert back.coverage > 0.97
    assert 0.2 < back.noise_mm < 0.4  # 0.3 mm were put in
    assert back.height() is back.height() and back.height(4.0).spacing_mm == 4


def test_T_body_input_maps_the_file_onto_the_points():
    points = analytic_back.in_camera(analytic_back.scan(n=5000))
    surface = back_surface(points)
    mapped = points * surface.mm_per_unit @ surface.T_body_input[:3, :3].T + surface.T_body_input[:3, 3]
    distance = np.linalg.norm(mapped[:, None] - surface.points_mm[None, :50], axis=2).min(0)
    assert distance.max() < 1e-9
    assert np.linalg.det(surface.T_body_input[:3, :3]) == pytest.approx(1)


@pytest.mark.parametrize(("unit", "scale"), [("m", 1.0), ("cm", 100.0), ("mm", 1000.0)])
def test_units_are_detected(unit, scale):
    surface = back_surface(analytic_back.in_camera(analytic_back.scan(n=6000)) * scale)
    assert surface.mm_per_unit == {"m": 1000, "cm": 10, "mm": 1}[unit]
    assert np.ptp(surface.points_mm[:, 1]) == pytest.approx(480, abs=5)


def test_wrong_units_are_refused_with_the_right_ones():
    points = analytic_back.in_camera(analytic_back.scan(n=6000))
    with pytest.raises(BadInput, match=r"extent 4\d\d m .*no person.*--units mm"):
        back_surface(points * 1000, units="m", where="giant.ply")
    with pytest.raises(BadInput, match=r"extent 0\.\d+ mm .*no person.*--units m"):
        back_surface(points, units="mm")
    with pytest.raises(BadInput, match="no person"):
        back_surface(points / 1000)


def test_too_few_or_no_points_are_refused():
    with pytest.raises(BadInput, match="holds no point"):
        back_surface(np.zeros((0, 3)))
    with pytest.raises(BadInput, match="1500 points are too few"):
        back_surface(analytic_back.in_camera(analytic_back.scan(n=1500)))
    with pytest.raises(BadInput, match="holds no point"):
        back_surface(np.full((9000, 3), np.nan))


def test_a_patch_of_skin_is_refused():
    points = analytic_back.scan(n=60_000)
    patch = points[(np.abs(points[:, 0]) < 60) & (np.abs(points[:, 1] - 200) < 60)]
    with pytest.raises(BadInput, match=r"no person|no back"):
        back_surface(analytic_back.in_camera(patch))


def test_not_finite_and_zero_points_are_left_out():
    points = analytic_back.in_camera(analytic_back.scan(n=8000))
    points[::4] = np.nan
    points[1::4] = 0.0
    surface = back_surface(points)
    assert len(surface.points_mm) <= 4000
    assert any("4000 points left out: not finite, or zero" in note for note in surface.notes)


def test_strays_islands_and_a_wall_go_and_the_back_stays():
    random = np.random.default_rng(0)
    back = analytic_back.in_camera(analytic_back.scan(n=20_000))
    x, y = random.uniform(-1.2, 1.2, (2, 40_000))
    wall = np.stack([x, y, 1.5 + 0.1 * x + 0.003 * random.standard_normal(40_000)], axis=1)
    chair = random.uniform([0.35, 0.1, 0.9], [0.5, 0.4, 1.0], (3000, 3))
    strays = random.uniform([-0.4, -0.3, 0.6], [0.4, 0.3, 1.3], (100, 3))
    surface = back_surface(np.concatenate([back, wall, chair, strays]))
    alone = back_surface(back)
    assert abs(len(surface.points_mm) - len(alone.points_mm)) < 60
    assert np.ptp(surface.points_mm, axis=0) == pytest.approx(np.ptp(alone.points_mm, axis=0), abs=12)
    assert any("wall" in note for note in surface.notes) and any("islands" in note for note in surface.notes)


def test_a_back_is_no_wall():
    assert not cleaning.on_wall(analytic_back.scan()).any()
    up = np.array([0, analytic_back.HEIGHT_MM, 0])
    body = np.concatenate([analytic_back.scan() + n * up for n in range(3)])
    assert not cleaning.on_wall(body).any()


def test_a_poor_scan_loads_with_its_flags():
    points = analytic_back.scan(n=5000, noise_mm=3.5)
    holes = np.zeros(len(points), bool)
    for x, y in ((60, 300), (-70, 200), (20, 100), (-50, 380), (70, 150)):
        holes |= np.hypot(points[:, 0] - x, points[:, 1] - y) < 38
    surface = back_surface(analytic_back.in_camera(points[~holes]))
    assert surface.noise_mm == pytest.approx(3.5, rel=0.2)
    assert {flag.split(":")[0] for flag in surface.flags} >= {"noisy", "sparse", "holes"}
    assert np.isfinite(surface.height().z_mm).all()


def test_noise_is_measured_whatever_the_spacing():
    for n, noise in ((4000, 0.5), (40_000, 0.5), (40_000, 3.5)):
        points = analytic_back.scan(n=n, noise_mm=noise)
        assert cleaning.point_noise_mm(points[np.abs(points[:, 0]) < 120]) == pytest.approx(noise, rel=0.12)


def test_dense_clouds_are_thinned_and_keep_their_place():
    points = analytic_back.scan(n=150_000)
    surface = back_surface(analytic_back.in_camera(points))
    assert 40_000 < len(surface.points_mm) <= 100_000
    assert any("thinned" in note for note in surface.notes)


def test_thin_out_keeps_means_and_indices():
    points = np.random.default_rng(0).uniform(0, 30, (4000, 3))
    means, first = cleaning.thin_out(points, 10.0)
    assert len(means) == 27 and len(np.unique(first)) == 27
    assert np.abs(means - points[first]).max() <= 10
    same = np.floor(points / 10) == np.floor(points[first[5]] / 10)
    assert means[5] == pytest.approx(points[same.all(1)].mean(0), abs=0.05)


def test_normals_point_to_the_viewer_and_stand_on_the_skin():
    random = np.random.default_rng(0)
    directions = random.standard_normal((20_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions[directions[:, 2] > 0.3]
    normals = cleaning.normals_of(200 * directions)
    assert (normals[:, 2] >= 0).all()
    assert np.median((normals * directions).sum(1)) > 0.999


def test_transformed_carries_the_transform_along(back):
    c, s = np.cos(0.3), np.sin(0.3)
    T = np.array([[c, 0, s, 10], [0, 1, 0, -20], [-s, 0, c, 5], [0, 0, 0, 1.0]])
    moved = back.transformed(T)
    assert moved.points_mm == pytest.approx(back.points_mm @ T[:3, :3].T + T[:3, 3])
    assert moved.T_body_input == pytest.approx(T @ back.T_body_input)
    again = moved.transformed(np.linalg.inv(T))
    assert again.points_mm == pytest.approx(back.points_mm, abs=1e-9)
    assert again.height() is not back.height()


@pytest.mark.parametrize("yaw_deg", [-25.0, 0.0, 12.0])
def test_align_to_body_puts_the_base_at_zero_and_takes_the_yaw_out(yaw_deg):
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    points = analytic_back.scan(noise_mm=0.0)
    landmarks = {
        u: np.array([0, u * 480, analytic_back.back_height_mm(np.zeros(1), np.array([u]))[0]])
        for u in (0.05, 0.95)
    }
    turned = BackSurface(points @ R.T, None, np.eye(4), 1.0, True, 0.3, 1.0)
    aligned = align_to_body(turned, vp_mm=R @ landmarks[0.95], base_mm=R @ landmarks[0.05])
    T = aligned.T_body_input
    assert T[:3, :3] @ R == pytest.approx(
        np.eye(3), abs=0.012
    )  # the turn is undone to .7 deg; up has not moved
    assert T @ [*(R @ landmarks[0.05]), 1] == pytest.approx([0, 0, 0, 1], abs=1e-9)
    vp = (T @ [*(R @ landmarks[0.95]), 1])[:3]
    u, x = aligned.points_mm[:, 1] / vp[1], aligned.points_mm[:, 0]
    band = (u > 0.05) & (u < 0.75) & (np.abs(x - u * vp[0]) < 110)
    A = np.stack([np.ones(band.sum()), (x - u * vp[0])[band], aligned.points_mm[band, 1]], axis=1)
    assert abs(np.linalg.lstsq(A, aligned.points_mm[band, 2], rcond=None)[0][1]) < 0.01


def test_align_to_body_refuses_landmarks_that_cannot_be(back):
    with pytest.raises(BadInput, match="above the base"):
        align_to_body(back, vp_mm=np.array([0, 0, 0.0]), base_mm=np.array([0, 50, 0.0]))
    with pytest.raises(BadInput, match="no skin between"):
        align_to_body(back, vp_mm=np.array([2000, 200, 0.0]), base_mm=np.array([2000, -200, 0.0]))


def test_a_surface_checks_itself(back):
    with pytest.raises(ValueError, match="finite"):
        dataclasses.replace(back, points_mm=np.full((5, 3), np.nan))
    with pytest.raises((ValueError, TypeError)):
        dataclasses.replace(back, colors=np.zeros((3, 3), np.uint8))


def test_files_clouds_and_truncated_files(tmp_path):
    path = tmp_path / "back.ply"
    write_ply(path, analytic_back.in_camera(analytic_back.scan(n=12_000)))
    assert load_surface(path).flags == ()
    path.write_bytes(path.read_bytes()[:40_000])
    with pytest.raises(BadInput, match=r"back\.ply"):
        load_surface(path)
    (tmp_path / "empty.ply").write_bytes(b"")
    with pytest.raises(BadInput, match="empty"):
        load_surface(tmp_path / "empty.ply")
    with pytest.raises(BadInput, match="no such file"):
        load_surface(tmp_path / "absent.ply")
    with pytest.raises(BadInput, match="not read"):
        (tmp_path / "back.doc").write_text("x")
        load_surface(tmp_path / "back.doc")


def test_a_coarse_mesh_is_sampled_with_its_colours(tmp_path):
    from suite.geometry.mesh_io import write_ply as write_mesh

    x, u = np.meshgrid(np.linspace(-0.95, 0.95, 40), np.linspace(0, 1, 60))
    x = x * analytic_back.half_width_mm(u)
    vertices = np.stack([x, u * 480, analytic_back.back_height_mm(x, u)], axis=-1).reshape(-1, 3)
    corner = (np.arange(59)[:, None] * 40 + np.arange(39)).ravel()
    faces = np.concatenate([corner[:, None] + [0, 1, 40], corner[:, None] + [1, 41, 40]])
    colors = np.tile(np.array([[200, 150, 120]], np.uint8), (len(vertices), 1))
    write_mesh(tmp_path / "back.ply", Mesh(vertices, faces, colors))
    surface = load_surface(tmp_path / "back.ply")
    assert surface.mm_per_unit == 1 and len(surface.points_mm) > 30_000
    assert surface.colors is not None and (surface.colors == [200, 150, 120]).all()
    assert any("sampled" in note for note in surface.notes)


def test_a_depth_image_needs_intrinsics_of_its_size(tmp_path):
    from suite.data.images import write_depth_png

    depth = depth_image(analytic_back.in_camera(analytic_back.scan(n=60_000)))
    path = tmp_path / "depth.png"
    write_depth_png(path, depth.astype(np.float32), 0.0001)
    with pytest.raises(BadInput, match="needs its camera's intrinsics"):
        load_surface(path)
    with pytest.raises(BadInput, match="320 x 400 px"):
        load_surface(path, intrinsics=dataclasses.replace(CAMERA, width=640))
    file = tmp_path / "intrinsics.json"
    file.write_text(json.dumps(CAMERA.to_json()))
    surface = load_surface(path, intrinsics=file, depth_unit_m=0.0001)
    assert surface.flags == () and np.ptp(surface.points_mm[:, 1]) == pytest.approx(480, abs=8)
    np.save(tmp_path / "depth.npy", depth)
    assert load_surface(tmp_path / "depth.npy", intrinsics=CAMERA.to_json()).mm_per_unit == 1000
    file.write_text("{")
    with pytest.raises(BadInput, match="JSON"):
        load_surface(path, intrinsics=file)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "depth.npy").read_bytes()[:5000])
    with pytest.raises(BadInput, match="array"):
        load_surface(tmp_path / "cut.npy", intrinsics=CAMERA)


def test_a_recording_is_fused_and_gives_gravity(tmp_path):
    from suite.data.rgbd import RecordingInfo, RgbdFrame, write_recording

    random = np.random.default_rng(0)
    depth = depth_image(analytic_back.in_camera(analytic_back.scan(n=60_000, noise_mm=0.0)))
    tilt = np.radians(8)
    info = RecordingInfo("test", 0.0001, CAMERA, gravity_camera=np.array([0, np.cos(tilt), np.sin(tilt)]))
    frames = []
    for i in range(9):
        noisy = np.where(depth > 0, depth + 0.003 * random.standard_normal(depth.shape), np.nan)
        frames.append(RgbdFrame(noisy.astype(np.float32), None, CAMERA, i / 30))
    write_recording(tmp_path / "recording", info, frames)
    surface = load_surface(tmp_path / "recording")
    assert surface.gravity_known and surface.mm_per_unit == 1000
    up = surface.T_body_input[:3, :3].T @ [0, 1, 0]
    assert up == pytest.approx([0, -np.cos(tilt), -np.sin(tilt)], abs=1e-6)
    assert surface.noise_mm < 2.0  # one frame has 3 mm


def test_the_format_states_the_unit():
    raw = RawScan(analytic_back.in_camera(analytic_back.scan(n=6000)) * 1000, unit="m")
    with pytest.raises(BadInput, match="no person"):
        back_surface(raw)
    assert back_surface(raw, units="mm").mm_per_unit == 1


def test_colours_follow_their_points():
    points = analytic_back.in_camera(analytic_back.scan(n=6000))
    colors = np.zeros((len(points), 3), np.uint8)
    colors[:, 0] = np.where(points[:, 0] > 0, 255, 0)
    surface = back_surface(RawScan(points, colors))
    assert surface.colors is not None
    right = surface.points_mm[:, 0] - np.median(surface.points_mm[:, 0]) > 2
    assert surface.colors[right, 0].mean() > 250


@pytest.mark.parametrize("patient", PATIENTS)
def test_real_backs_load_without_a_parameter(data, patient):
    """Structured-light scans in camera axes; also mirrored, and upside down in the file."""
    (path,) = sorted((data("spine/ais_backs") / "patients" / patient).glob("*_ds.ply"))
    surface = load_surface(path)
    assert surface.mm_per_unit == 1000 and surface.coverage > 0.95
    assert np.diag(surface.T_body_input)[:3] == pytest.approx([1, -1, -1], abs=0.05)
    assert not any("hardly" in flag or "tell apart" in flag for flag in surface.flags)
    points = read_scan(path).points[::4]
    mirrored = back_surface(points * [-1, 1, 1])
    assert np.diag(mirrored.T_body_input)[:3] == pytest.approx([1, -1, -1], abs=0.05)
    inverted = back_surface(points * [-1, -1, 1])
    assert np.diag(inverted.T_body_input)[:3] == pytest.approx([-1, 1, -1], abs=0.05)
