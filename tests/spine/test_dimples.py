"""Dimples: two hollows beside the base are found where they are, and none is made up."""

from __future__ import annotations

import numpy as np
import pytest
from landmark_scans import mirrored, surface_map, unseen

from spine.dimples import find_dimples
from spine.heightmap import HeightMap

LEFT, RIGHT = (-38.0, 4.0), (42.0, 8.0)


def sacrum(*cups: tuple[float, float], depth_mm: float = 4.0) -> HeightMap:
    """A furrowed, rounded lower back with hollows of this depth at these places."""

    def z(x, y):
        skin = -(x**2) / 700 - (y - 60) ** 2 / 1500 - 3 * np.exp(-0.5 * (x / 12) ** 2)
        for at_x, at_y in cups:
            skin = skin - depth_mm * np.exp(-0.5 * ((x - at_x) ** 2 + (y - at_y) ** 2) / 9.0**2)
        return skin

    return surface_map(z, y=(-80.0, 120.0))


def test_two_hollows_are_found_where_they_are():
    (left, right), confidence = find_dimples(sacrum(LEFT, RIGHT))
    assert left is not None and right is not None
    assert np.hypot(*(left[:2] - LEFT)) < 3 and np.hypot(*(right[:2] - RIGHT)) < 3
    assert left[2] == pytest.approx(sacrum(LEFT, RIGHT).sample(left[0], left[1]))
    assert 0.2 < confidence <= 1


def test_shallow_hollows_are_less_certain_than_deep_ones():
    shallow, deep = (find_dimples(sacrum(LEFT, RIGHT, depth_mm=d))[1] for d in (3.2, 6.0))
    assert 0 < shallow < deep


@pytest.mark.parametrize(
    "cups",
    [(), (LEFT,), (RIGHT,), (LEFT, (42.0, 38.0)), (LEFT, (78.0, 4.0)), ((-38.0, 90.0), (42.0, 90.0))],
    ids=["smooth", "left only", "right only", "unlike heights", "too far out", "too high"],
)
def test_none_is_made_up(cups):
    assert find_dimples(sacrum(*cups)) == ((None, None), 0.0)


def test_a_mirrored_back_has_them_mirrored():
    (left, right), confidence = find_dimples(sacrum(LEFT, RIGHT))
    (other_left, other_right), other_confidence = find_dimples(mirrored(sacrum(LEFT, RIGHT)))
    assert left is not None and right is not None and other_left is not None and other_right is not None
    assert np.allclose(left * [-1, 1, 1], other_right) and np.allclose(right * [-1, 1, 1], other_left)
    assert confidence == pytest.approx(other_confidence)


def test_a_hole_in_the_scan_is_no_dimple():
    back = sacrum(LEFT, RIGHT)
    x, y = np.meshgrid(back.x_mm, back.y_mm)
    hole = unseen(back, np.hypot(x - LEFT[0], y - LEFT[1]) < 12)
    assert find_dimples(hole) == ((None, None), 0.0)
