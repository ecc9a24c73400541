"""The shipped detector and the page on a whole watch."""

from __future__ import annotations

import itertools
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from bright_boxes import BrightBoxes, scene
from watch_scripted import DOWN, UP, Heard, config_of, pictures, play, watch_of
from watch_stand_in import shipped_looks

from falldet.watch.command import open_detector, open_page
from falldet.watch.watched import OnPage

MAT = {"name": "mat", "polygon": [[0.2, 0.6], [0.9, 0.6], [0.9, 1.0], [0.2, 1.0]]}


def test_the_shipped_detector_finds_a_fall_and_leaves_a_wheelchair_alone(tmp_path: Path):
    looks = shipped_looks()
    fallen = next(look for look in looks if [person.state for person in look.people] == ["fallen"])
    seated = next(look for look in looks if [person.state for person in look.people] == ["up"])
    # Nobody is seen to fall, and nothing moves: scores alone have to say it, for some seconds.
    config = config_of(tmp_path, "floor", "chair", clips={"after_s": 1.0})
    scripts = {
        "floor": itertools.chain([seated.rgb] * 2, [fallen.rgb] * 26),
        "chair": itertools.repeat(seated.rgb, 6),
    }
    heard = Heard()
    watch, told = watch_of(config, open_detector(config), scripts, targets=[heard])
    play(watch)
    health = watch.stop()
    assert [(event.camera, event.state) for event in told] == [("floor", "confirmed"), ("floor", "lost")]
    assert [message["state"] for message in heard.messages] == ["confirmed", "lost"]
    assert told[0].confirmed_unix_s - told[0].onset_unix_s <= 2.0
    x1, y1, x2, y2 = told[0].box_px
    wanted = fallen.people[0].box_px
    width = min(x2, wanted[2]) - max(x1, wanted[0])
    height = min(y2, wanted[3]) - max(y1, wanted[1])
    assert width * height > 0.6 * (wanted[2] - wanted[0]) * (wanted[3] - wanted[1])
    assert health["cameras"]["chair"]["looks"] == 6 and health["clips"]["written"] == 1


def test_the_page_of_a_running_watch(tmp_path: Path):
    pytest.importorskip("aiohttp", reason="the live page needs aiohttp")
    config = config_of(tmp_path, "hall", page={"port": 0}, clips={"after_s": 0.5})
    script = {"hall": itertools.chain(pictures((2.0, UP)), itertools.repeat(scene(DOWN)))}
    watch, told = watch_of(config, BrightBoxes(), script)
    server = open_page(OnPage(watch), config.page)
    server.start()
    watch.start()

    def turns(count: int) -> None:
        left = iter(range(2 * count))
        watch.run(lambda: next(left, None) is None)

    def ask(path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(server.url + path, data, headers, method="PUT" if data else "GET")
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
            return json.loads(text) if "json" in answer.headers["Content-Type"] else text

    turns(3)
    assert ask("api/zones/hall", {"zones": [MAT]})["zones"] == [{**MAT, "fixed": False}]
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask("api/zones/hall", {"zones": [{"name": "z", "polygon": [[0, 0], [1, 1], [2, 0]]}]})
    assert json.load(refused.value)["error"] == (
        "zone 'z': polygon[2][0]: lies outside the picture, whose sides are 0 and 1"
    )
    turns(12)
    assert told == [] and ask("api/cameras")["cameras"][0]["zones"][0]["name"] == "mat"
    ask("api/zones/hall", {"zones": []})
    turns(12)
    assert [event.state for event in told] == ["confirmed"]
    assert ask("api/events")["events"][0]["id"] == told[0].id
    assert ask("health")["cameras"]["hall"]["events"] == {"confirmed": 1}
    metrics = ask("metrics").decode()
    assert 'falldet_events_total{camera="hall",state="confirmed"} 1' in metrics
    assert ask("cameras/hall/shot.jpg")[:3] == b"\xff\xd8\xff"
    server.stop()
    watch.stop()
    names = [path.name for path in (tmp_path / "clips").glob("*.mp4")]
    assert names == [f"{told[0].id}.mp4"]
