"""Time as the watch sees it: durations by a clock that only goes forward, labels by the one on the wall."""

from __future__ import annotations

import threading
import time
from typing import Protocol, runtime_checkable

from suite.errors import BadInput


@runtime_checkable
@runtime_checkable
class Clock(Protocol):
    """What tells the time. Every duration is a difference of ``now_s``; ``unix_s`` only labels.

    The clock on the wall may jump (someone sets it, a time server corrects it); ``now_s`` does not.
    """

    def now_s(self) -> float: ...
    def unix_s(self) -> float: ...
    def wait(self, seconds: float | int, until: threading.Event | None = None) -> bool:
        """Sleep; less where ``until`` is set. True where it was, at once where it is set already."""
        ...


class RealClock:
    """The computer's own time."""

    def now_s(self) -> float:
        return time.monotonic()

    def unix_s(self) -> float:
        return time.time()

    def wait(self, seconds: float | int, until: threading.Event | None = None) -> bool:
        return _sleep(seconds, until)


class SimulatedClock:
    """Time that runs ``speed`` times as fast, from 0; ``wait`` sleeps as much shorter.

    The wall says ``start_unix_s`` (now, where None) at the start, and can be made to jump. Raises BadInput
    for a speed that is not above 0.
    """

    def __init__(self, speed: float | int = 1.0, start_unix_s: float | int | None = None) -> None:
        if not speed > 0:
            raise BadInput(f"the speed of the clock is {speed:g}", hint="give more than 0")
        self.speed = float(speed)
        self._real_start_s = time.monotonic()
        self._wall_start_s = time.time() if start_unix_s is None else float(start_unix_s)

    def now_s(self) -> float:
        return (time.monotonic() - self._real_start_s) * self.speed

    def unix_s(self) -> float:
        return self._wall_start_s + self.now_s()

    def jump(self, seconds: float | int) -> None:
        """Set the clock on the wall forward, or back."""
        self._wall_start_s += seconds

    def wait(self, seconds: float | int, until: threading.Event | None = None) -> bool:
        return _sleep(seconds / self.speed, until)


def _sleep(seconds: float | int, until: threading.Event | None) -> bool:
    if until is not None:
        return until.wait(max(0, seconds))
    time.sleep(max(0, seconds))
    return False
