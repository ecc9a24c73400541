"""Evidence that was learned: shipped, it tells falls from daily life; learned anew, it only ever rises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from falling_people import DOWN, SIZE_PX, UP, Person, said

from falldet.detections import Detections
from falldet.events.annotations import FALL, Interval
from falldet.events.course import FEATURES
from falldet.events.event import FallEvent
from falldet.events.learning import learn
from falldet.events.lying import LyingModel, read_lying, shipped_lying, write_lying
from falldet.events.options import EventOptions
from falldet.events.scoring import Looked
from falldet.events.thresholds import decision
from falldet.events.watcher import Watcher
from falldet.events.zones import Box
from suite.errors import BadInput

TALL: Person = (UP, 0.12, 0.7)
FLAT: Person = (DOWN, 0.65, 0.12)
SITS: Person = ((300.0, 160.0, 370.0, 280.0), 0.2, 0.5)
CHAIR: Person = ((60.0, 300.0, 140.0, 380.0), 0.45, 0.2)


class Card:
    name = "light"
    threshold = 0.7


def watch(looks: list[list[Person]], changed: float = 0.6) -> list[tuple[float, FallEvent]]:
    """What is told of people under the shipped evidence; each box is news but for those of chairs."""
    how = decision(EventOptions(), "light", Card())
    watcher = Watcher("hall", how.options, (), how.threshold, (), how.lying)
    told = []
    for k, people in enumerate(looks):
        found = said(people)
        shares = np.where(found.boxes_px[:, 0] == CHAIR[0][0], 0.0, changed).astype(np.float64)
        told += [(k / 2, event) for event in watcher.look(found, SIZE_PX, k / 2, k / 2, shares)]
    return told


def test_a_fall_is_told_of_soon_and_once() -> None:
    told = watch([[TALL]] * 20 + [[FLAT]] * 40)
    assert [event.state for _, event in told] == ["confirmed"]
    assert 10.0 < told[0][0] <= 12.5 and 0.9 <= told[0][1].confidence <= 1


def test_daily_life_and_furniture_are_quiet() -> None:
    assert watch([[TALL, CHAIR]] * 20 + [[SITS, CHAIR]] * 40 + [[TALL, CHAIR]] * 20) == []


def test_who_was_never_seen_up_is_found_too() -> None:
    sure: Person = (DOWN, 0.85, 0.06)
    assert [event.state for _, event in watch([[sure]] * 40)] == ["confirmed"]
    told = watch([[sure]] * 60, changed=0.0)  # not even seen to move since the watch began
    assert [event.state for _, event in told] == ["confirmed"] and 8.0 <= told[0][0] <= 15.0
    assert watch([[CHAIR]] * 200) == []


def test_who_gets_up_and_falls_again_at_once_is_told_of_again() -> None:
    told = watch([[TALL]] * 20 + [[FLAT]] * 20 + [[TALL]] * 4 + [[FLAT]] * 20)
    assert [event.state for _, event in told] == ["confirmed", "recovered", "confirmed"]


def test_more_of_what_speaks_for_a_fall_is_never_less() -> None:
    model, rng = shipped_lying(), np.random.default_rng(2)
    signs = np.array(list(FEATURES.values()))
    low = rng.normal(0, 1.5, (500, len(FEATURES)))
    more = low + signs * rng.exponential(0.5, low.shape) * (rng.random(low.shape) < 0.3)
    assert (model.probability(more) >= model.probability(low)).all()
    assert model.probability(low + 4 * signs).min() > model.probability(low - 4 * signs).max()


def film(rng: np.random.Generator, falls: bool) -> tuple[Looked, list[list[tuple[Box, str]]]]:
    """A minute in which somebody falls, or sits down."""
    looks, people, onset = [], [], int(rng.integers(40, 60))
    for k in range(120):
        box, fallen, other = (FLAT if falls else SITS) if k >= onset else TALL
        shift = rng.normal(0, 3, 4)
        x1, y1, x2, y2 = (np.array(box) + shift).tolist()
        looks.append((k / 2, said([((x1, y1, x2, y2), fallen * float(rng.uniform(0.6, 1)), other)])))
        people.append([((x1, y1, x2, y2), ("supine" if falls else "sit") if k >= onset else "walk")])
    acts = (Interval(FALL, onset / 2, 60.0),) if falls else ()
    changed = tuple(np.full(len(found), 0.5) for _, found in looks)
    return Looked("film", SIZE_PX, 60.0, tuple(looks), acts, changed), people


def test_learning_separates_tracks_that_it_has_not_seen(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    told = {"detector": "drawn", "long_px": 416, "threshold": 0.5}
    model = learn([film(rng, falls) for falls in (True, False) * 3], told)
    assert (model.rises >= 0).all()
    write_lying(tmp_path / "lying.json", model)
    again = read_lying(tmp_path / "lying.json")
    features = rng.normal(0, 1, (50, len(FEATURES)))
    assert np.allclose(again.probability(features), model.probability(features), atol=1e-3)
    for falls in (True, False):
        looked, _ = film(rng, falls)
        watcher = Watcher("hall", EventOptions(looks=2, of=3, min_duration_s=0.4), (), 0.5, (), again)
        events = [
            event
            for (time_s, found), shares in zip(looked.looks, looked.changed, strict=True)
            for event in watcher.look(found, SIZE_PX, time_s, time_s, shares)
        ]
        assert len(events) == falls


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data["curves"].pop("plunge"),
        lambda data: data["curves"]["plunge"]["rises"].append(1.0),
        lambda data: data["curves"]["plunge"]["knots"].reverse(),
        lambda data: data["curves"]["plunge"].update(rises=[-1.0, 0, 0, 0]),
        lambda data: data.update(base=float("nan")),
        lambda data: data["learned"].update(threshold=1.5),
        lambda data: data.pop("learned"),
        lambda data: data.update(curves=[1, 2]),
    ],
)
def test_a_spoilt_file_is_one_line(tmp_path: Path, spoil) -> None:
    write_lying(tmp_path / "a.json", shipped_lying())
    data = json.loads((tmp_path / "a.json").read_text())
    spoil(data)
    (tmp_path / "b.json").write_text(json.dumps(data))
    with pytest.raises(BadInput, match=r"b\.json"):
        read_lying(tmp_path / "b.json")


def test_a_missing_and_a_torn_file_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "torn.json").write_text('{"version": 1, "cur')
    for name in ("torn.json", "none.json"):
        with pytest.raises(BadInput, match=name):
            read_lying(tmp_path / name)


def test_evidence_is_for_the_detector_that_it_was_learned_with() -> None:
    class Own:
        name, threshold = "ward", 0.4

    track, score = (EventOptions(evidence=evidence) for evidence in ("track", "score"))
    assert decision(EventOptions(), "light", Card()).lying is not None
    assert decision(EventOptions(), "runs/light", Card()).lying is None  # somebody's own, called as ours
    own = decision(EventOptions(), "runs/ward", Own())
    assert own.lying is None and own.threshold == 0.4 and own.long_px is None and own.options.looks == 4
    assert decision(track, "runs/ward", Own()).lying is not None
    assert decision(score, "light", Card()).lying is None


def test_settings_that_somebody_gave_are_used() -> None:
    given = EventOptions(threshold=0.6, looks=3, of=4)
    how = decision(given, "light", Card())
    assert how.threshold == 0.6 and (how.options.looks, how.options.of) == (3, 4)
    assert decision(EventOptions(), "light", Card()).options.looks == 2


def test_nobody_is_no_trouble() -> None:
    how = decision(EventOptions(), "light", Card())
    watcher = Watcher("hall", how.options, (), how.threshold, (), how.lying)
    assert watcher.look(Detections.none(), SIZE_PX, 0.0, 0.0, np.zeros(0)) == []
    assert isinstance(how.lying, LyingModel)
