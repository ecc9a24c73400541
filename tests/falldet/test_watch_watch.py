"""The watch as a whole, on scripted cameras: nothing is lost, nothing told twice, nothing stops it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_boxes import BrightBoxes, scene
from watch_scripted import DOWN, UP, Heard, Scripted, config_of, pictures, play, watch_of

from falldet.detections import Detections
from falldet.watch.store import Store
from falldet.watch.watched import OnPage
from falldet.watch.zones_file import checked
from suite.data.video import VideoReader
from suite.errors import BadInput

FALL = ((2.0, UP), (5.0, DOWN), (6.0, UP))
ON_THE_FLOOR = {"name": "mat", "polygon": [[0.2, 0.6], [0.9, 0.6], [0.9, 1.0], [0.2, 1.0]]}


def states(told: list[Any]) -> list[tuple[str, str]]:
    return [(event.camera, event.state) for event in told]


def test_a_fall_is_confirmed_told_filmed_and_ended(tmp_path: Path):
    heard = Heard()
    config = config_of(tmp_path, "hall", "attic", clips={"after_s": 2.0, "blur": False})
    quiet = pictures((10.0, UP))
    watch, told = watch_of(config, BrightBoxes(), {"hall": pictures(*FALL), "attic": quiet}, targets=[heard])
    play(watch)
    watch.stop()
    assert states(told) == [("hall", "confirmed"), ("hall", "recovered")]
    assert told[0].id == told[1].id
    assert [(m["state"], m["id"]) for m in heard.messages] == [(e.state, e.id) for e in told]
    assert heard.messages[0]["clip"] == f"{told[0].id}.mp4"
    (event,) = Store(tmp_path / "events.sqlite").events()
    assert event["state"] == "recovered"
    with VideoReader(tmp_path / "clips" / f"{told[0].id}.mp4") as clip:
        frames = list(clip.frames())
    delay_s = told[0].confirmed_unix_s - told[0].onset_unix_s
    assert frames[-1].time_s == pytest.approx(delay_s + 2.0 + 2.0, abs=0.6)  # 2 s up before it, 2 s after
    assert frames[0].rgb[30, 45].min() > 200 and frames[-1].rgb[57, 35].min() > 200


def test_each_camera_gets_its_turn_and_the_newest_picture(tmp_path: Path):
    class Impatient(Scripted):
        """Three more pictures come while one is looked at."""

        def latest(self, after: int = 0) -> Any:
            shot = super().latest(after)
            for _ in range(3):
                shot = super().latest(shot.number) or shot if shot and not self._done else shot
            return shot

    seen: list[int] = []

    class Noting(BrightBoxes):
        def detect(self, pictures: Any) -> list[Detections]:
            seen.append(int(pictures[0][0, 0, 0]))
            return super().detect(pictures)

    config = config_of(tmp_path, "a", "b", clips={"enabled": False})
    views = {level: [np.full((20, 30, 3), level, np.uint8)] * 9 for level in (1, 2)}
    watch, _ = watch_of(
        config,
        Noting(),
        {
            "a": lambda of, clock: Impatient(of, views[1], clock),
            "b": lambda of, clock: Scripted(of, views[2], clock),
        },
    )
    play(watch)
    watch.stop()
    assert seen[:6] == [1, 2, 1, 2, 1, 2] and seen.count(2) == 9 and seen.count(1) <= 4


def test_a_picture_that_breaks_the_detector_stops_nobody(tmp_path: Path):
    class Fragile(BrightBoxes):
        def detect(self, pictures: Any) -> list[Detections]:
            if pictures[0][0, 0, 0] == 99:
                raise RuntimeError("cannot digest this")
            return super().detect(pictures)

    broken = scene(DOWN)
    broken[0, 0] = 99
    said: list[tuple[str, dict[str, Any]]] = []
    config = config_of(tmp_path, "bad", "good", clips={"enabled": False})
    scripts = {"bad": itertools.repeat(broken), "good": pictures(*FALL)}
    watch, told = watch_of(config, Fragile(), scripts, say=lambda what, /, **more: said.append((what, more)))
    play(watch, 40)
    assert states(told) == [("good", "confirmed"), ("good", "recovered")]
    health = watch.health()
    assert health["state"] == "trouble" and health["cameras"]["bad"]["state"] == "failed"
    assert "cannot digest this" in health["line"]
    assert 3 < sum(what == "look_failed" for what, _ in said) < 9  # not once for each picture
    watch.stop()


def test_an_open_fall_survives_a_kill_and_is_not_told_again(tmp_path: Path):
    config = config_of(tmp_path, "hall", "gone")
    heard = Heard()
    scripts = {
        "hall": itertools.chain(pictures((2.0, UP)), itertools.repeat(scene(DOWN))),
        "gone": pictures(*FALL[:2]),
    }
    watch, told = watch_of(config, BrightBoxes(), scripts, targets=[heard])
    play(watch, 9)
    assert states(told) == [("hall", "confirmed"), ("gone", "confirmed")]
    # Killed: nothing of the first watch is closed or stopped. Its second camera is there no more.
    scripts = {"hall": pictures((5.0, DOWN), (6.0, UP))}
    again, told_again = watch_of(config_of(tmp_path, "hall"), BrightBoxes(), scripts, targets=[heard])
    play(again)
    again.stop()
    assert [(e.id, e.state) for e in told_again] == [(told[1].id, "lost"), (told[0].id, "recovered")]
    watch.stop()
    assert sorted(m["key"] for m in heard.messages) == sorted(
        {f"{event.id}:{event.state}" for event in (*told, *told_again)}
    )


def test_a_recording_that_ends_leaves_no_alarm_open(tmp_path: Path):
    watch, told = watch_of(config_of(tmp_path, "hall"), BrightBoxes(), {"hall": pictures(*FALL[:2])})
    play(watch)
    watch.stop()
    assert states(told) == [("hall", "confirmed"), ("hall", "lost")]
    assert Store(tmp_path / "events.sqlite").open_events() == []


def test_a_camera_that_is_only_lost_for_now_keeps_its_alarm(tmp_path: Path):
    script = {
        "hall": lambda options, clock: Scripted(options, pictures(*FALL[:2]), clock, state="reconnecting")
    }
    watch, told = watch_of(config_of(tmp_path, "hall"), BrightBoxes(), script)
    play(watch, 20)
    watch.stop()
    assert states(told) == [("hall", "confirmed")]
    assert [event.id for event in Store(tmp_path / "events.sqlite").open_events()] == [told[0].id]


def test_drawn_zones_are_used_at_once_and_after_a_restart(tmp_path: Path):
    config = config_of(tmp_path, "hall")
    watch, told = watch_of(
        config, BrightBoxes(), {"hall": itertools.chain(pictures((2.0, UP)), itertools.repeat(scene(DOWN)))}
    )
    page = OnPage(watch)
    watch.start()
    turns = iter(range(12))
    watch.run(lambda: next(turns, None) is None)
    look = page.look("hall")
    assert look is not None and look.people[0].state == "suspected"
    before = page.changes
    page.set_zones("hall", [ON_THE_FLOOR])
    assert page.changes > before
    turns = iter(range(40))
    watch.run(lambda: next(turns, None) is None)
    look = page.look("hall")
    assert told == [] and look is not None and look.people[0].state == "ignored"
    watch.stop()
    assert json.loads((tmp_path / "zones.json").read_text()) == {"hall": [ON_THE_FLOOR]}

    again, told = watch_of(config, BrightBoxes(), {"hall": pictures(*FALL)})
    play(again)
    assert told == []
    OnPage(again).set_zones("hall", [])
    again.stop()
    last, told = watch_of(config, BrightBoxes(), {"hall": pictures(*FALL)})
    play(last)
    last.stop()
    assert states(told) == [("hall", "confirmed"), ("hall", "recovered")]


def test_zones_of_the_configuration_stay_beside_drawn_ones(tmp_path: Path):
    config = config_of(tmp_path, "hall")
    fixed = checked([ON_THE_FLOOR])
    cameras = (config.cameras[0].model_copy(update={"zones": fixed}),)
    config = config.model_copy(update={"cameras": cameras})
    watch, told = watch_of(config, BrightBoxes(), {"hall": pictures(*FALL)})
    page = OnPage(watch)
    page.set_zones("hall", [{"name": "far corner", "polygon": [[0, 0], [0.1, 0], [0, 0.1]]}])
    assert [(zone["name"], zone["fixed"]) for zone in page.zones("hall")] == [
        ("mat", True),
        ("far corner", False),
    ]
    play(watch)
    watch.stop()
    assert told == []


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ({"name": "z", "polygon": [[0, 0], [1.2, 0], [1, 1]]}, r"zone 'z': polygon\[1\]\[0\]: lies outside"),
        ({"name": "z", "polygon": [[0, 0], [1, 0]]}, "zone 'z': polygon: .*at least 3"),
        ({"name": "z", "polygon": [[0, 0], [1, 1], [1, 0], [0, 0.5]]}, "sides cross"),
        ({"name": "z", "polygon": [[0, 0], [0.001, 0], [0, 0.001]]}, "next to nothing"),
        ({"name": "", "polygon": [[0, 0], [1, 0], [1, 1]]}, "name"),
        ({"name": "z", "polygon": [[0, 0], [float("nan"), 0], [1, 1]]}, "zone 'z': polygon"),
        ({"name": "z", "polygon": "0 0 1 1"}, "zone 'z': polygon"),
        ({"name": "z" * 61, "polygon": [[0, 0], [1, 0], [1, 1]]}, "60 letters"),
        ({"name": "z", "polygon": [[0, 0], [1, 0], [1, 1]], "more": 1}, "is no"),
    ],
)
def test_a_wrong_zone_is_one_line_that_names_it(zone: dict[str, Any], said: str):
    with pytest.raises(BadInput, match=said) as found:
        checked([zone])
    assert len(str(found.value).splitlines()) == 1


def test_a_damaged_zones_file_is_told_and_never_overwritten(tmp_path: Path):
    file = tmp_path / "zones.json"
    for text in ("{", "[]", '{"hall": 3}', '{"hall": [{"name": "z"}]}'):
        file.write_text(text)
        with pytest.raises(BadInput, match=r"zones\.json"):
            watch_of(config_of(tmp_path, "hall"), BrightBoxes(), {"hall": []})
        assert file.read_text() == text


def test_zones_that_cannot_be_saved_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    watch, told = watch_of(config_of(tmp_path, "hall"), BrightBoxes(), {"hall": pictures(*FALL)})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("suite.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        OnPage(watch).set_zones("hall", [ON_THE_FLOOR])
    monkeypatch.undo()
    assert OnPage(watch).zones("hall") == [] and not (tmp_path / "zones.json").exists()
    play(watch)
    watch.stop()
    assert states(told) == [("hall", "confirmed"), ("hall", "recovered")]


def test_what_is_not_set_is_told_before_the_night(tmp_path: Path):
    camera = {"name": "hall", "source": "rtsp://host/s", "username": "u", "password_env": "NOT_SET_ANYWHERE"}
    config = config_of(tmp_path, "x", cameras=[camera])
    with pytest.raises(BadInput, match="NOT_SET_ANYWHERE is not set"):
        watch_of(config, BrightBoxes(), {"hall": []})
