"""Frames on their way from librealsense's threads to ours.

librealsense has a queue of its own, whose Python side waits for room while it holds the interpreter: whoever
would make room then never runs.
"""

from __future__ import annotations

import queue
import threading
from typing import Any

_POLL_S = 0.05


class Inbox:
    """Takes frames as the callback of sensors. Full, it turns them away, or `waits` for room (for files)."""

    def __init__(self, capacity: int, waits: bool) -> None:
        self._frames: queue.Queue[Any] = queue.Queue(capacity)
        self._waits, self._closed = waits, threading.Event()

    def take(self, frame: Any) -> None:
        """Called by librealsense's threads."""
        frame.keep()  # else it is lost where more than a few wait
        while not self._closed.is_set():
            try:
                return self._frames.put(frame, timeout=_POLL_S if self._waits else 0)
            except queue.Full:
                if not self._waits:
                    return None
        return None

    def get(self, timeout_s: float) -> Any | None:
        """The next frame, or None where none comes in time."""
        try:
            return self._frames.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Take no more; whoever waits for room goes."""
        self._closed.set()
