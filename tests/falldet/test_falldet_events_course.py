"""What looks say together: the same wherever the camera hangs, and more of falls than of who lies down."""

from __future__ import annotations

import numpy as np
import pytest
from falling_people import DOWN, SIZE_PX, UP

from falldet.events.course import FEATURES, Courses
from falldet.events.follower import Followed
from falldet.events.zones import Box

Look = tuple[Box, float, float]
STANDS: Look = (UP, 0.1, 0.7)
LIES: Look = (DOWN, 0.7, 0.1)
PLACE = {name: k for k, name in enumerate(FEATURES)}


def courses(
    looks: list[Look], *, every_s: float = 0.5, scale: float = 1.0, by: tuple[float, float] = (0, 0)
) -> np.ndarray:
    """The features of one person after each look, in a picture ``scale`` times as large, moved ``by``."""
    course, found = Courses(), []
    size_px = round(SIZE_PX[0] * scale), round(SIZE_PX[1] * scale)
    for k, (box, fallen, other) in enumerate(looks):
        x1, y1, x2, y2 = ((edge + by[i % 2]) * scale for i, edge in enumerate(box))
        one = Followed(1, (x1, y1, x2, y2), fallen, other, 0.6)
        found.append(course.look([one], size_px, k * every_s)[0])
    return np.array(found)


FALL = [STANDS] * 8 + [LIES] * 8


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_picture_of_another_resolution_says_the_same(scale: float) -> None:
    assert np.allclose(courses(FALL), courses(FALL, scale=scale), atol=1e-6)


def test_elsewhere_in_the_picture_it_says_the_same() -> None:
    assert np.allclose(courses(FALL), courses(FALL, by=(-90, 60)), atol=1e-6)


def test_who_is_further_away_falls_as_far() -> None:
    def smaller(look: Look) -> Look:
        x1, y1, x2, y2 = (edge / 2 for edge in look[0])
        return (x1, y1, x2, y2), look[1], look[2]

    near, far = courses(FALL), courses([smaller(look) for look in FALL])
    assert np.allclose(near, far, atol=1e-6)


def test_a_fall_plunges_and_lying_down_slowly_does_not() -> None:
    between = [
        (tuple((1 - s) * a + s * b for a, b in zip(UP, DOWN, strict=True)), 0.3, 0.3)
        for s in np.linspace(0, 1, 24)
    ]
    slow = courses([STANDS] * 8 + between + [LIES] * 8)  # pyright: ignore[reportArgumentType]
    fast = courses(FALL)
    assert fast[-1, PLACE["plunge"]] > 2 * slow[-1, PLACE["plunge"]]
    assert fast[9, PLACE["drop_3s"]] > 0.3 > slow[-1, PLACE["drop_3s"]]


def test_looking_twice_as_often_says_nearly_the_same() -> None:
    often = courses([look for look in FALL for _ in range(2)], every_s=0.25)
    seldom = courses(FALL)
    means = [PLACE[name] for name in ("d_2s", "d_4s", "height_1s", "seen_up", "low_s")]
    assert np.allclose(often[-1, means], seldom[-1, means], atol=0.2)


def test_who_gets_another_number_where_they_were_keeps_their_course() -> None:
    both, alone = Courses(), Courses()
    for k in range(8):
        both.look([Followed(1, UP, 0.1, 0.7, 0.6)], SIZE_PX, k / 2)
    found = both.look([Followed(2, DOWN, 0.7, 0.1, 0.6)], SIZE_PX, 4.0)[0]
    fresh = alone.look([Followed(2, DOWN, 0.7, 0.1, 0.6)], SIZE_PX, 4.0)[0]
    assert found[PLACE["seen_up"]] > 0.3 > fresh[PLACE["seen_up"]]


def test_a_chair_is_familiar_after_a_minute_and_who_came_is_not() -> None:
    course = Courses()
    chair = Followed(1, (20.0, 300.0, 80.0, 380.0), 0.3, 0.2, 0.0)
    for k in range(100):
        course.look([chair], SIZE_PX, k / 2)
    old, new = course.look([chair, Followed(2, DOWN, 0.7, 0.1, 0.6)], SIZE_PX, 50.0)
    assert old[PLACE["familiar"]] > 0.9 and new[PLACE["familiar"]] == 0
