"""`falldet watch` as people and service managers run it: started, ended, killed, started again."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path

import pytest
from watch_process import Running
from watch_rooms import write_room

from falldet.watch.store import Store

pytest.importorskip("aiohttp", reason="the live page needs aiohttp")

UP, DOWN = (40, 10, 52, 60), (30, 50, 70, 64)


def events(folder: Path) -> list[tuple[str, str]]:
    store = Store(folder / "events.sqlite")
    found = [(event["camera"], event["state"]) for event in store.events()]
    store.close()
    return found


def entries(running: Running) -> list[dict[str, str]]:
    return [json.loads(line) for line in running.said().splitlines()]


def test_one_video_is_watched_to_its_end(tmp_path: Path):
    write_room(tmp_path / "hall.mp4", (1.0, UP), (8.0, DOWN))
    with Running(tmp_path / "log", "watch", "hall.mp4", "page.port=0", "cameras.0.looks_per_s=4") as running:
        assert running.process.wait(60) == 0, running.said()
    assert events(tmp_path / "watch") == [("hall", "lost")]
    said = [entry["event"] for entry in entries(running)]
    assert said[0] == "watching" and said[-1] == "ended" and said.count("fall") == 2
    assert len(list((tmp_path / "watch" / "clips").glob("*.mp4"))) == 1


def test_sigterm_and_ctrl_c_end_it_in_good_order_and_a_kill_loses_nothing(tmp_path: Path):
    write_room(tmp_path / "hall.mp4", (1.0, UP), (30.0, DOWN))
    write_room(tmp_path / "attic.mp4", (30.0, UP))
    (tmp_path / "watch.yaml").write_text(
        "cameras:\n"
        "  - {name: hall, source: hall.mp4, looks_per_s: 4, repeat: true}\n"
        "  - {name: attic, source: attic.mp4, repeat: true}\n"
        "  - {name: cellar, source: cellar.mp4}\n"
        "page: {port: 0, token_env: TOKEN}\n"
        "clips: {after_s: 0.5}\n"
    )
    token = {"TOKEN": "a-token-of-some-length"}
    with Running(tmp_path / "log", "watch", "watch.yaml", **token) as running:
        running.wait_for('"state": "confirmed"')
        running.wait_for("clip_written")
        url = next(entry["page"] for entry in entries(running) if entry["event"] == "watching")
        request = urllib.request.Request(f"{url}api/events")
        request.add_header("Authorization", f"Bearer {token['TOKEN']}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            (event,) = json.load(answer)["events"]
        assert event["state"] == "confirmed" and event["clip"]
        running.process.kill()  # in the midst of an alarm
    assert events(tmp_path / "watch") == [("hall", "confirmed")]

    with Running(tmp_path / "log", "watch", "watch.yaml", **token) as running:
        running.wait_for('"camera": "hall", "state": "live"', 2)
        assert running.end(signal.SIGTERM) == 0
    with Running(tmp_path / "log", "watch", "watch.yaml", **token) as running:
        running.wait_for('"camera": "attic", "state": "live"', 3)
        assert running.end(signal.SIGINT) == 0
    assert events(tmp_path / "watch") == [("hall", "confirmed")]  # still open, and not told again
    said = running.said()
    assert said.count('"event": "fall"') == 1 and said.count('"event": "ended"') == 2
    assert "cellar.mp4: no such file" in said and "Traceback" not in said and token["TOKEN"] not in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("nothing.mp4", "page.on=false"), 1, "nothing.mp4: no such file"),
        (("nothing.yaml",), 2, "nothing.yaml: no such file"),
        (("x.mp4", "page.token_env=NOT_SET_ANYWHERE"), 2, "NOT_SET_ANYWHERE is not set"),
        (("x.mp4", "nonsense=1"), 2, "unknown key"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
):
    with Running(tmp_path / "log", "watch", *arguments) as running:
        assert running.process.wait(60) == code
    assert said in running.said() and "Traceback" not in running.said()
