"""Rooms for end-to-end tests: videos in which a bright figure stands, falls, lies and gets up again."""

from __future__ import annotations

from pathlib import Path

from bright_boxes import scene

from suite.data.video import VideoWriter

RATE_HZ = 10


def write_room(path: Path, *acts: tuple[float, tuple[int, int, int, int] | None]) -> Path:
    """A video of acts: so many seconds of a figure with this box, or of nobody."""
    with VideoWriter(path, RATE_HZ) as video:
        number = 0
        for seconds, box in acts:
            for _ in range(round(seconds * RATE_HZ)):
                video.write(scene(box), number / RATE_HZ)
                number += 1
    return path
