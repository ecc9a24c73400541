"""Who goes down before the camera is told apart from who only looks low, and counts for more."""

from __future__ import annotations

import pytest
from falling_people import DOWN, UP, Person, down, up, watch

from falldet.events.confirm import Evidence, Look
from falldet.events.options import EventOptions
from falldet.events.sinking import MEMORY_S, Upright

PLAIN = EventOptions(looks=3, of=4, sure=1, sank=1, window_s=1.8, min_duration_s=0.5, recovery_s=3)
UNSURE = 0.4  # beside watch()'s threshold of .5


def test_low_beside_upright_has_sunk_until_it_is_forgotten() -> None:
    upright = Upright()
    assert not upright.sank(0.0, DOWN)
    upright.add(0.0, UP)
    assert upright.sank(1.0, DOWN)
    assert not upright.sank(1.0, UP)
    assert not upright.sank(MEMORY_S + 0.1, DOWN)


def test_a_box_that_grows_small_far_away_has_not_sunk() -> None:
    upright = Upright()
    upright.add(0.0, UP)
    x1, y1, x2, y2 = UP
    away = (x1 + 20, y1 - 10, x2 - 10, y2 - 80)  # feet and head are higher in the picture: further off
    assert not upright.sank(1.0, away)


def test_a_picture_of_another_size_moves_what_is_remembered() -> None:
    upright = Upright()
    upright.add(0.0, UP)
    upright.rescale(0.5, 0.5)
    x1, y1, x2, y2 = (edge / 2 for edge in DOWN)
    assert upright.sank(1.0, (x1, y1, x2, y2))
    assert not upright.sank(1.0, (250.0, 210.0, 420.0, 290.0))  # as tall as people were, in this size


def test_unsure_scores_suffice_for_who_was_seen_to_go_down_and_for_nobody_else() -> None:
    sinking = PLAIN.model_copy(update={"sank": 1.3})
    falls, lies = [[up()]] * 4 + [[down(score=UNSURE)]] * 8, [[down(score=UNSURE)]] * 12
    assert watch(falls, PLAIN) == [] and watch(lies, sinking) == []
    assert [event.state for _, event in watch(falls, sinking)] == ["confirmed"]


@pytest.mark.parametrize(("score", "looks"), [(0.55, 3), (0.99, 2)])
def test_surer_looks_need_to_be_fewer(score: float, looks: int) -> None:
    options = PLAIN.model_copy(update={"sure": 2.0})
    told = watch([[up()]] * 4 + [[down(score=score)]] * 8, options)
    assert told[0][0] == pytest.approx((4 + looks - 1) / 2)


def test_one_look_is_never_enough_however_sure_where_a_duration_is_asked() -> None:
    certain: Person = (DOWN, 1.0, 0.0)
    options = PLAIN.model_copy(update={"sure": 100.0})
    assert watch([[up()]] * 4 + [[certain]] + [[up()]] * 4, options) == []


def test_looks_before_the_first_fallen_one_do_not_count() -> None:
    evidence = Evidence(PLAIN)
    for k in range(8):
        evidence.add(Look(k / 2, 0.0, 0.8, 1.0 if k >= 5 else 0.0))
    found = evidence.confirmed()
    assert found is not None and [look.time_s for look in found] == [2.5, 3.0, 3.5]
