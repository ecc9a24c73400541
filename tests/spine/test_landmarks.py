"""Landmarks of simulated people nothing was trained on, and the laws that hold for any back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from landmark_scans import found, line_error_mm, random_model, scanned
from pydantic import ValidationError

from spine.landmark_model import save_landmark_model
from spine.landmarks import ROTATION_DEG_PER_MM, GivenLandmarks, LandmarkOptions, find_landmarks, placed
from suite.errors import BadInput

PEOPLE = range(500, 508)


def test_the_line_of_other_people_is_found():
    errors = [line_error_mm(scanned(seed), *found(seed)) for seed in PEOPLE]
    claimed = [np.sqrt((found(seed)[1].line.sigma_mm ** 2).mean()) for seed in PEOPLE]
    assert np.mean(errors) < 4.0, errors
    assert max(errors) < 12.0, errors
    assert np.sqrt(np.mean(np.square(errors))) < 1.3 * np.mean(claimed)


def test_vp_and_base_of_other_people_are_found():
    off = []
    for seed in PEOPLE:
        surface, landmarks = found(seed)
        subject = scanned(seed).subject
        true = scanned(seed).in_frame(surface, np.stack([subject.vp_mm, subject.base_mm]))
        off.append([landmarks.vp_mm - true[0], landmarks.base_mm - true[1]])
    sideways, up = np.array(off)[..., 0], np.array(off)[..., 1]
    assert (np.sqrt((up**2).mean(0)) < [8, 13]).all(), up
    assert (np.sqrt((sideways**2).mean(0)) < [10, 7]).all(), sideways


@pytest.mark.parametrize("seed", [500, 501])
def test_the_surface_comes_back_in_the_body_frame(seed):
    surface, landmarks = found(seed)
    scan = scanned(seed)
    assert np.abs(landmarks.base_mm).max() < 1e-9
    assert landmarks.vp_mm[1] > 300 and landmarks.source == "automatic" and not landmarks.line_drawn
    moved = surface.T_body_input @ np.linalg.inv(scan.surface.T_body_input)
    assert np.allclose(scan.surface.points_mm @ moved[:3, :3].T + moved[:3, 3], surface.points_mm, atol=1e-9)
    assert np.allclose(moved[1, :3], [0, 1, 0], atol=1e-9)  # turned about the vertical only
    line, skin = landmarks.line, surface.height()
    seen = line.seen
    assert seen.mean() > 0.9 and np.abs(skin.sample(line.x_mm, line.y_mm) - line.z_mm)[seen].max() < 4
    assert -5 < line.y_mm[0] < 10 and abs(line.y_mm[-1] - landmarks.vp_mm[1]) < 10
    assert line.rotation_seen.mean() > 0.7 and np.nanmax(np.abs(line.rotation_rad)) < np.radians(40)
    assert set(landmarks.confidence) == {"vp", "base", "line", "dimples"}
    assert all(0 <= value <= 1 for value in landmarks.confidence.values())
    seen_by_fit = landmarks.observations()
    assert not seen_by_fit.edited and seen_by_fit.trunk_mm == pytest.approx(landmarks.vp_mm[1])


def test_a_mirrored_back_has_mirrored_landmarks():
    surface, landmarks = found(502)
    flipped = replace(scanned(502).surface, points_mm=scanned(502).surface.points_mm * [-1, 1, 1])
    other_surface, other = find_landmarks(flipped)
    assert np.allclose(other.vp_mm, landmarks.vp_mm * [-1, 1, 1], atol=0.3)
    assert np.allclose(other.line.y_mm, landmarks.line.y_mm, atol=0.3)
    assert np.allclose(other.line.x_mm, -landmarks.line.x_mm, atol=0.3)
    both = other.line.rotation_seen & landmarks.line.rotation_seen
    turned = other.line.rotation_rad[both] + landmarks.line.rotation_rad[both]
    assert np.abs(turned).max() < np.radians(0.5)
    assert np.allclose(other.line.sigma_mm, landmarks.line.sigma_mm, atol=0.1)
    assert np.allclose(other_surface.points_mm, surface.points_mm * [-1, 1, 1], atol=0.3)


def test_where_the_scan_lies_does_not_matter():
    surface = scanned(503).surface
    yaw = np.radians(6.0)
    c, s = np.cos(yaw), np.sin(yaw)
    T = np.array([[c, 0, s, 120.0], [0, 1, 0, -300.0], [-s, 0, c, 700.0], [0, 0, 0, 1.0]])
    _, landmarks = found(503)
    _, other = find_landmarks(surface.transformed(T))
    assert np.linalg.norm(other.vp_mm - landmarks.vp_mm) < 7
    y = np.linspace(10, min(landmarks.vp_mm[1], other.vp_mm[1]) - 10, 50)
    one, two = (np.interp(y, line.y_mm, line.x_mm) for line in (landmarks.line, other.line))
    assert np.abs(one - two).max() < 3


def test_a_hole_over_the_line_leaves_it_unseen_there():
    surface, landmarks = found(500)
    y0 = 0.5 * landmarks.vp_mm[1]
    x0 = float(np.interp(y0, landmarks.line.y_mm, landmarks.line.x_mm))
    x, y, _ = surface.points_mm.T
    holed = replace(surface, points_mm=surface.points_mm[np.hypot(x - x0, y - y0) > 25], colors=None)
    _, other = find_landmarks(holed)
    near = np.abs(other.line.y_mm - y0) < 12
    assert np.isnan(other.line.z_mm[near]).all() and other.line.seen.mean() > 0.8
    at = np.interp(other.line.y_mm, landmarks.line.y_mm, landmarks.line.x_mm)
    assert np.abs(other.line.x_mm - at).max() < 8


def test_a_scan_with_no_room_for_a_trunk_is_refused():
    surface, _ = found(500)
    low = surface.points_mm[:, 1] < 130
    with pytest.raises(BadInput, match="mm apart in a scan") as caught:
        find_landmarks(replace(surface, points_mm=surface.points_mm[low], colors=None))
    assert "\n" not in str(caught.value) and "--landmarks" in str(caught.value)


def test_given_landmarks_are_kept_and_the_line_is_sought_between_them():
    surface, landmarks = found(500)
    vp = landmarks.vp_mm + np.array([2.0, -30.0, 0.0])
    given = GivenLandmarks(vp_mm=vp, base_mm=landmarks.base_mm + np.array([1.0, 12.0, 0.0]))
    turned, other = placed(given, surface, None, "edited", LandmarkOptions())
    T = turned.T_body_input @ np.linalg.inv(surface.T_body_input)
    assert np.allclose(other.vp_mm, T[:3, :3] @ vp + T[:3, 3])
    assert other.line.y_mm[-1] == pytest.approx(other.vp_mm[1], abs=5) and other.line.y_mm[0] < 5
    assert (other.source, other.line_drawn) == ("edited", False)
    assert not other.observations().edited  # the line was found: it keeps its own errors
    assert other.line.sigma_mm.min() > 1.5 and 0 < other.confidence["line"] < 1
    back = np.linalg.inv(T)
    points = np.stack([other.line.x_mm, other.line.y_mm, np.nan_to_num(other.line.z_mm)], axis=1)
    points = points @ back[:3, :3].T + back[:3, 3]
    off = points[:, 0] - np.interp(points[:, 1], landmarks.line.y_mm, landmarks.line.x_mm)
    assert np.sqrt((off[other.line.seen] ** 2).mean()) < 3


def test_a_given_line_is_followed():
    surface, landmarks = found(500)
    y = np.linspace(5, landmarks.vp_mm[1] - 5, 9)
    x = np.interp(y, landmarks.line.y_mm, landmarks.line.x_mm) + 6 * np.sin(y / 60)
    line = np.stack([x, y, surface.height().sample(x, y)], axis=1)
    given = GivenLandmarks(landmarks.vp_mm, landmarks.base_mm, line_mm=line[::-1])  # from above downwards
    turned, other = placed(given, surface, None, "edited", LandmarkOptions())
    T = turned.T_body_input @ np.linalg.inv(surface.T_body_input)
    through = line @ T[:3, :3].T + T[:3, 3]
    assert np.abs(np.interp(through[:, 1], other.line.y_mm, other.line.x_mm) - through[:, 0])[:-1].max() < 0.3
    assert other.line_drawn and other.observations().edited and other.confidence["line"] == 1
    assert np.diff(other.line.y_mm) == pytest.approx(6.0)


def test_estimates_that_differ_are_flagged(tmp_path):
    save_landmark_model(tmp_path / "wild.safetensors", random_model(2))
    surface, landmarks = found(500)
    options = LandmarkOptions(model=str(tmp_path / "wild.safetensors"))
    given = GivenLandmarks(landmarks.vp_mm, landmarks.base_mm)
    _, wild = placed(given, surface, None, "edited", options)
    assert len(wild.flags) == 1 and wild.flags[0].startswith("the spinous line is unsure")
    assert wild.confidence["line"] < landmarks.confidence["line"] and landmarks.flags == ()
    assert wild.line.sigma_mm.max() > 8


def test_options_are_checked():
    with pytest.raises(ValidationError):
        LandmarkOptions(real_factor=0)
    with pytest.raises(ValidationError):
        LandmarkOptions(rotation_half_widths_mm=())
    surface = scanned(500).surface
    with pytest.raises(BadInput, match="no such landmark model"):
        find_landmarks(surface, LandmarkOptions(model="none"))
    wider = find_landmarks(surface, LandmarkOptions(real_factor=3.0, rotation_sigma_deg=2.0))[1]
    assert (wider.line.sigma_mm > found(500)[1].line.sigma_mm).all()
    noise_deg = ROTATION_DEG_PER_MM * surface.noise_mm
    assert np.allclose(wider.line.rotation_sigma_rad, np.radians(np.hypot(2.0, noise_deg)))
