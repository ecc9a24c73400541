"""The log: a JSON object a line, bounded, without credentials, and never a reason to stop."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from falldet.watch.clock import SimulatedClock
from falldet.watch.log import Log


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_json_with_time_event_and_fields(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    clock = SimulatedClock(1, 1_790_000_000.0)
    Log(tmp_path / "log" / "watch.jsonl", clock=clock)(
        "camera_lost", camera="hall", why="timed out", after_s=3.5
    )
    (line,) = lines(tmp_path / "log" / "watch.jsonl")
    assert line.pop("time").startswith("2026-09-21T14:13:20.0")
    assert line == {"event": "camera_lost", "camera": "hall", "why": "timed out", "after_s": 3.5}
    Log(clock=clock)("started", path=tmp_path)
    assert json.loads(capsys.readouterr().err)["path"] == str(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"why": "rtsp://anna:hunter2@10.0.0.7:554/live refused"},
        {"why": "rtsp://anna:hunter2@@x@10.0.0.7/live"},
        {"url": "https://hooks.example.org/x?token=hunter2&house=1"},
        {"nested": {"headers": ["Authorization: Bearer hunter2hunter2"]}},
        {"password": "hunter2"},
        {"deep": [{"api_token": "hunter2"}]},
        {"why": "the broker says: user hunter2 unknown"},
        {"error": ValueError("http://anna:hunter2@host/")},
    ],
)
def test_no_credential_is_ever_written(tmp_path: Path, fields: dict):
    Log(tmp_path / "log", secrets=["hunter2"])("tried", camera="hall", **fields)
    text = (tmp_path / "log").read_text()
    assert "hunter2" not in text and "hall" in text
    if "unknown" not in text:
        Log(tmp_path / "again")("tried", camera="hall", **fields)  # also what nobody named as a secret
        assert "hunter2" not in (tmp_path / "again").read_text()


def test_the_file_turns_over_and_stays_bounded(tmp_path: Path):
    log = Log(tmp_path / "log", most_bytes=5000, kept=2)
    for number in range(1000):
        log("tick", number=number)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["log", "log.1", "log.2"]
    assert all(path.stat().st_size <= 5000 for path in tmp_path.iterdir())
    numbers = [line["number"] for name in names[::-1] for line in lines(tmp_path / name)]
    assert numbers == list(range(numbers[0], 1000))


def test_threads_write_whole_lines(tmp_path: Path):
    log = Log(tmp_path / "log")
    threads = [
        threading.Thread(target=lambda k=k: [log("tick", thread=k, text="x" * 300) for _ in range(50)])
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(tmp_path / "log")) == 200


def test_a_full_disk_loses_lines_and_counts_them(tmp_path: Path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here (that takes root)")
    try:
        log = Log(folder / "log")
        for number in range(400):
            log("tick", number=number)
        assert log.lost > 0
        assert len(lines(folder / "log")) == 400 - log.lost  # no half lines
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
