"""Laws of events: when somebody is told of a fall, and when not."""

from __future__ import annotations

import numpy as np
import pytest
from falling_people import DOWN, SIZE_PX, Person, down, said, up, watch
from hypothesis import given, settings
from hypothesis import strategies as st

from falldet.detections import Detections
from falldet.events.confirm import Evidence, Look
from falldet.events.event import FallEvent, event_id
from falldet.events.options import EventOptions, ZoneOptions
from falldet.events.watcher import Watcher

OPTIONS = EventOptions(
    looks=3, of=4, sure=1, window_s=1.8, min_duration_s=1.0, recovery_s=3, lost_s=5, cool_down_s=10
)
BED = ZoneOptions(name="bed", polygon=((0.3, 0.4), (0.75, 0.4), (0.75, 0.7), (0.3, 0.7)))
scores = st.sampled_from([0.0, 0.05, 0.2, 0.45, 0.5, 0.8])
people = st.builds(
    lambda low, x, y, a, b: ((down if low else up)(x, y)[0], a, b),
    st.booleans(),
    st.sampled_from([0.0, 6.0, -230.0, 200.0]),
    st.sampled_from([0.0, 4.0, 150.0]),
    scores,
    scores,
)
films = st.lists(st.lists(people, max_size=3), max_size=24)


def states(told: list[tuple[float, FallEvent]]) -> list[str]:
    return [event.state for _, event in told]


def test_a_fall_is_told_once_with_its_onset_and_ends_when_the_person_is_up() -> None:
    told = watch([[up()]] * 6 + [[down()]] * 10 + [[up()]] * 10, OPTIONS)
    assert states(told) == ["confirmed", "recovered"]
    (confirmed_s, first), (ended_s, last) = told
    assert confirmed_s == 4.0  # the third look at the fallen, one second after the first
    assert (first.onset_unix_s, first.confirmed_unix_s) == (1003.0, 1004.0)
    assert ended_s == 11.0 and last.ended_unix_s == 1011.0
    assert first.id == last.id and first.box_px == pytest.approx(DOWN, abs=0.5)
    assert first.confidence == pytest.approx(0.8, abs=1e-6) == first.peak


@settings(max_examples=20)
@given(films, st.integers(2, 5), st.integers(0, 2))
def test_nobody_is_told_without_enough_fallen_looks(
    looks: list[list[Person]], needed: int, more: int
) -> None:
    options = OPTIONS.model_copy(update={"looks": needed, "of": needed + more})
    told = [event for _, event in watch(looks, options) if event.state == "confirmed"]
    with_fallen = sum(any(person[1] >= 0.5 for person in seen) for seen in looks)
    assert with_fallen >= needed or not told
    for event in told:
        at = round((event.confirmed_unix_s - 1000) / 0.5)
        since = round((event.onset_unix_s - 1000) / 0.5)
        fallen = [any(person[1] >= 0.5 for person in seen) for seen in looks[since : at + 1]]
        assert sum(fallen) >= needed and fallen[-1] and (at - since) * 0.5 >= options.min_duration_s


@settings(max_examples=20)
@given(films)
def test_events_come_in_pairs_each_confirmed_before_it_ends(looks: list[list[Person]]) -> None:
    open_ids: set[str] = set()
    seen_ids: set[str] = set()
    for _, event in watch(looks, OPTIONS):
        if event.state == "confirmed":
            assert event.id not in seen_ids
            open_ids.add(event.id)
            seen_ids.add(event.id)
        else:
            open_ids.remove(event.id)
        assert event.onset_unix_s <= event.confirmed_unix_s
        assert event.confidence <= event.peak + 1e-9


@settings(max_examples=20)
@given(films, st.randoms(use_true_random=False))
def test_the_order_of_detections_is_irrelevant(looks: list[list[Person]], random: object) -> None:
    plain, mixed = (Watcher("hall", OPTIONS, (), 0.5) for _ in range(2))
    for k, seen in enumerate(looks):
        found = said(seen)
        order = np.arange(len(found))
        random.shuffle(order)  # type: ignore[attr-defined]
        a = plain.look(found, SIZE_PX, k / 2, k / 2)
        b = mixed.look(found.chosen(order), SIZE_PX, k / 2, k / 2)
        assert a == b and plain.tracks == mixed.tracks


@settings(max_examples=20)
@given(films)
def test_a_zone_over_everything_silences_and_one_elsewhere_changes_nothing(looks: list[list[Person]]) -> None:
    whole = ZoneOptions(name="all", polygon=((0, 0), (1, 0), (1, 1), (0, 1)))
    corner = ZoneOptions(name="corner", polygon=((0.98, 0.98), (1, 0.98), (1, 1)))
    assert watch(looks, OPTIONS, [whole]) == []
    assert watch(looks, OPTIONS, [corner]) == watch(looks, OPTIONS)


@settings(max_examples=20)
@given(films, st.floats(-1e6, 1e6), st.lists(st.floats(-1e7, 1e7), min_size=24, max_size=24))
def test_jumps_of_the_wall_clock_change_labels_only(
    looks: list[list[Person]], by: float, jumps: list[float]
) -> None:
    told = []
    for shift in (lambda k: 0.0, lambda k: by + jumps[k]):
        watcher = Watcher("hall", OPTIONS, (), 0.5)
        told.append([])
        for k, seen in enumerate(looks):
            for event in watcher.look(said(seen), SIZE_PX, k / 2, 5e8 + k / 2 + shift(k)):
                told[-1].append((k, event.state, event.track, event.box_px, event.confidence))
    assert told[0] == told[1]


@settings(max_examples=20)
@given(films, st.floats(1.0, 3.0))
def test_only_differences_of_time_count(looks: list[list[Person]], factor: float) -> None:
    plain = watch(looks, OPTIONS)
    later = watch(looks, OPTIONS, start_s=4096.0)
    assert [(t + 4096, e.state, e.track) for t, e in plain] == [(t, e.state, e.track) for t, e in later]


def test_two_people_who_fall_apart_are_two_events_even_within_the_cool_down() -> None:
    told = watch([[up(), up(-280)]] * 3 + [[down(), up(-280)]] * 8 + [[down(), down(-280, 120)]] * 8, OPTIONS)
    assert states(told) == ["confirmed", "confirmed"]
    assert told[0][1].track != told[1][1].track


def test_parts_of_the_fallen_and_helpers_beside_them_are_no_second_event() -> None:
    torso: Person = ((255.0, 235.0, 330.0, 288.0), 0.7, 0.1)
    told = watch([[up()]] * 3 + [[down(), torso]] * 20, OPTIONS)
    assert states(told) == ["confirmed"]


def test_an_event_outlives_a_lost_track_and_ends_as_lost_when_nobody_is_seen() -> None:
    told = watch([[up()]] * 3 + [[down()]] * 6 + [[]] * 9 + [[down()]] * 6 + [[]] * 12, OPTIONS)
    assert states(told) == ["confirmed", "lost"]


def test_who_was_up_again_and_falls_again_is_told_of_within_the_cool_down() -> None:
    again = [[down()]] * 6 + [[up()]] * 8
    told = watch([[up()]] * 3 + again + again, OPTIONS)
    assert states(told) == ["confirmed", "recovered", "confirmed", "recovered"]


def test_what_never_left_its_place_is_quiet_for_the_cool_down_and_then_is_not() -> None:
    """A chair that is now called fallen and now not."""
    chair: Person = (DOWN, 0.02, 0.8)
    again = [[down()]] * 6 + [[chair]] * 8
    assert states(watch(again + again, OPTIONS)) == ["confirmed", "recovered"]
    told = watch(again + [[chair]] * 20 + again, OPTIONS)
    assert states(told) == ["confirmed", "recovered", "confirmed", "recovered"]
    told = watch(again + [[down()]] * 30, OPTIONS)  # who still lies there when it is over is told of
    assert states(told) == ["confirmed", "recovered", "confirmed"]


def test_an_event_hides_nobody_who_falls_beside_it_in_the_same_place() -> None:
    lies, stands = down(), up(40.0, 0.0)
    falls = down(50.0, 20.0)
    before = [[up(), stands]] * 4 + [[lies, stands]] * 6
    told = watch(before + [[lies, falls]] * 8, OPTIONS)
    assert states(told) == ["confirmed", "confirmed"]
    assert told[0][1].track != told[1][1].track
    # The one who lay there has got up; an event that is still open is not the other's.
    told = watch(before + [[up(), stands]] * 2 + [[up(-20.0), falls]] * 10, OPTIONS)
    assert states(told) == ["confirmed", "confirmed", "recovered"]
    assert told[2][1].id == told[0][1].id


def test_who_fell_where_somebody_was_lost_is_told_of() -> None:
    watcher = Watcher("hall", OPTIONS, (), 0.5)
    told = watch([[up()]] * 3 + [[down()]] * 6 + [[]] * 12, watcher=watcher)
    assert states(told) == ["confirmed", "lost"]
    assert watch([[down()]] * 6, watcher=watcher, start_s=11.0) == []  # the same one is seen again
    told = watch([[up(-90)]] * 4 + [[down()]] * 6, watcher=watcher, start_s=14.5)
    assert states(told) == ["confirmed"]


def test_evidence_is_not_carried_over_a_gap_and_a_gap_ends_no_event() -> None:
    watcher = Watcher("hall", OPTIONS, (), 0.5)
    assert watch([[up()]] * 3 + [[down()]] * 2, watcher=watcher) == []
    assert watch([[down()]] * 2, watcher=watcher, start_s=60.0) == []
    assert states(watch([[down()]] * 2, watcher=watcher, start_s=61.0)) == ["confirmed"]
    assert watch([[down()]] * 4, watcher=watcher, start_s=900.0) == []  # nobody knows of the time between


def test_rare_looks_suffice_and_many_looks_a_second_are_not_enough_by_number() -> None:
    assert states(watch([[up()]] * 3 + [[down()]] * 3, OPTIONS, every_s=2.5)) == ["confirmed"]
    told = watch([[up()]] * 40 + [[down()]] * 60, OPTIONS, every_s=0.04)
    assert states(told) == ["confirmed"] and told[0][0] - 1.6 >= OPTIONS.min_duration_s


def test_a_recording_that_begins_again_begins_afresh() -> None:
    watcher = Watcher("hall", OPTIONS, (), 0.5)
    assert states(watch([[up()]] * 3 + [[down()]] * 5, watcher=watcher, start_s=100)) == ["confirmed"]
    assert states(watch([[up()]], watcher=watcher)) == ["lost"]
    assert states(watch([[down()]] * 5, watcher=watcher, start_s=1)) == ["confirmed"]
    assert watcher.look(said([up()]), SIZE_PX, 3.0, 0.0) == []  # the same time again is no look


def test_after_a_restart_an_open_event_goes_on_and_is_not_doubled() -> None:
    (_, event), *_ = watch([[up()]] * 3 + [[down()]] * 5, OPTIONS)
    resumed = Watcher("hall", OPTIONS, (), 0.5, open_events=[event])
    told = watch([[down()]] * 12 + [[up()]] * 12, watcher=resumed, start_s=7.0)
    assert states(told) == ["recovered"] and told[0][1].id == event.id
    gone = Watcher("hall", OPTIONS, (), 0.5, open_events=[event])
    assert states(watch([[]] * 30, watcher=gone, start_s=7.0)) == ["lost"]


def test_a_stream_that_changes_its_size_keeps_its_event() -> None:
    watcher = Watcher("hall", OPTIONS, (), 0.5)
    assert states(watch([[up()]] * 3 + [[down()]] * 5, watcher=watcher)) == ["confirmed"]
    found = said([down()])
    half = Detections(found.boxes_px / 2, found.scores, found.labels)
    assert [watcher.look(half, (320, 240), 4 + k / 2, 0.0) for k in range(8)] == [[]] * 8
    assert [track.state for track in watcher.tracks] == ["fallen"]


def test_who_lies_in_bed_is_shown_as_ignored_and_who_rolls_out_of_it_is_told_of() -> None:
    watcher = Watcher("hall", OPTIONS, [BED], 0.5)
    assert watch([[down()]] * 12, watcher=watcher) == []
    assert [(track.state, track.zone) for track in watcher.tracks] == [("ignored", "bed")]
    assert states(watch([[down(0, 130)]] * 6, watcher=watcher, start_s=6.0)) == ["confirmed"]


def test_weak_boxes_go_on_with_a_track_and_begin_none() -> None:
    weak: Person = (DOWN, 0.12, 0.0)
    watcher = Watcher("hall", OPTIONS, (), 0.5)
    watch([[weak]] * 3, watcher=watcher)
    assert watcher.tracks == ()
    watch([[down()], [weak]], watcher=watcher, start_s=2.0)
    assert [track.id for track in watcher.tracks] == [1]


def test_smoothed_scores_stay_between_the_looks() -> None:
    evidence = Evidence(OPTIONS)
    for k, score in enumerate([0.2, 0.9, 0.9, 0.1]):
        evidence.add(Look(k / 2, 0.0, score, 2 * score))
        assert 0.1 <= evidence.smooth <= 0.9


def test_events_as_json_and_their_names() -> None:
    (_, event), *_ = watch([[up()]] * 3 + [[down()]] * 5, OPTIONS)
    data = event.as_dict()
    assert data["onset"] == "1970-01-01T00:16:41.500Z" and data["ended"] is None
    assert FallEvent.from_dict(data).id == event.id
    names = {event_id(name, 1.5, 2.0, 1) for name in ("front door", "front-door", "../etc", "Flur ä", "")}
    assert len(names) == 5 and all(set(name) <= set(map(chr, range(45, 123))) - {"/", "."} for name in names)
    with pytest.raises(ValueError, match="confirmed with the end"):
        FallEvent("a", "b", 1, 0, 0, 1.0, 0.5, 0.5, DOWN, SIZE_PX, "confirmed")
