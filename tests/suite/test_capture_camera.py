"""Capture through librealsense: its software device stands for a camera, the rest is as with one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from suite.capture import record as recording_module
from suite.capture import stream
from suite.capture.backend import CameraError, realsense
from suite.capture.devices import describe, devices_table
from suite.capture.importing import ImportOptions, import_recording
from suite.capture.presets import PRESETS, Preset
from suite.capture.record import RecordOptions, record
from suite.capture.simulated import SimulatedCamera
from suite.data.images import read_image
from suite.data.recording import RecordingWriter, RgbdRecording, read_recording
from suite.errors import BadInput

pytest.importorskip("pyrealsense2", reason="pyrealsense2 is not installed")
ROOT = Path(__file__).parents[2]
SIZE = (424, 240)
SMALL = replace(PRESETS["D435"], depth_px=SIZE, color_px=SIZE, fps=90)
QUICK = RecordOptions(frames=12, countdown_s=0)


def small(camera: SimulatedCamera, out: Path, preset: Preset = SMALL, **options: object) -> RgbdRecording:
    record(camera.device, preset, out, replace(QUICK, **options))
    return read_recording(out)


def assert_exact(found: RgbdRecording, camera: SimulatedCamera) -> None:
    """Every frame is what the camera showed under that number."""
    for i, number in enumerate(found.numbers):
        np.testing.assert_array_equal(found.counts(i), camera.counts(number, SIZE))
        name = found.color_files[i]
        assert name is not None
        np.testing.assert_array_equal(read_image(found.folder / name), camera.color(number, SIZE))


def test_a_round_trip_is_exact_by_camera_and_by_db3(tmp_path):
    raw = tmp_path / "raw.db3"
    with SimulatedCamera("D435I", down=(1.0, 0.0, 0.0)) as camera:
        found = small(camera, tmp_path / "rec", raw=raw)
    assert len(found) == 12 and found.lost == 0
    assert_exact(found, camera)
    np.testing.assert_allclose(np.diff(found.timestamps_s), 1 / 90, atol=1e-6)
    info = found.info
    assert info.device == "Simulated RealSense D435I 000000000000" and info.depth_unit_m == 0.0001
    assert info.camera_depth.fx == pytest.approx(0.503 * 424) and info.camera_color == info.camera_depth
    assert info.T_color_depth is not None
    np.testing.assert_allclose(info.T_color_depth[:3, 3], [0.015, 0, 0], atol=1e-7)
    assert info.gravity_camera is not None and info.gravity_camera[0] > 0.9999
    options = info.presets["options"]["Stereo Module"]
    assert (options["visual_preset"], options["depth_units"], options["laser_power"]) == (3, 0.0001, 150)
    # Exposure came down to 6 ms by itself and was then kept there.
    assert options["enable_auto_exposure"] == 0 and options["exposure"] == info.presets["exposure_us"]
    assert abs(info.presets["exposure_us"] - 6000) < 130

    assert import_recording(raw, tmp_path / "replayed", ImportOptions()) >= 12
    replayed = read_recording(tmp_path / "replayed")
    assert set(found.numbers) <= set(replayed.numbers) and replayed.lost == 0
    assert_exact(replayed, camera)
    assert replayed.info.gravity_camera is not None and replayed.info.gravity_camera[0] > 0.9999
    assert replayed.info.camera_depth == info.camera_depth


def test_a_file_that_is_read_slowly_is_read_whole(tmp_path, monkeypatch):
    """Its frames wait for room; librealsense's own queue would wait for ever."""
    raw = tmp_path / "raw.db3"
    with SimulatedCamera("D435") as camera:
        small(camera, tmp_path / "rec", raw=raw, frames=60, color=False)
    monkeypatch.setattr(stream, "_WAITING", 3)
    take = RecordingWriter.add_counts
    monkeypatch.setattr(RecordingWriter, "add_counts", lambda *of: (time.sleep(0.01), take(*of))[1])
    assert import_recording(raw, tmp_path / "out", ImportOptions(threads=0)) >= 60
    found = read_recording(tmp_path / "out")
    assert found.lost == 0 and not any(found.color_files)


def test_unplugging_in_the_middle_keeps_what_was_there(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "_NEXT_S", 0.5)
    with SimulatedCamera("D435", unplug_after=40) as camera, pytest.raises(CameraError) as caught:
        small(camera, tmp_path / "rec", frames=100)
    found = read_recording(tmp_path / "rec")
    assert str(caught.value) == (
        f"{tmp_path / 'rec'}: the camera sends no depth for 0.5 s (unplugged?); "
        f"the {len(found)} of 100 frames before that can be read"
    )
    assert found.numbers[-1] == 39 and 10 <= len(found) < 40
    assert_exact(found, camera)


def test_unplugging_before_the_first_frame_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "_FIRST_S", 0.3)
    with SimulatedCamera("D435", unplug_after=0) as camera, pytest.raises(CameraError, match="unplugged"):
        small(camera, tmp_path / "rec")
    assert not (tmp_path / "rec").exists()


@pytest.mark.parametrize(
    ("fails_at", "left"), [(7, "the 7 of 12 frames before that can be read"), (0, "nothing")]
)
def test_a_full_disk_is_one_line(tmp_path, monkeypatch, fails_at, left):
    class Filling(RecordingWriter):
        def __init__(self, folder: Path, *of: object) -> None:
            super().__init__(folder, *of)  # type: ignore[arg-type]
            (folder / f"depth/{fails_at:06d}.png").symlink_to("/dev/full")

    monkeypatch.setattr(recording_module, "RecordingWriter", Filling)
    with SimulatedCamera("D435") as camera, pytest.raises(CameraError, match="the disk is full") as caught:
        small(camera, tmp_path / "rec")
    assert left in str(caught.value) and "\n" not in str(caught.value)
    if fails_at:
        found = read_recording(tmp_path / "rec")
        assert len(found) == 7
        assert_exact(found, camera)
    else:
        assert not (tmp_path / "rec").exists()


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        (replace(SMALL, laser_mw=400), "preset D435: laser_power 400 is not in 0 to 360"),
        (replace(SMALL, laser_mw=155), "laser_power 155.*laser_power is 0 to 360 in steps of 30"),
        (replace(SMALL, depth_unit_m=1.0), "depth_units 1 is not in 1e-06 to 0.01"),
        (
            replace(SMALL, depth_px=(640, 480)),
            "depth of 640x480 at 90 frames/s is not offered by this camera; it offers 1280x720 at 30, ",
        ),
        (replace(SMALL, fps=25), "depth of 424x240 at 25 frames/s is not offered"),
        (replace(SMALL, color_px=(64, 48)), "color of 64x48 at 90 frames/s is not offered"),
    ],
)
def test_a_wrong_preset_is_one_line_and_leaves_nothing(tmp_path, preset, message):
    with SimulatedCamera("D435") as camera, pytest.raises(BadInput, match=message) as caught:
        small(camera, tmp_path / "rec", preset)
    assert "\n" not in str(caught.value) and not (tmp_path / "rec").exists()


def test_colour_may_be_slower_than_depth(tmp_path):
    with SimulatedCamera("D435", pictures=2) as camera:
        found = small(camera, tmp_path / "rec", replace(SMALL, color_px=(1280, 720)), frames=20)
    assert found.lost == 0 and found.info.camera_color is not None and found.info.camera_color.width == 1280
    assert all(found.color_files)


def test_frames_that_were_lost_are_counted(tmp_path):
    with SimulatedCamera("D435", skip=(25, 26, 28)) as camera:
        found = small(camera, tmp_path / "rec", frames=30)
    assert found.numbers[0] < 25 and found.lost == 3
    assert_exact(found, camera)


def test_aligned_colour_is_what_reading_registers(tmp_path):
    with SimulatedCamera("D435") as camera:
        apart = small(camera, tmp_path / "apart")
        number = apart.numbers[0]
    with SimulatedCamera("D435") as camera:
        aligned = small(camera, tmp_path / "aligned", align=True)
    assert aligned.info.camera_color is None and aligned.info.presets["filters"] == ["align"]
    same = next(i for i, n in enumerate(aligned.numbers) if n % 8 == number % 8)
    theirs, ours = aligned[same].color, apart[0].color
    assert theirs is not None and ours is not None
    seen = np.isfinite(apart[0].depth_m) & theirs.any(axis=2) & ours.any(axis=2)
    assert seen.mean() > 0.8
    close = np.abs(theirs[seen].astype(int) - ours[seen]).max(axis=1) <= 20
    assert close.mean() > 0.97  # where depth jumps, two ways of rounding take two pixels


def test_a_colour_lens_with_distortion_is_aligned_unasked(tmp_path):
    with SimulatedCamera("D455", distortion=(-0.055, 0.065, 0.0004, 0.0007, -0.02)) as camera:
        found = small(camera, tmp_path / "rec", replace(SMALL, name="D455"))
    assert found.info.camera_color is None and found.info.presets["filters"] == ["align"]
    color = found[0].color
    assert color is not None and color[120, 200].any()


def test_filters_do_what_they_say_and_fill_no_holes(tmp_path):
    with SimulatedCamera("D435") as camera:
        plain = small(camera, tmp_path / "plain")
    with SimulatedCamera("D435") as camera:
        near = small(camera, tmp_path / "near", filters=("threshold",))
    with SimulatedCamera("D435") as camera:
        smooth = small(camera, tmp_path / "smooth", filters=("spatial", "temporal"))
    assert plain.counts(0).max() > 16000 and near.counts(0).max() <= 15000
    assert near.info.presets["filters"] == ["threshold"]
    body = np.s_[80:160, 190:230]
    rough, even = (np.abs(np.diff(one.counts(11)[body].astype(int))) for one in (plain, smooth))
    assert np.median(even) < 0.3 * np.median(rough)
    np.testing.assert_array_equal(smooth.counts(11)[body] == 0, plain.counts(11)[body] == 0)
    with SimulatedCamera("D435") as camera, pytest.raises(BadInput, match="did you mean 'spatial'"):
        small(camera, tmp_path / "none", filters=("spacial",))


def test_the_name_must_be_free_before_the_countdown(tmp_path):
    (tmp_path / "rec").mkdir()
    (tmp_path / "rec/x").touch()
    with SimulatedCamera("D435") as camera:
        with pytest.raises(BadInput, match="exists already"):
            small(camera, tmp_path / "rec", countdown_s=100)
        with pytest.raises(BadInput, match=r"librealsense writes \.db3"):
            small(camera, tmp_path / "new", raw=tmp_path / "x.bag", countdown_s=100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_bytes(b""), "cannot be read|holds no frames"),
        (lambda p: p.write_bytes(b"SQLite format 3\0" + bytes(50)), "cannot be read"),
        (lambda p: p.with_suffix(".bag").write_bytes(b"nothing"), "is not a .bag"),
    ],
)
def test_files_that_are_broken_are_one_line(tmp_path, make, message):
    make(tmp_path / "in.db3")
    source = next(tmp_path.iterdir())
    with pytest.raises(BadInput, match=message):
        import_recording(source, tmp_path / "out", ImportOptions())
    assert not (tmp_path / "out").exists()


def test_a_recorder_that_recorded_nothing_is_not_looked_at_for_ever(tmp_path):
    with SimulatedCamera("D435") as camera:
        recorder = realsense().recorder(str(tmp_path / "in.db3"), camera.device)
        del recorder
    with pytest.raises(BadInput, match="holds no frames"):
        import_recording(tmp_path / "in.db3", tmp_path / "out", ImportOptions())


def test_a_camera_says_what_it_is():
    told = describe(SimulatedCamera("D455").device)
    assert (told.name, told.serial, told.usb, told.imu) == ("Simulated RealSense D455", "0" * 12, "3.2", True)
    text = devices_table([told, describe(SimulatedCamera("D415").device)]).to_csv()
    assert "yes,D455" in text and "no,D415" in text
    with pytest.raises(BadInput, match="no camera 'L515' is simulated"):
        SimulatedCamera("L515")


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "from suite.capture.cli import main; main()", *words]


@pytest.mark.parametrize(("frames", "code"), [("0", 0), ("5000", 130)])
def test_ctrl_c_ends_it_with_what_it_has(tmp_path, frames, code):
    words = ("record", str(tmp_path / "rec"), "--simulated", "D435I", "--frames", frames, "--countdown", "0")
    view = ("--size", "424x240", "--fps", "90", "--no-color")
    process = subprocess.Popen(
        command(*words, *view),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ},
    )
    index, began = tmp_path / "rec/frames.jsonl", time.monotonic()
    while not (index.is_file() and index.stat().st_size > 1000):
        assert process.poll() is None and time.monotonic() - began < 60
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err and "accepted: noise on the subject" in out
    found = read_recording(tmp_path / "rec")
    assert len(found) >= 10 and found.counts(len(found) - 1).shape == (240, 424)


def test_the_commands_list_record_import_and_inspect(tmp_path):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(*words), capture_output=True, text=True, cwd=ROOT, env=env, timeout=120)

    listed = run("list")
    assert (listed.returncode, listed.stdout == "") in ((1, True), (0, False))
    inspected = run("inspect", str(tmp_path / "none"))
    assert inspected.returncode == 2 and inspected.stderr.strip().endswith("no such recording")
    wrong = run("record", str(tmp_path / "rec"), "--simulated", "D415", "--preset", "D435")
    assert wrong.returncode == 2
    assert wrong.stderr == "--preset: D435 is not for this D415; leave --preset away\n"
