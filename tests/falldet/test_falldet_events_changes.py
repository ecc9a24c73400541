"""What is not as it was: who walks in, not the furniture, the lamp or the noise."""

from __future__ import annotations

import numpy as np

from falldet.events.changes import Changes

BOX = np.array([[100, 60, 180, 120]], np.float32)
ELSEWHERE = np.array([[10, 10, 60, 60]], np.float32)


def room(rng: np.random.Generator, *, person: bool = False, light: int = 0) -> np.ndarray:
    rgb = np.full((240, 320, 3), 110, np.int16)
    rgb[150:200, 20:90] = 60
    if person:
        rgb[60:120, 100:180] = 170
    noisy = rgb + light + rng.normal(0, 4, (240, 320, 1)).astype(np.int16)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def watched(seconds: float, changes: Changes | None = None) -> tuple[Changes, np.random.Generator]:
    changes, rng = changes or Changes(), np.random.default_rng(5)
    for k in range(int(seconds * 2)):
        changes.look(room(rng), k / 2)
    return changes, rng


def test_a_person_is_news_and_a_still_room_is_not() -> None:
    changes, rng = watched(20)
    assert changes.within(BOX)[0] < 0.02
    changes.look(room(rng, person=True), 20.0)
    assert changes.within(BOX)[0] > 0.8 and changes.within(ELSEWHERE)[0] < 0.02


def test_a_lamp_that_is_switched_on_is_no_news() -> None:
    changes, rng = watched(20)
    changes.look(room(rng, light=40), 20.0)
    assert changes.within(BOX)[0] < 0.05


def test_who_lies_there_for_long_is_news_no_more() -> None:
    changes, rng = watched(60)
    shares = []
    for k in range(600):
        changes.look(room(rng, person=True), 60 + k / 2)
        shares.append(changes.within(BOX)[0])
    assert min(shares[:40]) > 0.8 and shares[-1] < 0.05


def test_who_left_soon_after_the_beginning_is_forgotten_soon() -> None:
    changes, rng = Changes(), np.random.default_rng(5)
    for k in range(12):
        changes.look(room(rng, person=k < 2), k / 2)
    assert changes.within(BOX)[0] < 0.05


def test_another_shape_or_an_earlier_time_begins_afresh() -> None:
    changes, rng = watched(20)
    changes.look(room(rng, person=True)[:, :200], 20.5)
    assert changes.within(BOX)[0] < 0.05
    changes, rng = watched(20)
    changes.look(room(rng, person=True), 0.0)
    assert changes.within(BOX)[0] < 0.05


def test_boxes_at_the_edge_and_empty_ones_have_a_share() -> None:
    changes, _ = watched(3)
    odd = np.array([[0, 0, 0, 0], [319.6, 239.6, 320, 240], [-5, -5, 400, 300]], np.float32)
    assert changes.within(odd).shape == (3,) and np.isfinite(changes.within(odd)).all()
    assert changes.within(np.zeros((0, 4), np.float32)).shape == (0,)
    assert Changes().within(odd).tolist() == [0, 0, 0]
