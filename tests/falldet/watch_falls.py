"""Falls made up for tests of what happens after them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from falldet.events.event import FallEvent


def fall(number: int, camera: str = "hall", unix_s: float = 1_790_000_000.0) -> FallEvent:
    """The ``number``-th one, confirmed 2 s after its onset; one every 10 s."""
    onset_unix_s = unix_s + 10.0 * number
    return FallEvent(
        f"{camera}-{number:06d}", camera, number, onset_unix_s, onset_unix_s + 2.0, None, 0.81, 0.9,
        (10.0, 20.0, 110.0, 80.0), (320, 240), "confirmed",
    )  # fmt: skip


def ended(event: FallEvent) -> FallEvent:
    return replace(event, state="recovered", ended_unix_s=event.confirmed_unix_s + 5.0)


class Said:
    """A `Say` that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self._lock = threading.Lock()

    def __call__(self, event: str, /, **fields: Any) -> None:
        with self._lock:
            self.lines.append((event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.lines if name == event]


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Waits for something that another thread does."""
    end_s = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
    return True
