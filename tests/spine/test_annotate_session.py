"""What the page is given and what comes back of it: to the last digit where nobody moved a mark."""

from __future__ import annotations

import copy
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from annotate_subject import CONFIG, exact, found, surface
from PIL import Image
from scipy.interpolate import PchipInterpolator

from spine.annotate import pictures
from spine.annotate.session import LINE, POINTS, THINNED_MM, open_session, thinned
from spine.landmarks import find_landmarks, on_skin
from spine.landmarks_file import read_landmarks, write_landmarks
from suite.errors import BadInput
from suite.geometry.rotations import se3_inverse, transform_points


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict:
    """A landmarks file of the subject, as a fit leaves it."""
    path = tmp_path_factory.mktemp("found") / "landmarks.json"
    body, landmarks = find_landmarks(surface(), CONFIG.landmarks)
    write_landmarks(path, landmarks, body)
    return json.loads(path.read_text("utf-8"))


def reopened(tmp_path, content):
    path = tmp_path / "given.json"
    path.write_text(json.dumps(content), "utf-8")
    return open_session(surface(), CONFIG.landmarks, path)


def with_dimples(content: dict, unit: str = "m") -> dict:
    """The same with dimples, odd digits, and in another unit."""
    factor = {"m": 1.0, "cm": 100.0, "mm": 1000.0}[unit]
    session = found()
    left, right = (session.place(x, 4.0)["scan"] for x in (-43.123456, 41.7))
    content = copy.deepcopy(content) | {"dimple_left": left, "dimple_right": right, "unit": unit}

    def scaled(value):
        if value is None:
            return None
        return (
            [scaled(v) for v in value] if isinstance(value[0], list) else [v * factor / 3 * 3 for v in value]
        )

    return content | {key: scaled(content[key]) for key in (*POINTS, LINE)}


@pytest.mark.parametrize("unit", ["m", "cm", "mm"])
def test_a_file_comes_back_exactly(tmp_path, written, unit):
    content = with_dimples(written, unit)
    session = reopened(tmp_path, content)
    assert session.given == (*POINTS, LINE)
    through_the_page = json.loads(json.dumps(session.start))
    assert session.content(exact(through_the_page)) == content | {"edited": True}
    session.save(tmp_path / "saved.json", session.content(exact(through_the_page)), CONFIG.landmarks)
    assert json.loads((tmp_path / "saved.json").read_text("utf-8")) == content | {"edited": True}


def test_what_a_file_lacks_stays_out_of_it_until_somebody_places_it(tmp_path, written):
    content = with_dimples(written) | {"base": None, LINE: None}
    session = reopened(tmp_path, content)
    assert session.given == ("vp", "dimple_left", "dimple_right") and session.start["base"] is None
    assert len(session.start[LINE]) >= 4  # found, to be looked at
    said = exact(session.start) | {LINE: None}
    assert session.content(said) == content | {"edited": True}


def test_marks_that_were_found_lie_where_they_were_found():
    session = found()
    body, landmarks = find_landmarks(surface(), CONFIG.landmarks)
    assert np.allclose(session.start["vp"]["mm"], landmarks.vp_mm)
    assert np.allclose(session.start["base"]["mm"], 0, atol=1e-9)
    assert session.given == () and session.trouble is None
    scan = np.array(session.start["vp"]["scan"]) * body.mm_per_unit
    assert np.allclose(transform_points(body.T_body_input, scan), landmarks.vp_mm, atol=2e-3)


def test_a_place_is_on_the_skin_and_in_the_coordinates_of_the_scan():
    session = found()
    mark = session.place(23.4, 171.3)
    assert np.allclose(mark["mm"], on_skin(session.surface.height(), 23.4, 171.3))
    in_scan = transform_points(se3_inverse(session.surface.T_body_input), np.array(mark["mm"])) / 1000.0
    assert np.allclose(mark["scan"], in_scan, atol=1e-6)
    assert session.content(exact(session.start) | {"vp": {"mm": [23.4, 171.3]}})["vp"] == mark["scan"]


def test_a_line_is_thinned_to_few_points_that_say_the_same():
    y = np.arange(0.0, 450.0, 6.0)
    x = 14 * np.sin(y / 90) + 0.02 * y
    dense = np.stack([x, y, np.zeros_like(y)], axis=1)
    few = thinned(dense)
    assert 6 <= len(few) <= 14 and few == sorted(few, reverse=True) and few[-1] == 0 and few[0] == len(y) - 1
    rising = few[::-1]
    assert np.abs(PchipInterpolator(y[rising], x[rising])(y) - x).max() <= THINNED_MM
    assert thinned(dense[:5]) == [4, 3, 2, 1, 0]  # few already


def test_a_refused_save_leaves_the_file_as_it_was(tmp_path):
    session, path = found(), tmp_path / "landmarks.json"
    good = session.content(exact(session.start))
    session.save(path, good, CONFIG.landmarks)
    before = path.read_bytes()
    upside_down = good | {"vp": good["base"], "base": good["vp"]}
    with pytest.raises(BadInput) as caught:
        session.save(path, upside_down, CONFIG.landmarks)
    line = str(caught.value)
    assert "below the base" in line and "\n" not in line and "annotate-" not in line
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    read_landmarks(path, surface(), CONFIG.landmarks)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"vp": {"mm": [1.0, float("nan")]}}, "no place"),
        ({"vp": {"scan": [1, 2]}}, "no place"),
        ({"vp": {"scan": [True, 2, 3]}}, "no place"),
        ({"vp": 7}, "no place"),
        ({LINE: {"scan": [1, 2, 3]}}, "a list of at most"),
        ({LINE: [{"mm": [0, 0]}] * 1001}, "a list of at most"),
    ],
)
def test_what_makes_no_mark_is_refused(said, line):
    with pytest.raises(BadInput, match=line):
        found().content(said)


def test_a_back_on_which_nothing_is_found_opens_all_the_same(monkeypatch):
    def refuse(*_):
        raise BadInput("VP and base would be 90 mm apart", "landmarks", "scan more")

    monkeypatch.setattr("spine.annotate.session.find_landmarks", refuse)
    session = open_session(surface(), CONFIG.landmarks)
    assert session.trouble == "VP and base would be 90 mm apart"
    assert session.start == dict.fromkeys((*POINTS, LINE))


def test_pictures_cover_the_back_and_show_the_furrow():
    body = found().surface
    layers = pictures.layers(body)
    assert list(layers) == ["colour", "relief", "curvature"]
    sizes = {Image.open(io.BytesIO(data)).size for data in layers.values()}
    shown = pictures.extent(body.height())
    assert sizes == {(round(shown.right_mm - shown.left_mm), round(shown.top_mm - shown.bottom_mm))}
    assert list(pictures.layers(replace(body, colors=None))) == ["relief", "curvature"]

    hollow = pictures.furrow(body.height())
    for mark in found().start[LINE][4:-4]:  # the ridge of hollowness runs along the line
        x, y, _ = mark["mm"]
        row = hollow[np.abs(body.height().y_mm - y).argmin()]
        near = np.abs(body.height().x_mm - x) < 45
        assert abs(body.height().x_mm[near][row[near].argmax()] - x) < 20


def test_colours_stay_where_they_are():
    body = found().surface
    painted = np.full((len(body.points_mm), 3), 200, np.uint8)
    painted[np.hypot(body.points_mm[:, 0] - 30, body.points_mm[:, 1] - 120) < 12] = (10, 20, 250)
    picture = pictures.colour(replace(body, colors=painted))
    shown = pictures.extent(body.height())

    def at(x, y):
        return picture[int(shown.top_mm - y), int(x - shown.left_mm)]

    assert np.allclose(at(30, 120), (10, 20, 250, 255), atol=2)
    assert np.allclose(at(-30, 120), (200, 200, 200, 255), atol=2)
