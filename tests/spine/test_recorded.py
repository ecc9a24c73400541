"""Recordings of simulated people: the person apart from the room, still frames, noise, any side up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from spine.foreground import find_person
from spine.output import result_dict
from spine.pipeline import reconstruct
from spine.quality import Check, quality_checks
from spine.recorded import CaptureQuality, MergeOptions, RecordedSkin, merged_skin, read_skin
from spine.surface import load_surface
from spine.synthetic import DepthCamera, SimulatedSubject, record, simulate_subject
from spine.synthetic.camera import camera_behind
from spine.synthetic.recording import CHAIR, STOOL, Room, Swaying, breaths_mm
from suite.data.rgbd import RgbdFrame, read_recording, write_recording
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

HALF = DepthCamera("half a D415", PinholeCamera(360, 640, 460.0, 460.0, 179.5, 319.5), 0.055, subpixel=0.04)
"""As noisy in depth as a whole one."""
ROOM = Room(1.6, CHAIR + STOOL)


@pytest.fixture(scope="module")
def person() -> SimulatedSubject:
    return simulate_subject(71)


@pytest.fixture(scope="module")
def recorded(person: SimulatedSubject, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    folder = tmp_path_factory.mktemp("recorded") / "quiet"
    T = record(person, folder, HALF, rng=np.random.default_rng(5), n_frames=12, room=ROOM, breath_mm=1.0)
    return folder, T


def errors_mm(
    person: SimulatedSubject, skin: RecordedSkin, T: np.ndarray, breath_mm: float = 0.0
) -> np.ndarray:
    truth, _ = Swaying(person, HALF.camera, T[0], color=False).seen(T[skin.reference], breath_mm)
    found = np.isfinite(skin.frame.depth_m)
    return 1000 * (skin.frame.depth_m[found] - truth[found])


def test_the_person_stands_apart_from_wall_chair_and_stool(person, recorded):
    folder, T = recorded
    recording = read_recording(folder)
    truth, _ = Swaying(person, HALF.camera, T[0], color=False).seen(T[0])
    around = ROOM.depth(HALF.camera, T[0])
    truth = np.where(around < truth, np.nan, truth)
    body = np.asarray(binary_erosion(np.isfinite(truth), iterations=4), bool)
    seat = np.flatnonzero(around[:, HALF.camera.width // 2] < 1.5)[0]
    body[seat - 4 :] = False  # below the stool's seat legs and hands may be lost
    found = find_person(recording[0].depth_m, HALF.camera, recording.info.gravity_camera)
    assert found is not None
    beside = np.asarray(binary_erosion(np.isnan(truth), iterations=3), bool)
    assert not (found.mask & beside).any()
    assert found.mask[body].mean() > 0.95
    wall_only = np.full(truth.shape, 1.6)
    assert find_person(wall_only, HALF.camera) is None
    assert find_person(np.full(truth.shape, np.nan), HALF.camera) is None


def test_averaging_takes_most_of_the_noise(person, recorded):
    folder, T = recorded
    skin = read_skin(folder)
    breath = breaths_mm(12, 1.0, 0.0, 30.0)[skin.reference]
    off = errors_mm(person, skin, T, breath)
    one = errors_mm(person, merged_skin(cut(folder, 1), MergeOptions(edge_px=0)), T)
    sigma = 1000 * float(HALF.sigma_m(0.8))
    rms, rms_one = (float(np.sqrt(np.nanmean(e**2))) for e in (off, one))
    assert rms_one == pytest.approx(sigma, rel=0.25)
    # what repeats in every frame stays; the rest falls with the root of twelve
    assert rms < 1.2 * sigma * np.sqrt(HALF.fixed_share + (1 - HALF.fixed_share) / 12) < 0.75
    assert np.isnan(off).mean() < 1e-3 and np.nanmax(np.abs(off)) < 8
    q = skin.quality
    assert (q.frames, q.used, q.lost) == (12, 12, 0) and q.gravity_known
    assert 0.5 * sigma < q.temporal_noise_mm < 1.1 * sigma
    assert q.merged_noise_mm == pytest.approx(q.temporal_noise_mm / np.sqrt(12), rel=0.1)
    assert q.coverage > 0.9 and abs(q.distance_mm - 800) < 30


def cut(folder: Path, n: int):
    r = read_recording(folder)
    return replace(
        r, timestamps_s=r.timestamps_s[:n], depth_files=r.depth_files[:n], color_files=r.color_files[:n]
    )


def test_colours_are_those_of_the_reference_frame(recorded):
    skin = read_skin(recorded[0])
    cloud = skin.cloud()
    assert cloud.colors is not None and len(cloud.colors) == len(cloud.points)
    assert np.median(cloud.colors[:, 0]) > 1.3 * np.median(cloud.colors[:, 2])  # skin, not the dark room


def test_restless_people_are_seen_still(person, tmp_path):
    rng = np.random.default_rng(8)
    T = record(
        person, tmp_path / "r", HALF, rng=rng, n_frames=24, room=Room(), fps=6.0, sway_mm=4.0, sway_deg=0.6,
        breath_mm=5.0, color=False,
    )  # fmt: skip
    skin = read_skin(tmp_path / "r")
    breath = breaths_mm(24, 5.0, 0.0, 6.0)
    q = skin.quality
    assert q.changed >= 6 and q.used >= 5 and q.used + q.changed + q.moved + q.lost == 24
    assert np.ptp(breath[skin.kept]) < 0.6 * np.ptp(breath)
    plain = merged_skin(
        read_recording(tmp_path / "r"), MergeOptions(register=False, still_m=None, mean=False, edge_px=0)
    )
    off, off_plain = (errors_mm(person, s, T, breath[s.reference]) for s in (skin, plain))
    good, bad = (float(np.sqrt(np.nanmean(e**2))) for e in (off, off_plain))
    assert good < 1.2 and bad > 2 * good
    assert q.motion_mm > 3


def test_a_step_aside_and_an_empty_image_are_left_out(person, recorded, tmp_path):
    folder, _ = recorded
    recording = read_recording(folder)
    frames = [replace(recording[i], color=None, timestamp_s=i / 30) for i in range(6)]
    frames[1] = replace(frames[1], depth_m=np.roll(frames[1].depth_m, 20, axis=1))
    frames[4] = replace(frames[4], depth_m=np.full_like(frames[4].depth_m, 1.6))
    info = replace(recording.info, camera_color=None)
    write_recording(tmp_path / "r", info, frames)
    skin = read_skin(tmp_path / "r")
    assert skin.kept.tolist() == [True, False, True, True, False, True]
    assert (skin.quality.moved + skin.quality.changed, skin.quality.lost) == (1, 1)


def test_an_empty_room_is_refused(tmp_path, recorded):
    recording = read_recording(recorded[0])
    wall = RgbdFrame(np.full((640, 360), 1.6, np.float32), None, HALF.camera)
    write_recording(tmp_path / "r", recording.info, [wall, wall])
    with pytest.raises(BadInput, match=r"nobody is to be seen in the recording; stand 0\.6 to 1\.5 m"):
        read_skin(tmp_path / "r")


@pytest.mark.parametrize("quarter", [1, 3])
def test_a_camera_on_its_side_sees_the_same_back(quarter, recorded, tmp_path):
    """A recording turned by quarters of a turn, as from a camera that lies on its side."""
    recording = read_recording(recorded[0])
    turned = np.rot90(np.eye(2), 1)
    R = np.eye(3)
    R[:2, :2] = np.linalg.matrix_power(turned, quarter)
    frames = [
        replace(
            f, depth_m=np.ascontiguousarray(np.rot90(f.depth_m, quarter)), color=None, gravity_camera=None,
            camera=PinholeCamera(640, 360, 460.0, 460.0, 319.5, 179.5),
        )
        for f in (recording[i] for i in range(4))
    ]  # fmt: skip
    # np.rot90 takes right to up: a point (x, y) is then seen at (y, -x)
    g = recording.info.gravity_camera
    assert g is not None
    for _ in range(quarter):
        g = np.array([g[1], -g[0], g[2]])
    write_recording(
        tmp_path / "side", replace(recording.info, camera_depth=frames[0].camera, gravity_camera=g), frames
    )
    upright = load_surface_of(recording, 4, tmp_path / "upright")
    side = load_surface(tmp_path / "side")
    assert side.gravity_known and side.coverage == pytest.approx(upright.coverage, abs=0.02)
    x, y = np.meshgrid(np.linspace(-90, 90, 20), np.linspace(-150, 120, 30))
    a, b = upright.height(4.0), side.height(4.0)

    def disagreement(shift_mm: float) -> float:
        both = a.is_observed(x, y) & b.is_observed(x, y + shift_mm)
        off = (a.sample(x, y) - b.sample(x, y + shift_mm))[both]
        return float(np.median(np.abs(off - np.median(off)))) if both.mean() > 0.9 else np.inf

    # Height begins at the middle of what was cut out, in rows of CELL_MM that lie a little elsewhere.
    assert min(map(disagreement, np.arange(-4.0, 4.5, 0.5))) < 0.5


def test_a_camera_that_does_not_know_gravity_sees_the_same_back(recorded, tmp_path):
    """Head, arms and thighs are in the picture; the trunk alone tells which way is up."""
    recording = read_recording(recorded[0])
    known = load_surface_of(recording, 2, tmp_path / "known")
    blind = replace(recording, info=replace(recording.info, gravity_camera=None))
    surface = load_surface_of(blind, 2, tmp_path / "blind")
    assert known.gravity_known and not surface.gravity_known
    assert np.allclose(surface.T_body_input[:3, :3], known.T_body_input[:3, :3], atol=0.1)


def load_surface_of(recording, n: int, folder: Path):
    frames = [replace(recording[i], color=None) for i in range(n)]
    write_recording(folder, recording.info, frames)
    return load_surface(folder)


def test_a_fit_on_a_recording_tells_how_good_it_is(recorded):
    result = reconstruct(recorded[0])
    checks = {check.key: check for check in result.flags}
    assert [c.key for c in result.flags[:3]] == ["frames", "depth_noise", "capture_coverage"]
    assert "12 of 12 frames were averaged" in checks["frames"].text and checks["frames"].flag == "ok"
    assert "0.80 m" in checks["depth_noise"].text or "0.79 m" in checks["depth_noise"].text
    assert result.surface.gravity_known
    capture = json.loads(json.dumps(result_dict(result)["quality"]["capture"]))
    assert capture["used"] == 12 and capture["temporal_noise_mm"] > 0.3


def test_a_poor_capture_is_flagged(recorded):
    result = reconstruct(recorded[0])
    good = result.surface.capture
    assert good is not None

    def checked(**changes) -> dict[str, Check]:
        surface = replace(result.surface, capture=replace(good, **changes))
        return {c.key: c for c in quality_checks(surface, result.landmarks, result.fit, result.indices)}

    few = checked(used=4, frames=30, moved=20, changed=5, lost=1)
    assert few["frames"].flag == "bad" or few["frames"].flag == "warn"
    for words in ("4 of 30", "20 in which the person stood elsewhere", "record 30 frames"):
        assert words in few["frames"].text
    assert checked(merged_noise_mm=1.4)["depth_noise"].flag == "warn"
    far = checked(distance_mm=1900.0)["depth_noise"]
    assert far.flag == "warn" and "1.90 m" in far.text and "0.7 to 0.9 m" in far.text
    assert checked(coverage=0.5)["capture_coverage"].flag == "bad"
    alone = checked(used=1, frames=1, temporal_noise_mm=float("nan"), merged_noise_mm=float("nan"))
    assert "not known" in alone["depth_noise"].text
    assert isinstance(good, CaptureQuality)


def test_the_camera_turns_with_gravity_known(person, tmp_path):
    """Gravity of a pitched camera makes the surface upright."""
    from suite.geometry.rotations import so3_exp

    T = camera_behind(person, 0.8)
    pitch = np.eye(4)
    pitch[:3, :3] = so3_exp(np.array([np.radians(8.0), 0.0, 0.0]))
    middle = np.eye(4)
    middle[:3, 3] = np.array([0.0, person.vp_mm[1] / 2, person.vp_mm[2] / 2]) / 1000
    first = T @ middle @ pitch @ np.linalg.inv(middle)
    moved = record(person, tmp_path / "r", HALF, rng=np.random.default_rng(3), n_frames=3, room=Room(),
                   color=False, T_camera_body=first)  # fmt: skip
    assert np.allclose(moved[0], first)
    surface = load_surface(tmp_path / "r")
    up = surface.T_body_input[:3, :3] @ moved[0][:3, :3] @ [0.0, 1.0, 0.0]
    assert up[1] > 0.9995
