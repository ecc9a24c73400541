"""RGB-D frames, recordings on disk and their fusion, over a synthetic camera that looks at a curved wall."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suite.data.images import write_depth_png, write_image
from suite.data.rgbd import (
    RecordingInfo,
    RecordingWriter,
    RgbdFrame,
    find_frame,
    fuse_tsdf,
    median_depth,
    read_recording,
    read_rgbd_frame,
    write_recording,
)
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera
from suite.geometry.rotations import se3_exp

CAMERA = PinholeCamera(48, 36, 60.0, 61.0, 23.4, 17.8)
COLOR_CAMERA = PinholeCamera(96, 64, 110.0, 111.0, 47.0, 31.5)
T_COLOR_DEPTH = se3_exp(np.array([0.015, 0.001, -0.002, 0.004, -0.003, 0.002]))
INFO = RecordingInfo(
    "synthetic", 0.0001, CAMERA, gravity_camera=np.array([0.0, 1.0, 0.0]), presets={"laser": 150}
)


def wall_m() -> np.ndarray:
    """Depth of a cylinder with its axis along y, 0.8 m in front, bulging 0.1 m towards the camera."""
    u = (np.arange(CAMERA.width) - CAMERA.cx) / CAMERA.fx
    return np.tile((0.8 + 0.4 * u**2).astype(np.float32), (CAMERA.height, 1))


def frames(n: int, noise_m: float = 0.002, holes: float = 0.1, color: bool = True) -> list[RgbdFrame]:
    rng = np.random.default_rng(n)
    made = []
    for i in range(n):
        depth_m = wall_m() + rng.normal(0, noise_m, wall_m().shape)
        depth_m[rng.random(depth_m.shape) < holes] = np.nan
        rgb = rng.integers(0, 256, (CAMERA.height, CAMERA.width, 3)).astype(np.uint8) if color else None
        made.append(RgbdFrame(depth_m.astype(np.float32), rgb, CAMERA, 10 + i / 30, INFO.gravity_camera))
    return made


@pytest.fixture
def recorded(tmp_path) -> Path:
    write_recording(tmp_path / "rec", INFO, frames(5))
    return tmp_path / "rec"


def test_recording_round_trip(tmp_path):
    given_frames = frames(3)
    write_recording(tmp_path / "rec", INFO, given_frames)
    recording = read_recording(tmp_path / "rec")
    assert len(recording) == 3
    assert recording.info.to_json() == INFO.to_json()
    for frame, original in zip(recording, given_frames, strict=True):
        np.testing.assert_array_equal(np.isnan(frame.depth_m), np.isnan(original.depth_m))
        assert np.nanmax(np.abs(frame.depth_m - original.depth_m)) <= 0.5e-4 + 1e-6
        np.testing.assert_array_equal(frame.color, original.color)
        assert frame.timestamp_s == original.timestamp_s
        np.testing.assert_array_equal(frame.gravity_camera, [0, 1, 0])
    assert recording[-1].timestamp_s == recording[2].timestamp_s
    with pytest.raises(IndexError):
        recording[3]
    # What was read is written back bit by bit.
    write_recording(tmp_path / "again", INFO, recording)
    for i in range(3):
        np.testing.assert_array_equal(read_recording(tmp_path / "again").counts(i), recording.counts(i))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    twist=st.lists(st.floats(-0.5, 0.5), min_size=6, max_size=6),
    unit=st.sampled_from([0.001, 0.0001, 0.00025]),
    down=st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda v: np.linalg.norm(v) > 0.1),
)
def test_info_round_trip(twist, unit, down):
    gravity = np.array(down) / np.linalg.norm(down)
    info = RecordingInfo(
        "d", unit, CAMERA, COLOR_CAMERA, se3_exp(np.array(twist)), gravity, {"a": [1, {"b": None}]}
    )
    again = RecordingInfo.from_json(json.loads(json.dumps(info.to_json())))
    assert (again.device, again.depth_unit_m, again.presets) == (info.device, unit, info.presets)
    assert (again.camera_depth, again.camera_color) == (CAMERA, COLOR_CAMERA)
    np.testing.assert_array_equal(again.T_color_depth, info.T_color_depth)
    assert again.gravity_camera is not None
    np.testing.assert_allclose(again.gravity_camera, gravity, rtol=1e-15)


def test_color_of_another_camera_is_registered_to_depth(tmp_path):
    # The colour camera paints each of its pixels with its own coordinates, so the lookup can be read off.
    v, u = np.mgrid[: COLOR_CAMERA.height, : COLOR_CAMERA.width]
    painted = np.stack([u, v, np.full_like(u, 200)], axis=-1).astype(np.uint8)
    depth_m = wall_m()
    depth_m[3, 4] = np.nan
    info = replace(INFO, camera_color=COLOR_CAMERA, T_color_depth=T_COLOR_DEPTH)
    with RecordingWriter(tmp_path / "rec", info) as writer:
        writer.add(depth_m, 0.0, painted)
        writer.add(depth_m, 0.1)
    frame, without = read_recording(tmp_path / "rec")
    assert without.color is None and frame.color is not None
    for row, column in ((6, 5), (18, 20), (30, 44)):
        x, y, z = CAMERA.backproject(frame.depth_m)[row, column]
        p = (T_COLOR_DEPTH @ [x, y, z, 1.0])[:3]
        expected = [110.0 * p[0] / p[2] + 47.0, 111.0 * p[1] / p[2] + 31.5]
        assert np.abs(frame.color[row, column, :2] - np.array(expected)).max() <= 0.5 + 1e-6
    assert frame.color[3, 4].tolist() == [0, 0, 0]
    with pytest.raises(BadInput, match="registered"):
        write_recording(tmp_path / "other", info, [frame])


def test_points_outside_the_colour_image_are_black(tmp_path):
    narrow = PinholeCamera(20, 36, 60.0, 61.0, 9.5, 17.8)
    with RecordingWriter(tmp_path / "rec", replace(INFO, camera_color=narrow)) as writer:
        writer.add(wall_m(), 0.0, np.full((36, 20, 3), 99, np.uint8))
    color = read_recording(tmp_path / "rec")[0].color
    assert color is not None
    seen = np.any(color, axis=2)
    assert 0 < seen.sum() < seen.size
    assert not seen[:, 0].any() and not seen[:, -1].any() and seen[:, 24].all()


CRASH = """
import os, sys, numpy as np
from suite.data.rgbd import RecordingInfo, RecordingWriter
from suite.geometry.camera import PinholeCamera
writer = RecordingWriter(sys.argv[1], RecordingInfo("synthetic", 0.001, PinholeCamera(8, 6, 9, 9, 4, 3)))
for i in range(4):
    writer.add(np.full((6, 8), 1.0 + i), i / 30)
(writer.folder / "depth" / "000004.png").write_bytes(b"\\x89PNG half an im")
writer._lines.write('{"timestamp_s": 0.13, "dep')
writer._lines.flush()
os._exit(9)
"""


def test_a_killed_writer_leaves_what_was_there(tmp_path):
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path / "rec")], cwd=Path(__file__).parents[2])
    assert done.returncode == 9
    recording = read_recording(tmp_path / "rec")
    assert len(recording) == 4
    assert [float(f.depth_m[0, 0]) for f in recording] == [1, 2, 3, 4]


def test_a_recording_that_fails_to_be_copied_leaves_nothing(tmp_path):
    def broken():
        yield frames(1)[0]
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        write_recording(tmp_path / "rec", INFO, broken())
    assert not list(tmp_path.iterdir())


def test_the_writer_does_not_write_over_anything(recorded):
    with pytest.raises(BadInput, match="exists already"):
        RecordingWriter(recorded, INFO)
    with pytest.raises(BadInput, match="exists already"):
        write_recording(recorded, INFO, frames(1))


def edit(path: Path, **changes) -> None:
    values = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            del values[key]
        else:
            values[key] = value
    path.write_text(json.dumps(values))


def test_no_recording_json(tmp_path):
    with pytest.raises(BadInput, match="no such recording"):
        read_recording(tmp_path / "none")
    with pytest.raises(BadInput, match=r"has no recording\.json"):
        read_recording(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "video"}, "format is 'video'"),
        ({"version": 2}, "version 2 is not read; this release reads 1"),
        ({"camera_depth": None}, "lacks camera_depth"),
        ({"depth_unit_m": 1.0}, "depth_unit_m is 1.0"),
        ({"depth_unit_m": "mm"}, "wrong type"),
        (
            {"camera_depth": {"width": 48, "height": 36, "fx": 60}},
            "camera_depth: camera intrinsics lack fy, cx, cy",
        ),
        (
            {"camera_depth": {**CAMERA.to_json(), "width": 50}},
            "frame 0: depth/000000.png is 48 x 36 px, not 50",
        ),
        ({"gravity_camera": [0, 9.81, 0]}, "gravity_camera is .*unit vector"),
        ({"T_color_depth": np.eye(4).tolist()}, "without camera_color"),
    ],
)
def test_a_wrong_key_is_named(recorded, changes, message):
    edit(recorded / "recording.json", **changes)
    with pytest.raises(BadInput, match=message) as caught:
        read_recording(recorded)
    assert "rec" in str(caught.value).split(":")[0]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: (r / "recording.json").write_text('{"format": \n oops'), "recording.json:2: is not JSON"),
        (lambda r: (r / "recording.json").write_text("[]"), "not a JSON object"),
        (lambda r: (r / "frames.jsonl").unlink(), "frames.jsonl: no such file"),
        (lambda r: (r / "frames.jsonl").write_text(""), "holds no whole frame"),
        (lambda r: (r / "frames.jsonl").write_text("{}\n"), "frames.jsonl:1: line not understood"),
        (lambda r: (r / "depth/000003.png").unlink(), "frame 3: depth/000003.png is missing"),
        (lambda r: (r / "color/000001.png").unlink(), "frame 1: color/000001.png is missing"),
        (
            lambda r: (r / "depth/000002.png").write_bytes(b""),
            r"frame 2: depth/000002.png is empty \(0 bytes\)",
        ),
        (lambda r: (r / "depth/000002.png").write_bytes(b"abc"), "frame 2: depth/000002.png is not an image"),
        (
            lambda r: write_depth_png(r / "depth/000004.png", np.ones((36, 47)), 0.001),
            "frame 4: depth/000004.png is 47 x 36 px",
        ),
        (
            lambda r: (r / "frames.jsonl").write_text('{"timestamp_s": 0, "depth": "../../x.png"}\n'),
            "lies outside the recording",
        ),
    ],
)
def test_what_is_missing_or_damaged_is_named(recorded, spoil, message):
    spoil(recorded)
    with pytest.raises(BadInput, match=message):
        read_recording(recorded)


def test_a_frame_cut_in_its_data_is_named_on_access(recorded):
    path = recorded / "depth/000001.png"
    path.write_bytes(path.read_bytes()[:-200])
    recording = read_recording(recorded)
    assert recording[0].depth_m.shape == (36, 48)
    with pytest.raises(BadInput, match=r"000001\.png: cannot be decoded"):
        recording[1]


def test_eight_bit_depth_is_named_on_access(recorded):
    write_image(recorded / "depth/000000.png", np.zeros((36, 48, 3), np.uint8))
    with pytest.raises(BadInput, match="not 16-bit grey"):
        read_recording(recorded)[0]


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_median_depth_is_the_median_of_what_was_seen(tmp_path, n):
    write_recording(tmp_path / "rec", INFO, frames(n, holes=0.4))
    recording = read_recording(tmp_path / "rec")
    frame, count = median_depth(recording)
    stack = np.stack([f.depth_m for f in recording]).astype(np.float64)
    np.testing.assert_array_equal(count, np.isfinite(stack).sum(axis=0))
    seen = count > 0
    assert not seen.all() or n > 5
    np.testing.assert_array_equal(np.isfinite(frame.depth_m), seen)
    np.testing.assert_allclose(frame.depth_m[seen], np.nanmedian(stack[:, seen], axis=0), rtol=2e-7)
    often, _ = median_depth(recording, min_count=n)
    np.testing.assert_array_equal(np.isfinite(often.depth_m), count == n)


def test_median_depth_lowers_noise(tmp_path):
    write_recording(tmp_path / "rec", INFO, frames(25, noise_m=0.004))
    recording = read_recording(tmp_path / "rec")
    median, _ = median_depth(recording)

    def rms_m(frame: RgbdFrame) -> float:
        return float(np.sqrt(np.nanmean((frame.depth_m - wall_m()) ** 2)))

    assert rms_m(median) < 0.35 * rms_m(recording[0])  # theory: sqrt(pi / 2 / 22) = 0.27
    assert median.timestamp_s == recording.timestamps_s[12]
    np.testing.assert_array_equal(median.gravity_camera, [0, 1, 0])


def test_median_of_nothing(tmp_path):
    with RecordingWriter(tmp_path / "rec", INFO) as writer:
        writer.add(np.zeros((36, 48)), 0.0)
    with pytest.raises(BadInput, match="no pixel has depth in 1 of 1 frames"):
        median_depth(read_recording(tmp_path / "rec"))


@pytest.mark.parametrize("color", [True, False])
def test_tsdf_finds_the_wall(tmp_path, color):
    pytest.importorskip("open3d")
    write_recording(tmp_path / "rec", INFO, frames(6, noise_m=0.001, color=color))
    mesh = fuse_tsdf(read_recording(tmp_path / "rec"), voxel_m=0.01, trunc_m=0.04)
    x, _, z = mesh.vertices.T
    error_m = z - (0.8 + 0.4 * (x / z) ** 2)
    assert len(mesh.vertices) > 500
    assert abs(np.median(error_m)) < 0.002 and np.percentile(np.abs(error_m), 90) < 0.004
    assert np.median(mesh.face_normals()[:, 2]) < -0.8  # towards the camera
    assert (mesh.vertex_colors is not None) == color


def test_tsdf_refuses(recorded):
    with pytest.raises(BadInput, match="truncation"):
        fuse_tsdf(read_recording(recorded), voxel_m=0.01, trunc_m=0.001)


def test_frame_cloud_keeps_points_and_colours_together():
    frame = frames(1)[0]
    cloud = frame.cloud()
    assert len(cloud) == np.isfinite(frame.depth_m).sum()
    assert cloud.colors is not None and frame.color is not None
    u, v = np.round(CAMERA.project(cloud.points)).astype(int).T
    np.testing.assert_array_equal(frame.color[v, u], cloud.colors)


def test_frame_refuses_sizes_that_disagree():
    with pytest.raises(BadInput, match="40 x 36 px but its camera is 48 x 36 px"):
        RgbdFrame(np.ones((36, 40), np.float32), None, CAMERA)
    # Past the tests' own check of the signature, which would speak first.
    unregistered = replace(frames(1)[0])
    object.__setattr__(unregistered, "color", np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(BadInput, match="register"):
        unregistered.__post_init__()
    frame = RgbdFrame(np.where(wall_m() > 0.82, 0, wall_m()), None, CAMERA)
    assert np.isnan(frame.depth_m).any() and not (frame.depth_m <= 0).any()


def single(folder: Path, name: str = "back", **intrinsics) -> Path:
    path = folder / f"{name}.png"
    write_depth_png(path, wall_m(), intrinsics.get("depth_unit_m", 0.001))
    (folder / f"{name}.json").write_text(json.dumps({**CAMERA.to_json(), **intrinsics}))
    return path


def test_single_frame_with_its_intrinsics_beside_it(tmp_path):
    path = single(tmp_path, depth_unit_m=0.0001, gravity_camera=[0, 1, 0], timestamp_s=3.5)
    write_image(tmp_path / "back_color.png", np.full((36, 48, 3), 7, np.uint8))
    frame = read_rgbd_frame(path)
    np.testing.assert_allclose(frame.depth_m, wall_m(), atol=0.6e-4)
    assert frame.camera == CAMERA and frame.timestamp_s == 3.5
    assert frame.color is not None and (frame.color == 7).all()
    np.testing.assert_array_equal(frame.gravity_camera, [0, 1, 0])
    # The argument goes before the file.
    np.testing.assert_allclose(
        read_rgbd_frame(path, depth_unit_m=0.0002).depth_m, 2 * frame.depth_m, rtol=1e-6
    )


def test_intrinsics_of_the_frame_go_before_those_of_the_folder(tmp_path):
    path = single(tmp_path)
    (tmp_path / "intrinsics.json").write_text("{}")
    assert find_frame(path).intrinsics.name == "back.json"
    (tmp_path / "back.json").unlink()
    assert find_frame(path).intrinsics.name == "intrinsics.json"
    assert find_frame(path).color is None


def test_numpy_depth_in_metres_and_in_counts(tmp_path):
    (tmp_path / "intrinsics.json").write_text(json.dumps({**CAMERA.to_json(), "depth_unit_m": 0.001}))
    np.save(tmp_path / "m.npy", wall_m())
    np.save(tmp_path / "n.npy", np.round(wall_m() * 1000).astype(np.uint16))
    np.testing.assert_array_equal(read_rgbd_frame(tmp_path / "m.npy").depth_m, wall_m())
    np.testing.assert_allclose(read_rgbd_frame(tmp_path / "n.npy").depth_m, wall_m(), atol=0.6e-3)


def test_missing_intrinsics_say_which_file_and_which_keys(tmp_path):
    path = single(tmp_path)
    (tmp_path / "back.json").unlink()
    with pytest.raises(
        BadInput, match=r"back\.json or intrinsics\.json there, with width, height, fx, fy, cx, cy"
    ):
        read_rgbd_frame(path)
    with pytest.raises(BadInput, match=r"cam\.json: no such intrinsics file"):
        read_rgbd_frame(path, tmp_path / "cam.json")
    with pytest.raises(BadInput, match="no such depth image"):
        read_rgbd_frame(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("intrinsics", "message"),
    [
        ({"width": 96}, r"back\.png: depth image is 48 x 36 px but its camera is 96 x 36 px"),
        ({"gravity_camera": [0, 0]}, r"back\.json: gravity_camera"),
        ({"depth_unit_m": -1}, "depth_unit_m is -1"),
        ({"timestamp_s": "now"}, r"back\.json: holds a value of the wrong type"),
    ],
)
def test_single_frame_refuses(tmp_path, intrinsics, message):
    path = single(tmp_path)
    edit(tmp_path / "back.json", **intrinsics)
    with pytest.raises(BadInput, match=message):
        read_rgbd_frame(path)


def test_single_frame_refuses_files(tmp_path):
    path = single(tmp_path)
    write_image(tmp_path / "big.png", np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(BadInput, match="colour image is 96 x 64 px but depth is 48 x 36 px"):
        read_rgbd_frame(path, color_path=tmp_path / "big.png", intrinsics_path=tmp_path / "back.json")
    write_depth_png(path, np.zeros((36, 48)), 0.001)
    with pytest.raises(BadInput, match="no pixel has depth"):
        read_rgbd_frame(path)
    path.write_bytes(b"")
    with pytest.raises(BadInput, match="0 bytes"):
        read_rgbd_frame(path)
    (tmp_path / "back.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(BadInput, match="cannot be read as an array"):
        read_rgbd_frame(tmp_path / "back.npy")
    np.save(tmp_path / "back.npy", np.ones((36, 48, 3)))
    with pytest.raises(BadInput, match="not a depth image"):
        read_rgbd_frame(tmp_path / "back.npy")
