"""The pinhole camera: projection and back-projection undo each other, and pixels keep their places."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

CAMERAS = st.builds(
    PinholeCamera,
    width=st.integers(1, 40),
    height=st.integers(1, 30),
    fx=st.floats(5, 900),
    fy=st.floats(5, 900),
    cx=st.floats(0, 1),
    cy=st.floats(0, 1),
).map(lambda c: PinholeCamera(c.width, c.height, c.fx, c.fy, c.cx * c.width, c.cy * c.height))
CAMERA = PinholeCamera(8, 6, 10.0, 11.0, 3.5, 2.25)


@given(CAMERAS, st.integers(0, 2**32 - 1))
def test_project_undoes_backproject(camera, seed):
    depth_m = np.random.default_rng(seed).uniform(0.2, 5, (camera.height, camera.width))
    points = camera.backproject(depth_m)
    v, u = np.mgrid[: camera.height, : camera.width]
    np.testing.assert_allclose(camera.project(points), np.stack([u, v], -1), atol=1e-10)
    np.testing.assert_array_equal(points[..., 2], depth_m)
    assert camera.contains(camera.project(points)).all()


@given(CAMERAS, st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(0.1, 9)))
def test_project_is_the_matrix(camera, point):
    p = np.array(point)
    homogeneous = camera.matrix @ p
    np.testing.assert_allclose(camera.project(p), homogeneous[:2] / homogeneous[2], rtol=1e-12, atol=1e-9)


def test_axes_are_right_down_forward():
    depth_m = np.full((6, 8), 2.0)
    points = CAMERA.backproject(depth_m)
    assert points[0, 7, 0] > points[0, 0, 0]
    assert points[5, 0, 1] > points[0, 0, 1]
    np.testing.assert_allclose(points[2, 3], [2 * (3 - 3.5) / 10, 2 * (2 - 2.25) / 11, 2.0])


def test_no_depth_is_nan_and_the_rest_is_not():
    depth_m = np.ones((6, 8), np.float32)
    depth_m[0, :4] = [0.0, -1.0, np.nan, np.inf]
    points = CAMERA.backproject(depth_m)
    assert np.isnan(points[0, :4]).all()
    assert np.isfinite(points).all(axis=-1).sum() == 44
    assert np.isnan(CAMERA.project(np.array([[0.0, 0, 0], [0, 0, -1], [np.nan, 0, 1]]))).any(axis=1).all()
    assert not CAMERA.contains(np.array([np.nan, np.nan]))


def test_a_stack_of_images_is_taken_at_once():
    depth_m = np.random.default_rng(0).uniform(1, 2, (3, 6, 8))
    np.testing.assert_array_equal(CAMERA.backproject(depth_m)[1], CAMERA.backproject(depth_m[1]))


@given(st.sampled_from([0.25, 0.5, 2.0, 3.0]), st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.just(2.0)))
def test_scaling_keeps_the_place_on_the_image(factor, point):
    camera = PinholeCamera(80, 60, 90.0, 95.0, 41.2, 28.7)
    big = camera.scaled(factor)
    p = np.array(point)
    # As a share of the image, measured from its edge, half a pixel outside the first centre.
    share = (camera.project(p) + 0.5) / [camera.width, camera.height]
    np.testing.assert_allclose((big.project(p) + 0.5) / [big.width, big.height], share, atol=1e-12)


def test_scaling_to_an_uneven_size_keeps_the_view():
    camera = PinholeCamera(101, 67, 90.0, 95.0, 50.0, 33.0).scaled(0.5)
    assert (camera.width, camera.height) == (50, 34)
    assert camera.fx == pytest.approx(90 * 50 / 101)


def test_cropping_shows_the_same_points():
    depth_m = np.random.default_rng(1).uniform(1, 2, (6, 8))
    crop = CAMERA.cropped(2, 1, 5, 4)
    np.testing.assert_allclose(
        crop.backproject(depth_m[1:5, 2:7]), CAMERA.backproject(depth_m)[1:5, 2:7], rtol=1e-13
    )
    with pytest.raises(BadInput, match="leaves the image"):
        CAMERA.cropped(4, 0, 5, 6)


@given(CAMERAS)
def test_json_round_trip_in_three_spellings(camera):
    ours = camera.to_json()
    assert PinholeCamera.from_json(ours) == camera
    realsense = {**ours, "ppx": camera.cx, "ppy": camera.cy, "coeffs": [0, 0, 0, 0, 0], "model": "none"}
    del realsense["cx"], realsense["cy"]
    assert PinholeCamera.from_json(realsense) == camera
    size = {"width": camera.width, "height": camera.height}
    assert PinholeCamera.from_json({**size, "intrinsic_matrix": camera.matrix.T.ravel().tolist()}) == camera


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fx": 0}, "fx is 0"),
        ({"fy": -600.0}, "fy is -600"),
        ({"fx": float("nan")}, "fx is nan"),
        ({"width": 0}, "width is 0"),
        ({"height": 6.5}, "height is 6.5"),
        ({"cx": 3000.0}, "cx is 3000 px in an image of 8 px"),
        ({"cy": "2"}, "cy is '2', not a number"),
        ({"fx": True}, "fx is True, not a number"),
        ({"coeffs": [0.1, 0, 0, 0, 0]}, "lens distortion"),
        ({"intrinsic_matrix": [1, 2, 3]}, "not a 3 x 3"),
        ({"intrinsic_matrix": [10, 0, 3, 0, 10, 3, 0, 0, 1]}, "column by column"),  # row-major
    ],
)
def test_bad_intrinsics_are_named_with_their_file(change, message):
    with pytest.raises(BadInput, match=message) as caught:
        PinholeCamera.from_json({**CAMERA.to_json(), **change}, where="intrinsics.json")
    assert str(caught.value).startswith("intrinsics.json: ")


def test_all_missing_keys_are_listed():
    with pytest.raises(BadInput, match="lack fx, cy"):
        PinholeCamera.from_json({"width": 4, "height": 4, "fy": 3, "cx": 2})


def test_another_image_size_is_refused():
    with pytest.raises(BadInput, match="9 x 6 px but the camera is 8 x 6 px"):
        CAMERA.backproject(np.ones((6, 9)))
