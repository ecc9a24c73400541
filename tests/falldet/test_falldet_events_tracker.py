"""The tracker keeps people apart by time, and zones hold what is drawn in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from falldet.events.options import EventOptions, TrackOptions, ZoneOptions
from falldet.events.tracker import TrackedBox, Tracker
from falldet.events.zones import shared_area, zone_of

steps = st.floats(-40, 40)
STRONG = np.array([0.9], np.float32)


def walk(steps_px: Sequence[tuple[float, float]], every_s: float) -> set[int]:
    """Numbers that a person of 60 x 180 px gets on their way."""
    tracker, box, numbers = Tracker(TrackOptions()), np.array([300.0, 100, 360, 280]), set()
    for k, (x, y) in enumerate(steps_px):
        box = box + np.array([x, y, x, y])
        numbers |= set(tracker.look(box[None].astype(np.float32), STRONG, 0.2, k * every_s).tolist())
    return numbers


def test_a_walker_stays_one_person_at_two_looks_a_second() -> None:
    """A metre is about 105 px here; at 1.3 m/s boxes half a second apart do not even touch."""
    assert walk([(68, 3)] * 10, 0.5) == {1}
    assert walk([(68, 0)] * 4 + [(0, 0)] * 3 + [(-68, 0)] * 4, 0.5) == {1}


def test_somebody_far_away_at_once_is_somebody_else() -> None:
    assert len(walk([(0, 0)] * 3 + [(900, 0)] + [(0, 0)] * 3, 0.1)) == 2


def test_a_fall_does_not_change_who_it_is() -> None:
    tracker = Tracker(TrackOptions())
    boxes = [(300, 100, 360, 280)] * 4 + [(300, 150, 400, 285), (310, 235, 480, 290), (310, 235, 480, 290)]
    seen = [
        tracker.look(np.array([box], np.float32), STRONG, 0.2, k / 2).tolist() for k, box in enumerate(boxes)
    ]
    assert seen == [[1]] * 7


def test_two_who_cross_keep_two_numbers() -> None:
    tracker, numbers = Tracker(TrackOptions()), []
    for k in range(13):
        left, right = 100 + 30 * k, 460 - 30 * k
        boxes = np.array([[left, 100, left + 50, 270], [right, 120, right + 60, 310]], np.float32)
        numbers.append(tracker.look(boxes, np.array([0.9, 0.8], np.float32), 0.2, k / 4).tolist())
    assert {n for pair in numbers for n in pair} == {1, 2}
    assert all(len(set(pair)) == 2 for pair in numbers)


@settings(max_examples=30)
@given(st.floats(0.02, 5.0), st.lists(st.tuples(steps, steps), min_size=1, max_size=30))
def test_uncertainty_stays_positive_and_grows_only_while_unseen(
    every_s: float, moves: list[tuple[float, float]]
) -> None:
    tracked, box = TrackedBox(1, np.array([300.0, 100, 360, 280]), 0.0), np.array([300.0, 100, 360, 280])
    for k, (x, y) in enumerate(moves, 1):
        before = tracked._xx.copy()
        tracked.expect(k * every_s)
        assert (tracked._xx >= before - 1e-9).all()
        expected = tracked._xx.copy()
        box = box + np.array([x, y, x, y])
        tracked.see(box)
        assert (tracked._xx > 0).all() and (tracked._xx <= expected).all() and (tracked._vv >= -1e-9).all()
        assert (tracked._xx * tracked._vv - tracked._xv**2 >= -1e-6 * (1 + tracked._xx * tracked._vv)).all()


def test_a_still_box_is_found_where_it_is_and_scales_with_the_picture() -> None:
    tracked, box = TrackedBox(1, np.array([10.0, 20, 50, 100]), 0.0), np.array([10.0, 20, 50, 100])
    for k in range(1, 20):
        tracked.expect(k / 2)
        tracked.see(box)
    tracked.expect(12.0)
    assert tracked.box_px == pytest.approx(box, abs=0.5)
    tracked.rescale(2.0, 0.5)
    assert tracked.box_px == pytest.approx([20, 10, 100, 50], abs=1)


boxes = st.tuples(st.floats(0, 0.8), st.floats(0, 0.8), st.floats(0.05, 0.5), st.floats(0.05, 0.5)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
L_SHAPE = ((0.1, 0.1), (0.5, 0.1), (0.5, 0.3), (0.3, 0.3), (0.3, 0.7), (0.1, 0.7))


@given(boxes)
def test_area_shared_with_a_concave_zone_is_that_of_its_parts(box: tuple[float, float, float, float]) -> None:
    upper = ((0.1, 0.1), (0.5, 0.1), (0.5, 0.3), (0.1, 0.3))
    lower = ((0.1, 0.3), (0.3, 0.3), (0.3, 0.7), (0.1, 0.7))
    whole = shared_area(L_SHAPE, box)
    assert whole == pytest.approx(shared_area(upper, box) + shared_area(lower, box), abs=1e-9)
    assert shared_area(L_SHAPE[::-1], box) == pytest.approx(whole, abs=1e-9)
    assert 0 <= whole <= (box[2] - box[0]) * (box[3] - box[1]) + 1e-9


def test_a_box_is_in_a_zone_with_most_of_it_or_with_its_foot() -> None:
    bed = ZoneOptions(name="bed", polygon=((0.2, 0.5), (0.8, 0.5), (0.8, 0.8), (0.2, 0.8)))
    size = (1000, 500)
    assert zone_of((250, 240, 500, 380), size, [bed]) == bed  # sits up: the foot and some of the box
    assert zone_of((250, 260, 500, 450), size, [bed]) == bed  # a leg hangs out: most of the box
    assert zone_of((250, 350, 500, 490), size, [bed]) is None  # on the floor before it
    assert zone_of((250, 20, 330, 300), size, [bed]) is None  # stands behind it
    assert zone_of((300, 300, 300, 300), size, [bed]) is None


@pytest.mark.parametrize(
    ("polygon", "why"),
    [
        (((0, 0), (1, 0)), "at least 3"),
        (((0, 0), (1, 0), (0.5, 0)), "next to nothing"),
        (((0, 0), (0.9, 1), (1, 0), (0, 0.7)), "cross"),
        (((0, 0), (1.2, 0), (0.5, 0.5)), "less than or equal to 1"),
    ],
)
def test_zones_that_mean_nothing_are_refused(polygon: tuple, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ZoneOptions(name="bed", polygon=polygon)


def test_settings_that_can_never_alarm_are_refused() -> None:
    with pytest.raises(ValidationError, match="can never be fallen"):
        EventOptions(looks=4, of=3)
    with pytest.raises(ValidationError, match="no duration"):
        EventOptions(looks=1, of=3, min_duration_s=1)
