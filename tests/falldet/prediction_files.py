"""Pictures and films of somebody who lies or stands, what a prediction leaves, and one as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bright_boxes import scene

from suite.data.images import write_image
from suite.data.video import VideoReader, VideoWriter

ROOT = Path(__file__).parents[2]
LYING, STANDING = (20, 40, 70, 60), (30, 10, 50, 62)


def lines_of(folder: Path) -> list[dict]:
    text = (folder / "detections.jsonl").read_text(encoding="utf-8")
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def film(path: Path, count: int, *, rate_hz: int = 10, size: tuple[int, int] = (72, 96)) -> Path:
    """Somebody who stands for the first half and lies for the second, moving to the right."""
    with VideoWriter(path, rate_hz) as video:
        for k in range(count):
            x1, y1, x2, y2 = STANDING if k < count // 2 else LYING
            video.write(scene((x1 + k % 20, y1, x2 + k % 20, y2), size=size), k / rate_hz)
    return path


def frames_in(path: Path) -> list:
    with VideoReader(path) as video:
        return list(video.frames())


def as_process(source: Path, out: Path, *rest: str, **kwargs) -> subprocess.Popen:
    script = str(Path(__file__).with_name("bright_boxes.py"))
    command = [sys.executable, script, str(source), str(out), *rest]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **kwargs)


def write_photos(folder: Path) -> Path:
    """Four pictures, one of them below: lying, standing, nobody, and lying in the dark."""
    write_image(folder / "a.png", scene(LYING))
    write_image(folder / "b" / "c.jpg", scene(STANDING, size=(80, 120)))
    write_image(folder / "d.png", scene(None))
    write_image(folder / "e.png", scene(LYING, level=100))  # too dark to be sure
    return folder
