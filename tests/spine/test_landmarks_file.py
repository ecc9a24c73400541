"""The landmarks file: what is written comes back, what is edited is trusted, what is wrong is said in one
line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from landmark_scans import BLUE, found, painted, scanned

from spine.landmarks import LandmarkOptions, find_landmarks
from spine.landmarks_file import read_landmarks, write_landmarks
from spine.surface import BackSurface
from suite.errors import BadInput
from suite.geometry.rotations import transform_points

SEED = 500


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, Any]:
    """The content of the file of one person, as found."""
    surface, landmarks = found(SEED)
    path = tmp_path_factory.mktemp("landmarks") / "landmarks.json"
    write_landmarks(path, landmarks, surface)
    return json.loads(path.read_text("utf-8"))


def read(tmp_path: Path, content: Any, surface: BackSurface | None = None, **options):
    path = tmp_path / "edited.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return read_landmarks(path, surface or scanned(SEED).surface, LandmarkOptions(**options))


def refused(tmp_path: Path, content: Any) -> str:
    with pytest.raises(BadInput) as caught:
        read(tmp_path, content)
    line = str(caught.value)
    assert "edited.json" in line and "\n" not in line
    return line


@pytest.mark.parametrize(("mm_per_unit", "unit"), [(1000.0, "m"), (10.0, "cm"), (1.0, "mm")])
def test_what_is_written_comes_back_in_the_unit_of_the_scan(tmp_path, mm_per_unit, unit):
    person = scanned(SEED, mm_per_unit)
    surface, landmarks = find_landmarks(person.surface)
    write_landmarks(tmp_path / "landmarks.json", landmarks, surface)
    content = json.loads((tmp_path / "landmarks.json").read_text("utf-8"))
    assert (content["version"], content["unit"], content["edited"]) == (1, unit, False)
    on_scan = np.linalg.norm(person.scan.cloud.points - np.array(content["vp"]) * mm_per_unit, axis=1)
    assert on_scan.min() < 5  # the coordinates of the scan itself
    turned, other = read_landmarks(tmp_path / "landmarks.json", person.surface)
    rounding = 2e-6 * mm_per_unit + 1e-3  # of the file, and of facing the viewer
    assert np.allclose(other.vp_mm, landmarks.vp_mm, atol=rounding)
    assert np.allclose(other.base_mm, 0, atol=1e-9)
    assert np.allclose(turned.points_mm, surface.points_mm, atol=10 * rounding)
    line, again = landmarks.line, other.line
    seen, seen_again = line.seen, again.seen
    x = np.interp(again.y_mm[seen_again], line.y_mm[seen], line.x_mm[seen])
    assert np.abs(x - again.x_mm[seen_again]).max() < 0.2  # between points: a curve for a polygon
    assert other.source == "edited" and other.line_drawn
    write_landmarks(tmp_path / "again.json", other, turned)
    assert json.loads((tmp_path / "again.json").read_text("utf-8"))["edited"] is True


def test_dimples_come_back(tmp_path, written):
    person = scanned(SEED)
    left, right = transform_points(person.scan.T_scan_body, person.subject.dimples_mm) / 1000
    content = written | {"dimple_left": left.tolist(), "dimple_right": right.tolist()}
    turned, landmarks = read(tmp_path, content)
    for mark, true in zip(
        (landmarks.dimple_left_mm, landmarks.dimple_right_mm),
        person.in_frame(turned, person.subject.dimples_mm),
        strict=True,
    ):
        assert mark is not None and np.allclose(mark, true, atol=0.01)
    assert landmarks.confidence["dimples"] == 1
    write_landmarks(tmp_path / "again.json", landmarks, turned)
    again = json.loads((tmp_path / "again.json").read_text("utf-8"))
    assert np.allclose(again["dimple_left"], content["dimple_left"], atol=2e-6)
    assert np.allclose(again["dimple_right"], content["dimple_right"], atol=2e-6)


def test_an_edited_line_is_trusted(tmp_path, written):
    surface, landmarks = found(SEED)
    right_in_scan = np.linalg.inv(surface.T_body_input)[:3, 0]
    points = np.array(written["spinous_line"])
    points[20:40] += 0.008 * right_in_scan  # 8 mm to the person's right
    _, edited = read(tmp_path, written | {"spinous_line": points.tolist()})
    moved = np.interp(landmarks.line.y_mm, edited.line.y_mm, edited.line.x_mm) - landmarks.line.x_mm
    assert np.abs(moved[22:38] - 8).max() < 0.3 and np.abs(moved[:18]).max() < 0.3
    assert edited.confidence["line"] == 1 and edited.line.sigma_mm.max() < landmarks.line.sigma_mm.min()
    assert edited.observations().edited and edited.vp_sigma_mm <= landmarks.vp_sigma_mm


def test_dimples_stand_for_the_base(tmp_path, written):
    person = scanned(SEED)
    dimples = transform_points(person.scan.T_scan_body, person.subject.dimples_mm) / 1000
    content = {k: v for k, v in written.items() if k != "base"}
    content |= {"dimple_left": dimples[0].tolist(), "dimple_right": dimples[1].tolist()}
    _, landmarks = read(tmp_path, content)
    assert landmarks.dimple_left_mm is not None and landmarks.dimple_right_mm is not None
    assert np.allclose((landmarks.dimple_left_mm + landmarks.dimple_right_mm) / 2, 0, atol=1e-6)
    assert landmarks.dimple_left_mm[0] < 0 < landmarks.dimple_right_mm[0]


@pytest.mark.parametrize("line", [None, [], "leave out"])
def test_a_line_that_is_not_given_is_found_between_the_landmarks_that_are(tmp_path, written, line):
    surface, landmarks = found(SEED)
    content = dict(written, spinous_line=line)
    if line == "leave out":
        del content["spinous_line"]
    up_in_scan = np.linalg.inv(surface.T_body_input)[:3, 1]
    content["vp"] = (np.array(written["vp"]) - 0.03 * up_in_scan).tolist()
    _, other = read(tmp_path, content)
    assert other.source == "edited" and not other.line_drawn and not other.observations().edited
    assert other.vp_mm[1] == pytest.approx(landmarks.vp_mm[1] - 30, abs=0.1)
    assert other.line.y_mm[-1] == pytest.approx(other.vp_mm[1], abs=5)
    x = np.interp(other.line.y_mm, landmarks.line.y_mm, landmarks.line.x_mm)
    assert np.sqrt(((other.line.x_mm - x) ** 2).mean()) < 3 and other.flags == ()


def test_too_few_points_of_the_line_are_said_and_the_line_is_found(tmp_path, written):
    _, landmarks = read(tmp_path, written | {"spinous_line": written["spinous_line"][::30][:3]})
    assert not landmarks.line_drawn and len(landmarks.flags) == 1
    assert landmarks.flags[0].startswith("3 points of the spinous line in edited.json are too few")
    level = [written["spinous_line"][30]] * 6
    assert "6 points" in read(tmp_path, written | {"spinous_line": level})[1].flags[0]


def test_landmarks_help_where_they_cannot_be_found(tmp_path, written):
    """A scan with no room for a trunk needs the file, and no more of it than VP and base."""
    surface, _ = found(SEED)
    y = np.array([150.0, 270.0])
    marks = np.stack([np.zeros(2), y, surface.height().sample(0.0, y)], axis=1)
    T = np.linalg.inv(surface.T_body_input)
    base, vp = (marks @ T[:3, :3].T + T[:3, 3]) / 1000
    rows = np.abs(surface.points_mm[:, 1] - y.mean()) < 72
    part = replace(surface, points_mm=surface.points_mm[rows], colors=None)
    with pytest.raises(BadInput, match="apart in a scan"):
        find_landmarks(part)
    content = written | {"vp": vp.tolist(), "base": base.tolist(), "spinous_line": None}
    _, landmarks = read(tmp_path, content, part)
    assert landmarks.vp_mm[1] == pytest.approx(120, abs=0.01) and landmarks.line.seen.mean() > 0.9


def test_marks_on_the_skin_draw_the_line_that_a_file_leaves_out(tmp_path, written):
    person = scanned(SEED)
    points = person.subject.line_mm[np.linspace(5, len(person.subject.line_mm) - 5, 8).astype(int)]
    marks = [(point, BLUE) for point in person.in_frame(person.surface, points)]
    content = dict(written, spinous_line=None)
    turned, landmarks = read(tmp_path, content, painted(person.surface, *marks))
    assert landmarks.line_drawn
    true = person.in_frame(turned, person.subject.line_mm)
    off = landmarks.line.x_mm - np.interp(landmarks.line.y_mm, true[:, 1], true[:, 0])
    assert np.sqrt((off**2).mean()) < 2.5
    vp = turned.T_body_input @ np.append(np.array(written["vp"]) * 1000, 1)
    assert np.allclose(landmarks.vp_mm, vp[:3], atol=1e-6)  # the file's, not a mark's
    _, unread = read(tmp_path, content, painted(person.surface, *marks), markers=False)
    assert not unread.line_drawn


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path, written):
    _, landmarks = read(tmp_path, "\ufeff" + json.dumps(written))
    assert np.allclose(landmarks.vp_mm, found(SEED)[1].vp_mm, atol=0.01)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vp": None}, "vp is missing"),
        ({"base": None}, "base is missing"),
        ({"vertebra": [0, 0, 0]}, "unknown key 'vertebra'; allowed: version"),
        ({"spinus_line": []}, "did you mean 'spinous_line'?"),
        ({"unit": "inch"}, "unit 'inch' is not known; use one of m, cm, mm"),
        ({"unit": ["m"]}, "is not known"),
        ({"unit": "mm"}, "mm outside the surface; it is in the coordinates of the scan: check the unit"),
        ({"version": 2}, "version 2 is not known"),
        ({"vp": [1, 2]}, "vp must be [x, y, z]"),
        ({"vp": [[1, 2, 3]]}, "vp must be [x, y, z]"),
        ({"vp": ["a", 2, 3]}, "vp must be [x, y, z]"),
        ({"vp": {"x": 1}}, "vp must be [x, y, z]"),
        ({"vp": [10**400, 0, 0]}, "vp must be [x, y, z]"),
        ({"vp": [None, 0, 0]}, "vp holds a value that is not finite"),
        ({"vp": [float("nan"), 0, 0]}, "vp holds a value that is not finite"),
        ({"spinous_line": [[0, 0, 1], [0, 1]]}, "spinous_line must be a list of [x, y, z]"),
        ({"spinous_line": [0, 0, 1]}, "spinous_line must be a list of [x, y, z]"),
        (
            {"dimple_left": [0, 0, 0.9], "dimple_right": None},
            "dimple_right is missing; give both dimples or none",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, written, change, said):
    assert said in refused(tmp_path, written | change)


def test_a_point_off_the_scan_is_named(tmp_path, written):
    line = [list(point) for point in written["spinous_line"]]
    line[4][0] += 0.5
    told = refused(tmp_path, written | {"spinous_line": line})
    assert "point 5 of spinous_line lies" in told and "mm outside the surface" in told


def test_landmarks_that_were_exchanged_are_refused(tmp_path, written):
    told = refused(tmp_path, written | {"vp": written["base"], "base": written["vp"]})
    assert "vp lies" in told and "mm below the base" in told
    person = scanned(SEED)
    dimples = transform_points(person.scan.T_scan_body, person.subject.dimples_mm) / 1000
    swapped = {"dimple_left": dimples[1].tolist(), "dimple_right": dimples[0].tolist()}
    assert "dimple_left lies to the right of dimple_right" in refused(tmp_path, written | swapped)


def test_what_is_not_json_is_refused_with_its_place(tmp_path):
    assert "edited.json:2:9: this is not JSON" in refused(tmp_path, '{\n  "vp": ]\n}')
    assert "one JSON object" in refused(tmp_path, "[1, 2]")
    assert "this is not JSON" in refused(tmp_path, "[" * 100_000)
    assert "this is not JSON" in refused(tmp_path, "")
    (tmp_path / "edited.json").write_bytes(b"\xff\xfe\x00vp")
    with pytest.raises(BadInput, match="this is not JSON"):
        read_landmarks(tmp_path / "edited.json", scanned(SEED).surface)
    with pytest.raises(BadInput, match="cannot be read"):
        read_landmarks(tmp_path / "none.json", scanned(SEED).surface)
