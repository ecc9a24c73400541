"""N of M looks: sure looks need to be fewer, one is never enough, and those before the first do not count."""

from __future__ import annotations

import pytest
from falling_people import DOWN, Person, down, up, watch

from falldet.events.confirm import Evidence, Look
from falldet.events.options import EventOptions

PLAIN = EventOptions(looks=3, of=4, sure=1, window_s=1.8, min_duration_s=0.5, recovery_s=3)


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
