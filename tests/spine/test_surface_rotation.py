"""The rotation of the skin: exact on planes and parabolas, right in sign, unknown where skin is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from landmark_scans import mirrored, scanned, surface_map, unseen

from spine.surface_rotation import mean_rotation_rad, surface_rotation_rad

Y = np.arange(0.0, 441.0, 40.0)


@given(st.floats(-0.8, 0.8), st.floats(-0.5, 0.5), st.floats(20, 70), st.floats(-30, 30))
def test_a_tilted_plane_turns_by_its_slope(across, along, half_width, x):
    plane = surface_map(lambda x, y: across * x + along * y + 7)
    rotation = surface_rotation_rad(plane, np.full(len(Y), x), Y, half_width)
    assert np.allclose(rotation, np.arctan(-across), atol=1e-7)


def test_a_ridge_that_is_turned_about_its_own_line_turns_by_that():
    ridge = surface_map(lambda x, y: -((x - 12) ** 2) / 500 - 0.2 * x)
    for x in (12.0, 30.0, -6.0):  # the slope of a parabola at any place, not only at its top
        rotation = surface_rotation_rad(ridge, np.full(len(Y), x), Y, 50.0)
        assert np.allclose(np.tan(rotation), 0.2 + 2 * (x - 12) / 500, atol=1e-7)


def test_the_normal_of_a_cylinder_points_away_from_its_axis():
    cylinder = surface_map(lambda x, y: np.sqrt(200.0**2 - x**2))
    on_axis = surface_rotation_rad(cylinder, np.zeros(len(Y)), Y, 50.0)
    assert np.allclose(on_axis, 0, atol=1e-12)
    right = surface_rotation_rad(cylinder, np.full(len(Y), 40.0), Y, 35.0)
    assert np.allclose(right, np.arcsin(40 / 200), rtol=0.05) and (right > 0).all()


@pytest.mark.parametrize("half_width", [35.0, 50.0, 64.9])
def test_a_mirrored_back_turns_the_other_way(half_width):
    skin = scanned(40).surface.height()
    y = np.linspace(skin.y_mm[40], skin.y_mm[-40], 30)
    x = 20 * np.sin(y / 90)
    rotation = surface_rotation_rad(skin, x, y, half_width)
    other = surface_rotation_rad(mirrored(skin), -x, y, half_width)
    assert np.isfinite(rotation).sum() > 20
    assert np.allclose(rotation, -other, atol=1e-9, equal_nan=True)


def test_what_is_not_seen_is_not_known():
    plane = surface_map(lambda x, y: 0.3 * x)
    x, y = np.meshgrid(plane.x_mm, plane.y_mm)
    line = np.zeros(len(Y))
    half = surface_rotation_rad(unseen(plane, (x > 10) & (y > 200)), line, Y, 50.0)
    assert np.isnan(half[Y > 220]).all() and np.allclose(half[Y < 180], np.arctan(-0.3))
    hole = surface_rotation_rad(unseen(plane, (x > 10) & (x < 30)), line, Y, 50.0)
    assert np.allclose(hole, np.arctan(-0.3), atol=1e-7)
    assert np.isnan(surface_rotation_rad(plane, np.array([400.0]), np.array([100.0]), 50.0)).all()


def test_several_windows_are_averaged():
    bump = surface_map(lambda x, y: 0.2 * x - 8 * np.exp(-0.5 * ((x - 25) / 20) ** 2))
    line = np.zeros(len(Y))
    one, two = (surface_rotation_rad(bump, line, Y, width) for width in (35.0, 65.0))
    assert np.abs(one - two).min() > np.radians(1)
    assert np.allclose(mean_rotation_rad(bump, line, Y, (35.0, 65.0)), (one + two) / 2)
    x, _ = np.meshgrid(bump.x_mm, bump.y_mm)
    narrow = unseen(bump, np.abs(x) > 25)  # enough for the first window only
    assert np.isfinite(surface_rotation_rad(narrow, line, Y, 35.0)).all()
    assert np.isnan(mean_rotation_rad(narrow, line, Y, (35.0, 65.0))).all()
