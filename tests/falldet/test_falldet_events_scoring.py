"""Alarms against what happened: hits, false alarms, delays, intervals, and what is chosen elsewhere."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from falling_people import SIZE_PX, down, said, up
from hypothesis import given
from hypothesis import strategies as st

from falldet.events.annotations import Annotated, Interval, read_annotations
from falldet.events.choosing import Tried, best, choose, grid
from falldet.events.options import EventOptions
from falldet.events.scoring import Alarm, Looked, alarms, judge, match, poisson
from suite.errors import BadInput

FALL = Interval("fall", 10, 20)


def video(*intervals: Interval, looks: tuple = (), name: str = "a.mp4") -> Looked:
    return Looked(name, SIZE_PX, 60.0, looks, intervals)


def alarm(time_s: float) -> Alarm:
    return Alarm(time_s, time_s - 1, 0.8, (0.0, 0.0, 10.0, 10.0))


@pytest.mark.parametrize(("time_s", "hit"), [(9.9, False), (10, True), (25, True), (25.1, False)])
def test_a_hit_starts_between_the_onset_and_five_seconds_after_the_end(time_s: float, hit: bool) -> None:
    outcomes = match(video(FALL), [alarm(time_s)])
    assert (outcomes[0].alarm is not None) == hit and len(outcomes) == 2 - hit
    assert outcomes[0].delay_s == pytest.approx(time_s - 10) if hit else math.isnan(outcomes[0].delay_s)


def test_a_second_alarm_for_a_fall_is_false_and_says_so() -> None:
    outcomes = match(video(FALL), [alarm(14), alarm(11)])
    assert [one.alarm and one.alarm.time_s for one in outcomes] == [11, 14]
    assert outcomes[1].fall is None and outcomes[1].doing == "again in a fall"


def test_unclear_intervals_count_for_nothing_and_others_name_the_false_alarm() -> None:
    seen = video(Interval("unclear", 10, 20), Interval("sit", 30, 40))
    assert match(seen, [alarm(12)]) == []
    assert [one.doing for one in match(seen, [alarm(35), alarm(50)])] == ["sit", "nothing annotated"]


@given(
    st.lists(st.floats(0, 60), max_size=8),
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 10)), max_size=5),
)
def test_every_fall_and_every_alarm_is_in_one_outcome(times: list[float], spans: list) -> None:
    falls = [Interval("fall", start, start + length) for start, length in spans]
    outcomes = match(video(*falls), [alarm(time_s) for time_s in times])
    assert sum(one.fall is not None for one in outcomes) == len(falls)
    assert sorted(one.alarm.time_s for one in outcomes if one.alarm) == sorted(times)
    assert all(one.fall is not None or one.alarm is not None for one in outcomes)
    assert all(0 <= one.delay_s <= 15 for one in outcomes if one.fall and one.alarm)


def test_the_interval_of_a_rate_is_garwoods() -> None:
    """Tabulated: 0 events 0 to 3.689, 10 events 4.795 to 18.39 (Garwood 1936)."""
    none, ten = poisson(0, 1), poisson(10, 1)
    assert (none.low, none.high) == (0, pytest.approx(3.689, abs=1e-3))
    assert (ten.low, ten.high) == (pytest.approx(4.795, abs=1e-3), pytest.approx(18.390, abs=1e-3))
    assert poisson(10, 4).high == pytest.approx(ten.high / 4)
    assert math.isnan(poisson(1, 0).value)


def film(name: str, fallen: float, upright: float) -> Looked:
    """Somebody who falls at 5 s and gets up at 15 s, with these fallen scores; a look every half second."""
    lying = down(score=fallen)
    standing = (up()[0], upright, 0.5)
    people = [standing] * 10 + [lying] * 20 + [standing] * 20
    looks = tuple((k / 2, said([person])) for k, person in enumerate(people))
    return Looked(name, SIZE_PX, 25.0, looks, (Interval("fall", 4.5, 15), Interval("walk", 0, 4.5)))


def test_judged_videos_add_up() -> None:
    found = judge(
        [film("good", 0.8, 0.1), film("missed", 0.3, 0.1), film("false", 0.8, 0.7)], EventOptions(), 0.5
    )
    assert (found.falls, found.found, found.videos, found.seconds) == (3, 1, 3, 75.0)
    assert found.false == 1 and [one.video for one in found.failures] == ["missed", "false", "false"]
    keys = {metric.key: metric for metric in found.metrics()}
    assert keys["recall"].value == pytest.approx(1 / 3) and keys["precision"].value == pytest.approx(1 / 2)
    assert keys["false_per_hour"].value == pytest.approx(48)
    assert keys["delay_median_s"].value == pytest.approx(2.0)
    assert math.isnan(judge([], EventOptions(), 0.5).delay_s())


def test_what_is_chosen_separates_the_scores() -> None:
    videos = [film("a", 0.45, 0.2), film("b", 0.5, 0.25)]
    settings = [(EventOptions(threshold=at, margin=0.0), at) for at in (0.1, 0.22, 0.3, 0.4, 0.48, 0.6)]
    chosen = choose(videos, settings)
    assert chosen.threshold in (0.3, 0.4)
    assert (chosen.judgement.found, chosen.judgement.false) == (2, 0)
    assert len(alarms(videos[0], chosen.options, chosen.threshold)) == 1


def test_settings_that_are_tried_are_possible_and_differ() -> None:
    tried = list(grid(EventOptions(), 0.6, 2.0))
    assert len({options.model_dump_json() for options, _ in tried}) == len(tried)
    for options, at in tried:
        assert EventOptions.model_validate(options.model_dump()).threshold == at


def test_where_nothing_is_quiet_the_fewest_mistakes_are_taken() -> None:
    noisy = Looked("n", SIZE_PX, 25.0, film("n", 0.8, 0.1).looks, ())
    tried = [
        Tried(EventOptions(), at, judge([noisy, film("a", 0.6, 0.1)], EventOptions(), at))
        for at in (0.5, 0.7)
    ]
    assert best(tried).threshold == 0.5  # one false alarm either way, and the fall is found


def test_a_csv_names_videos_intervals_and_videos_without_any(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    file = tmp_path / "falls.csv"
    file.write_text("video,onset_s,end_s,kind\na.mp4,7,9.5,sit\nb.mp4,,,\na.mp4,2,4,\n")
    assert read_annotations(file) == (
        Annotated(tmp_path / "a.mp4", (Interval("fall", 2, 4), Interval("sit", 7, 9.5))),
        Annotated(tmp_path / "b.mp4", ()),
    )


@pytest.mark.parametrize(
    ("text", "said_"),
    [
        ("video,onset_s,end_s\n", "no column kind"),
        ("video,onset_s,end_s,kind\nc.mp4,1,2,fall\n", "falls.csv:2"),
        ("video,onset_s,end_s,kind\na.mp4,3,2,fall\n", "are no interval"),
        ("video,onset_s,end_s,kind\na.mp4,x,2,fall\n", "are no interval"),
        ("video,onset_s,end_s,kind\na.mp4,nan,2,fall\n", "are no interval"),
        ("video,onset_s,end_s,kind\n", "names no video"),
    ],
)
def test_a_csv_that_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, text: str, said_: str) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "falls.csv").write_text(text)
    with pytest.raises(BadInput, match=said_):
        read_annotations(tmp_path / "falls.csv")


def test_gmdcsa24s_lists_are_read(tmp_path: Path) -> None:
    head = "File Name,Length (seconds),Time of Recording,Attire,Description, Classes\n"
    (tmp_path / "s1_Fall.csv").write_text(
        head + "01.mp4,06,Day,Shirt, Falling, Falling (SW)[3.4 to 6]:; Eating[0.9 4.6]; Sitting[0 to 3.4]\n"
        "02.mp4,05,Day,Shirt,not there,Falling (SW)[1 to 5]\n"
    )
    (tmp_path / "s1_ADL.csv").write_text(
        head + "07.mp4,06,Day,Shirt,Falling on the bed,Fall (FW)[2.6 to 6]\n"
    )
    for name in ("s1_Fall_01.mp4", "s1_ADL_07.mp4"):
        (tmp_path / name).touch()
    daily, fall = read_annotations(tmp_path)
    assert daily.intervals == (Interval("fall (fw)", 2.6, 6),)  # onto a bed: no fall that is to be told of
    assert fall.intervals == (
        Interval("sitting", 0, 3.4),
        Interval("eating", 0.9, 4.6),
        Interval("fall", 3.4, 6),
    )
