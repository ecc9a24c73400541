"""Capture without librealsense: pairing, gravity, presets, noise, acceptance, folders, pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suite.capture import backend
from suite.capture.acceptance import assess
from suite.capture.doctor import findings
from suite.capture.gravity import gravity_from
from suite.capture.importing import ImportOptions, import_recording
from suite.capture.inspect import recording_table
from suite.capture.live import Live
from suite.capture.noise import QualityMeter
from suite.capture.pairing import Pairing
from suite.capture.picture import draw_recording, quarter_turns, shaded_relief
from suite.capture.presets import PRESETS, changed, preset_for
from suite.capture.settings import is_steady
from suite.data.images import write_depth_png, write_image
from suite.data.recording import RecordingInfo, RecordingWriter, RgbdRecording, read_recording
from suite.errors import BackendUnavailable, BadInput
from suite.geometry.camera import PinholeCamera

CAMERA = PinholeCamera(240, 160, 160.0, 160.0, 119.5, 79.5)
UNIT_M = 0.0001


def back_m(noise_mm: float, seed: int, sway_mm: float = 0.0, distance_m: float = 0.8) -> np.ndarray:
    """A trunk before a wall; `sway_mm` moves it back and tilts it."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    x = (u - CAMERA.cx) / CAMERA.fx
    y = (v - CAMERA.cy) / CAMERA.fy
    z = np.where(
        (np.abs(x) < 0.25) & (np.abs(y) < 0.4), distance_m + 0.5 * x**2 + 0.001 * sway_mm * (1 + x), 1.9
    )
    return z + rng.normal(0, noise_mm / 1000, z.shape)


def counts(z_m: np.ndarray) -> np.ndarray:
    return np.round(z_m / UNIT_M).astype(np.uint16)


def recording(folder: Path, n: int, noise_mm: float, sway_mm: float = 0.0, **of: float) -> RgbdRecording:
    info = RecordingInfo("synthetic", UNIT_M, CAMERA, gravity_camera=np.array([1.0, 0, 0]))
    with RecordingWriter(folder, info) as writer:
        for i in range(n):
            z = back_m(noise_mm, i, sway_mm * np.sin(i), **of)
            color = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)
            writer.add_counts(counts(z), i / 30, color, number=i + (i > n // 2))
    return read_recording(folder)


# Pairing


def paired(depth: list[float], color: list[float], order: list[int], patience: int = 3) -> list[tuple]:
    pairing, waiting = Pairing(1 / 30, patience), {0: list(depth), 1: list(color)}
    found = []
    for kind in order:
        if waiting[kind]:
            time_s = waiting[kind].pop(0)
            add = pairing.add_color if kind else pairing.add_depth
            found += add(time_s, ("color" if kind else "depth", time_s))
    return [*found, *pairing.rest()]


@given(order=st.permutations([0] * 12 + [1] * 12), late=st.floats(0, 0.4))
def test_every_depth_frame_comes_once_and_in_order_with_colour_of_its_time(order, late):
    depth = [i / 30 for i in range(12)]
    color = [(i + late) / 30 for i in range(12)]
    found = paired(depth, color, order)
    assert [d[1] for d, _ in found] == depth
    assert all(c is None or abs(c[1] - d[1]) <= 1 / 30 for d, c in found)


@given(order=st.permutations([0] * 9 + [1] * 9))
def test_with_patience_colour_is_that_of_the_same_moment_whatever_the_order(order):
    times = [i / 30 for i in range(9)]
    found = paired(times, times, order, patience=20)
    assert [(d[1], c[1]) for d, c in found] == [(t, t) for t in times]


def test_colour_that_was_lost_is_replaced_by_its_neighbour_or_nothing():
    found = paired([0, 1 / 30, 2 / 30, 3 / 30], [0, 3.4 / 30], [0, 1, 0, 0, 0, 1])
    assert [c and round(c[1] * 30, 1) for _, c in found] == [0.0, 0.0, None, 3.4]


def test_without_colour_nothing_waits():
    pairing = Pairing(1 / 30, 0)
    assert list(pairing.add_depth(0.0, "d")) == [("d", None)]


# Gravity, exposure, presets


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda v: np.linalg.norm(v) > 0.2))
def test_gravity_is_against_what_the_accelerometer_feels(direction):
    down = np.array(direction) / np.linalg.norm(direction)
    R = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    felt = [tuple(-9.7 * down + 0.01 * np.sin([i, 2 * i, 3 * i])) for i in range(50)]
    found, why_not = gravity_from(felt, R)
    assert why_not == "" and found is not None
    assert np.degrees(np.arccos(np.clip(found @ (R @ down), -1, 1))) < 0.2


@pytest.mark.parametrize(
    ("felt", "why_not"),
    [
        ([(0.0, -9.8, 0.0)] * 5, "no IMU"),
        ([(0.0, -7.0, 0.0)] * 50, r"feels 7.0 m/s\^2 instead of 9.81; calibrate"),
        ([(0.0, -9.8 + (-1) ** i, 0.0) for i in range(50)], "shook"),
    ],
)
def test_no_gravity_is_explained(felt, why_not):
    found, why = gravity_from(felt, np.eye(3))
    import re

    assert found is None and re.search(why_not, why)


def test_exposure_is_steady_after_ten_frames_alike():
    assert not is_steady([6000.0] * 9)
    assert is_steady([9000.0] * 5 + [6000.0] * 10)
    assert not is_steady([9000.0] + [6000.0] * 9)
    assert is_steady([None] * 10)


@pytest.mark.parametrize(
    ("name", "preset"),
    [("Intel RealSense D435I", "D435"), ("Intel RealSense D415", "D415"), ("RealSense D455F", "D455")],
)
def test_a_camera_has_its_preset(name, preset):
    assert preset_for(name) is PRESETS[preset]
    assert PRESETS[preset].depth_unit_m == 0.0001 and PRESETS[preset].visual_preset == "high_accuracy"


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("Intel RealSense D435", "D415", "--preset: D415 is not for this D435; leave --preset away"),
        ("Intel RealSense D435", "D145", "there is no preset 'D145'; there is auto, D415, D435, D455"),
        ("Intel RealSense L515", "auto", "no preset is for 'Intel RealSense L515'; name the nearest"),
    ],
)
def test_a_wrong_preset_is_one_line(name, wanted, message):
    with pytest.raises(BadInput, match=message) as caught:
        preset_for(name, wanted)
    assert "\n" not in str(caught.value)


def test_a_preset_may_be_changed():
    preset = changed(PRESETS["D415"], "848X480", 15, 240)
    assert (preset.depth_px, preset.fps, preset.laser_mw, preset.name) == ((848, 480), 15, 240, "D415")
    with pytest.raises(BadInput, match="such as 848x480"):
        changed(PRESETS["D415"], "848")


# What is missing


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ImportError("libusb-1.0.so.0: cannot open shared object file: No such file or directory"),
            "pyrealsense2 is not available: the library libusb-1.0 is missing; "
            "on Debian: apt install libusb-1.0-0",
        ),
        (
            ModuleNotFoundError("No module named 'pyrealsense2'", name="pyrealsense2"),
            "pyrealsense2 is not available: it is not installed; pip install 'vision-suite[capture]'",
        ),
    ],
)
def test_what_is_missing_is_named(monkeypatch, error, message):
    def fail(name):
        raise error

    monkeypatch.setattr(backend, "import_module", fail)
    with pytest.raises(BackendUnavailable) as caught:
        backend.realsense()
    assert str(caught.value) == message
    (row,) = findings()
    assert row.found is None and message.partition(": ")[2] in row.note


def test_refusals_say_what_to_do():
    busy = backend.refusal(RuntimeError("failed to set power state: RS2_USB_STATUS_BUSY"), "camera")
    assert "another program uses the camera" in str(busy)
    access = backend.refusal(
        RuntimeError("failed to open usb interface: 0, error: RS2_USB_STATUS_ACCESS"), "c"
    )
    assert "udev rules" in str(access)


# Noise


@pytest.mark.parametrize("noise_mm", [0.3, 1.5, 4.0])
@pytest.mark.parametrize("sway_mm", [0.0, 3.0])
def test_the_quality_line_knows_noise_from_sway(noise_mm, sway_mm):
    meter, quality = QualityMeter(CAMERA, UNIT_M), None
    for i in range(12):
        quality = meter.add(counts(back_m(noise_mm, i, sway_mm * np.sin(i))), i / 30)
    assert quality is not None and quality.noise_mm is not None
    assert abs(quality.noise_mm / noise_mm - 1) < 0.05
    assert abs(quality.motion_mm - 2 * sway_mm) < 0.25 + 0.1 * sway_mm
    assert abs(quality.distance_m - 0.81) < 0.01 and quality.valid == 1.0
    assert f"noise {noise_mm:.1f} mm" in str(quality)


def test_the_quality_line_sees_holes_and_emptiness():
    meter = QualityMeter(CAMERA, UNIT_M)
    holed = counts(back_m(1.0, 0))
    holed[np.random.default_rng(0).random(holed.shape) < 0.2] = 0
    quality = meter.add(holed, 0.0)
    assert quality is not None and abs(quality.valid - 0.8) < 0.01 and quality.noise_mm is None
    assert meter.add(np.zeros_like(holed), 0.1) is None


@pytest.mark.parametrize(("n", "noise_mm"), [(12, 1.0), (31, 2.0), (40, 1.5)])
def test_the_noise_of_the_median_is_what_it_really_is(tmp_path, n, noise_mm):
    found = assess(recording(tmp_path / "rec", n, noise_mm))
    medians = np.median([counts(back_m(noise_mm, i)) for i in range(n)], axis=0) * UNIT_M
    off_mm = 1000 * (medians - back_m(0.0, 0))[np.abs(back_m(0.0, 0) - 0.8) < 0.1]
    assert found.noise_frame_mm is not None and found.noise_merged_mm is not None
    assert abs(found.noise_merged_mm / off_mm.std() - 1) < 0.08
    assert abs(found.noise_frame_mm / noise_mm - 1) < 0.05
    assert found.accepted and found.line().startswith("accepted: noise on the subject 0.")
    assert found.lost == 1 and "1 frame lost" in found.line()


def test_sway_is_taken_out_of_noise_and_told(tmp_path):
    found = assess(recording(tmp_path / "rec", 30, 1.0, sway_mm=4.0))
    assert found.accepted and abs(found.motion_mm - 8) < 0.5
    assert "better: hold the breath and lean on something (moved 8 mm)" in found.line()


@pytest.mark.parametrize(
    ("n", "noise_mm", "of", "message"),
    [
        (
            30,
            9.0,
            {"distance_m": 1.3},
            r"not accepted: .* > 1 mm; .*: come closer \(now 1.31 m; 0.7 to 0.9 m\)",
        ),
        (8, 4.0, {}, r"not accepted: .* > 1 mm; .*: record 30 frames or more \(now 8\)"),
        (30, 9.0, {}, r"not accepted: .*: raise the laser \(--laser 240\)"),
        (2, 1.0, {}, r"not accepted: 2 frames say nothing of noise"),
    ],
)
def test_what_to_change_is_said(tmp_path, n, noise_mm, of, message):
    import re

    line = assess(recording(tmp_path / "rec", n, noise_mm, **of)).line()
    assert re.match(message, line), line


def test_an_empty_recording_is_not_accepted(tmp_path):
    with RecordingWriter(tmp_path / "rec", RecordingInfo("synthetic", UNIT_M, CAMERA)) as writer:
        for i in range(5):
            writer.add_counts(np.zeros((160, 240), np.uint16), i / 30)
    found = assess(read_recording(tmp_path / "rec"))
    assert not found.accepted and "aim the camera at the back" in found.line()


# The line that changes in place


@pytest.mark.parametrize("terminal", [True, False])
def test_a_live_line_changes_on_a_terminal_only(monkeypatch, capsys, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    live = Live()
    assert live.due
    live.show("1 of 2")
    assert not live.due
    live.say("done")
    live.clear()
    assert capsys.readouterr().err == ("\r\x1b[K1 of 2\r\x1b[Kdone\n" if terminal else "done\n")


# Pictures


@pytest.mark.parametrize(
    ("down", "turns"),
    [((0, 1, 0), 0), ((0, -1, 0), 2), ((1, 0, 0), 3), ((-1, 0, 0), 1), ((0, 0, 1), 0), (None, 0)],
)
def test_pictures_stand_upright(down, turns):
    gravity = None if down is None else np.array(down, np.float64)
    assert quarter_turns(gravity) == turns
    if (
        gravity is not None and abs(gravity[2]) < 0.5
    ):  # a bright pixel where gravity points must end at the bottom
        image = np.zeros((5, 5))
        image[2 + round(2 * gravity[1]), 2 + round(2 * gravity[0])] = 1
        assert np.rot90(image, turns)[4, 2] == 1


def test_relief_shows_a_furrow():
    x = np.linspace(-1, 1, 121)
    furrow = np.tile(0.8 + 0.005 * np.exp(-((x / 0.1) ** 2)), (80, 1))
    relief = shaded_relief(furrow, 0.8)
    assert relief[40, 52] - relief[40, 68] > 0.1 or relief[40, 68] - relief[40, 52] > 0.1
    assert np.isnan(shaded_relief(np.full((20, 20), 3.0), 0.8)).all()


def test_inspect_tells_and_pictures(tmp_path):
    found = recording(tmp_path / "rec", 12, 1.0)
    acceptance = assess(found)
    text = recording_table(found, acceptance).to_csv()
    for word in ("synthetic", "12 in 0.37 s", "1 lost", "240 x 160 px", "unit 0.1 mm", "+1.000", "0.81 m"):
        assert word in text, word
    path = draw_recording(found, acceptance, tmp_path / "rec/inspect.png")
    image = np.asarray(Image.open(path).convert("RGB"))
    assert image.shape[1] > 1000 and len(np.unique(image.reshape(-1, 3), axis=0)) > 100


# Folders


def test_a_folder_of_images_is_imported(tmp_path):
    for i in range(4):
        write_depth_png(tmp_path / f"in/depth/{i:05d}.png", back_m(1.0, i), 0.001)
        write_image(tmp_path / f"in/color/{i:05d}.jpg", np.full((160, 240, 3), 50 * i, np.uint8))
    matrix = [160.0, 0, 0, 0, 160.0, 0, 119.5, 79.5, 1]
    values = {"width": 240, "height": 160, "intrinsic_matrix": matrix, "depth_scale": 1000.0}
    (tmp_path / "in/intrinsic.json").write_text(json.dumps(values))
    assert import_recording(tmp_path / "in", tmp_path / "out", ImportOptions(fps=15)) == 4
    found = read_recording(tmp_path / "out")
    assert found.info.camera_depth == CAMERA and found.info.depth_unit_m == 0.001
    assert found.timestamps_s[3] == 3 / 15
    np.testing.assert_allclose(found[2].depth_m, back_m(1.0, 2), atol=0.51e-3)
    color = found[2].color
    assert color is not None and abs(int(color[80, 120, 0]) - 100) <= 2


def test_frames_side_by_side_are_imported(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/intrinsics.json").write_text(json.dumps({**CAMERA.to_json(), "depth_unit_m": 0.0002}))
    for i in range(3):
        np.save(tmp_path / f"in/f{i}.npy", back_m(1.0, i).astype(np.float32))
    import_recording(tmp_path / "in", tmp_path / "out", ImportOptions())
    np.testing.assert_allclose(read_recording(tmp_path / "out")[1].depth_m, back_m(1.0, 1), atol=0.6e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "no such file or folder"),
        (lambda p: p.mkdir(), "holds no depth images; give a .db3 or .bag"),
        (lambda p: p.write_text("x"), "no recording that is understood"),
        (lambda p: write_depth_png(p / "depth/0.png", np.ones((3, 3)), 0.001), "put intrinsics.json there"),
        (lambda p: write_depth_png(p / "0.png", np.ones((3, 3)), 0.001), "no camera intrinsics beside it"),
        (lambda p: recording(p, 1, 1.0), "is a recording of ours already"),
    ],
)
def test_what_cannot_be_imported_is_one_line(tmp_path, make, message):
    make(tmp_path / "in")
    with pytest.raises(BadInput, match=message):
        import_recording(tmp_path / "in", tmp_path / "out", ImportOptions())
    assert not (tmp_path / "out").exists()
