"""Depth and colour frames that belong together, by their time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Timed:
    time_s: float
    frame: Any


class Pairing:
    """Gives every depth frame once, in order, with the colour frame nearest in time.

    A depth frame waits for the first colour frame that is not older than it, until more than `patience` wait.
    Colour further away than `period_s` is none: None comes in its place.
    """

    def __init__(self, period_s: float, patience: int) -> None:
        self._period_s, self._patience = period_s, patience
        self._depth: deque[_Timed] = deque()
        self._color: deque[_Timed] = deque()

    def add_color(self, time_s: float, frame: Any) -> Iterator[tuple[Any, Any]]:
        self._color.append(_Timed(time_s, frame))
        return self._ready(self._patience)

    def add_depth(self, time_s: float, frame: Any) -> Iterator[tuple[Any, Any]]:
        self._depth.append(_Timed(time_s, frame))
        return self._ready(self._patience)

    def rest(self) -> Iterator[tuple[Any, Any]]:
        """What still waits, when nothing more comes."""
        return self._ready(0)

    def _ready(self, patience: int) -> Iterator[tuple[Any, Any]]:
        while self._depth:
            first = self._depth[0]
            waits = not self._color or self._color[-1].time_s < first.time_s
            if waits and len(self._depth) <= patience:
                return
            self._depth.popleft()
            yield first.frame, self._nearest(first.time_s)

    def _nearest(self, time_s: float) -> Any | None:
        if not self._color:
            return None
        best = min(self._color, key=lambda color: abs(color.time_s - time_s))
        while self._color[0] is not best:  # later depth frames have no use for older ones
            self._color.popleft()
        return best.frame if abs(best.time_s - time_s) <= self._period_s else None
