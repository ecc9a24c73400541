"""Coloured markers on the skin: read where they are, told apart, and none seen where skin only varies."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from landmark_scans import BLUE, Scanned, found, painted, scanned, skin_colors

from spine.landmarks import LandmarkOptions, Landmarks, find_landmarks
from spine.skin_markers import find_markers
from spine.surface import BackSurface

GREEN, RED, YELLOW = (20, 150, 60), (210, 20, 30), (250, 230, 40)
SEED = 500


@functools.cache
def person() -> tuple[Scanned, BackSurface, Landmarks]:
    """Someone with landmarks found without colour."""
    return scanned(SEED), *found(SEED)


def marks() -> dict[str, np.ndarray]:
    """Where VP, base, dimples and points of the line truly are on the surface; (k, 3) each."""
    scan, surface, _ = person()
    subject = scan.subject
    line = subject.line_mm[np.linspace(0, len(subject.line_mm) - 1, 9).astype(int)]
    named = {"vp": subject.vp_mm, "base": subject.base_mm, "dimples": subject.dimples_mm, "line": line[1:-1]}
    return {name: scan.in_frame(surface, points) for name, points in named.items()}


def spots(points: np.ndarray, color=BLUE) -> list[tuple[np.ndarray, tuple[int, int, int]]]:
    return [(point, color) for point in points]


@pytest.mark.parametrize("color", [BLUE, GREEN, RED, YELLOW], ids=["blue", "green", "red", "yellow"])
def test_a_mark_at_vp_is_read(color):
    _, surface, landmarks = person()
    at = marks()
    markers = find_markers(painted(surface, *spots(at["vp"], color)), landmarks.line)
    assert markers is not None and markers.vp_mm is not None
    assert np.linalg.norm(markers.vp_mm - at["vp"]) < 2
    assert markers.base_mm is None and markers.dimple_left_mm is None and markers.line_mm is None


def test_dimples_are_told_apart_and_make_the_base():
    _, surface, landmarks = person()
    at = marks()
    markers = find_markers(painted(surface, *spots(at["dimples"])), landmarks.line)
    assert markers is not None
    assert markers.dimple_left_mm is not None and markers.dimple_right_mm is not None
    assert np.linalg.norm(markers.dimple_left_mm - at["dimples"][0]) < 2
    assert np.linalg.norm(markers.dimple_right_mm - at["dimples"][1]) < 2
    assert markers.base_mm == pytest.approx((markers.dimple_left_mm + markers.dimple_right_mm) / 2)
    assert markers.vp_mm is None and markers.line_mm is None


def test_marks_along_the_line_draw_it():
    scan, surface, landmarks = person()
    at = marks()
    everything = np.concatenate([at["vp"], at["base"], at["dimples"], at["line"]])
    markers = find_markers(painted(surface, *spots(everything)), landmarks.line)
    assert markers is not None and markers.line_mm is not None and markers.vp_mm is not None
    true = scan.in_frame(surface, scan.subject.line_mm)
    off = markers.line_mm[:, 0] - np.interp(markers.line_mm[:, 1], true[:, 1], true[:, 0])
    assert np.sqrt((off**2).mean()) < 2.5
    assert np.ptp(markers.line_mm[:, 1]) > 0.9 * scan.subject.trunk_length_mm
    four = find_markers(painted(surface, *spots(at["line"][:4])), landmarks.line)
    assert four is None or four.line_mm is None


def test_marks_are_used_in_place_of_what_was_found():
    scan, surface, automatic = person()
    at = marks()
    coloured = painted(surface, *spots(np.concatenate([at["vp"], at["base"], at["dimples"], at["line"]])))
    turned, landmarks = find_landmarks(coloured)
    true = {
        k: scan.in_frame(turned, p) for k, p in (("vp", scan.subject.vp_mm), ("base", scan.subject.base_mm))
    }
    assert landmarks.source == "markers" and landmarks.line_drawn and landmarks.observations().edited
    assert np.linalg.norm(landmarks.vp_mm - true["vp"]) < 2 and np.linalg.norm(landmarks.base_mm) < 1e-6
    assert landmarks.confidence == {"vp": 1.0, "base": 1.0, "line": 1.0, "dimples": 1.0}
    assert landmarks.vp_sigma_mm <= automatic.vp_sigma_mm
    assert landmarks.base_sigma_mm < automatic.base_sigma_mm
    line = scan.in_frame(turned, scan.subject.line_mm)
    off = landmarks.line.x_mm - np.interp(landmarks.line.y_mm, line[:, 1], line[:, 0])
    assert np.sqrt(np.mean(off**2)) < 2.5
    _, unread = find_landmarks(coloured, LandmarkOptions(markers=False))
    assert unread.source == "automatic" and not unread.line_drawn


def test_one_mark_makes_only_that_landmark_sure():
    scan, surface, automatic = person()
    turned, landmarks = find_landmarks(painted(surface, *spots(marks()["vp"])))
    true = scan.in_frame(turned, scan.subject.vp_mm)[0]
    assert landmarks.source == "markers" and np.linalg.norm(landmarks.vp_mm - true) < 2
    assert landmarks.confidence["vp"] == 1 and landmarks.confidence["base"] < 1
    assert landmarks.vp_sigma_mm < 5 and landmarks.base_sigma_mm == automatic.base_sigma_mm
    assert not landmarks.line_drawn and not landmarks.observations().edited
    assert landmarks.line.sigma_mm.min() > 1.5 and landmarks.confidence["line"] < 1
    assert landmarks.line.y_mm[-1] == pytest.approx(landmarks.vp_mm[1], abs=5)


@pytest.mark.parametrize(
    "tone",
    [(245, 215, 200), (224, 172, 140), (172, 120, 88), (96, 62, 45)],
    ids=["pale", "fair", "tan", "dark"],
)
def test_skin_alone_has_no_markers(tone):
    _, surface, landmarks = person()
    coloured = replace(surface, colors=skin_colors(surface.points_mm, tone, seed=3))
    assert find_markers(coloured, landmarks.line) is None


def test_hair_clothes_and_shadows_are_no_markers():
    _, surface, landmarks = person()
    points, vp = surface.points_mm, landmarks.vp_mm
    hair = [
        (vp + np.array(offset), dark)
        for offset, dark in (([0, 5, 0], (18, 14, 12)), ([8, -15, 0], (30, 24, 20)))
    ]
    coloured = painted(surface, *hair)
    colors = np.array(coloured.colors)
    colors[points[:, 1] < landmarks.base_mm[1] - 15] = BLUE  # trousers
    assert find_markers(replace(coloured, colors=colors), landmarks.line) is None
    grey = np.repeat(colors.mean(1).astype(np.uint8)[:, None], 3, axis=1)
    assert find_markers(replace(surface, colors=grey), landmarks.line) is None
    assert find_markers(surface, landmarks.line) is None  # no colour at all


def test_marks_elsewhere_are_none_of_the_landmarks():
    _, surface, landmarks = person()
    y, x = landmarks.line.y_mm, landmarks.line.x_mm
    middle, low = len(y) // 2, 3

    def on_skin(x_mm: float, y_mm: float) -> np.ndarray:
        near = np.argmin(np.hypot(surface.points_mm[:, 0] - x_mm, surface.points_mm[:, 1] - y_mm))
        return surface.points_mm[near]

    scattered = [
        on_skin(x[middle], y[middle]),
        on_skin(x[middle] + 90, y[middle]),
        on_skin(x[low] + 45, y[low]),
    ]
    assert find_markers(painted(surface, *spots(np.array(scattered))), landmarks.line) is None
