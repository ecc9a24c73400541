"""A picture of a camera, and the place where only the newest is kept."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, eq=False)
class Shot:
    """A look at a camera.

    ``number`` counts a camera's looks from 1. ``time_s`` is the clock's ``now_s`` when it arrived, of a file
    when it was due; ``unix_s`` only labels it.
    """

    camera: str
    rgb: UInt8[np.ndarray, "h w 3"]
    number: int
    time_s: float
    unix_s: float

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.rgb.shape[1], self.rgb.shape[0]


class LatestShot:
    """Holds one shot; a newer one takes its place, so that who is slow skips and never falls behind."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shot: Shot | None = None
        self._taken = True

    def put(self, shot: Shot) -> bool:
        """Whether the one before was never taken."""
        with self._lock:
            lost, self._shot, self._taken = not self._taken, shot, False
            return lost

    def newer(self, after: int) -> Shot | None:
        """The shot, where its number is above ``after``."""
        with self._lock:
            if self._shot is None or self._shot.number <= after:
                return None
            self._taken = True
            return self._shot
