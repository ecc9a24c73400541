"""What the page shows: the door between a running watch and whoever looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Person:
    """Somebody in a picture: ``box_px`` is (x1, y1, x2, y2), ``fallen`` the smoothed score, ``state`` one of
    `up`, `suspected` (looks fallen, not yet confirmed), `fallen` (an alarm is open) and `ignored` (in a
    zone)."""

    track: int
    box_px: tuple[float, float, float, float]
    fallen: float
    state: str = "up"


@dataclass(frozen=True, eq=False)
class Look:
    """The newest picture of a camera that was looked at, and who is in it. ``number`` only grows."""

    number: int
    rgb: UInt8[np.ndarray, "h w 3"]
    unix_s: float
    people: tuple[Person, ...] = ()
    maybe_px: tuple[tuple[float, ...], ...] = ()
    """Boxes of everybody who may be in it, in doubt too: what is to be blurred."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.rgb.shape[1], self.rgb.shape[0]


@runtime_checkable
class Watched(Protocol):
    """A running watch. Every method may be called from the page's threads; `look` and `zones` answer at
    once.

    A zone is ``{"name", "polygon": [[x, y], ...], "fixed"}`` with x and y from 0 to 1; ``fixed`` ones stand
    in the configuration and are not the page's to change. Health is ``{"state": "ok" | "trouble", "line",
    "cameras": {name: {"state", "why", ...}}}`` and holds no credentials.
    """

    @property
    def cameras(self) -> tuple[str, ...]: ...
    @property
    def changes(self) -> int:
        """Grows with every change of events or zones."""
        ...

    def look(self, camera: str) -> Look | None: ...
    def zones(self, camera: str) -> list[dict[str, Any]]: ...
    def set_zones(self, camera: str, zones: list[dict[str, Any]]) -> None:
        """Save and use them from now on. Raises SuiteError where they are wrong or cannot be saved."""
        ...

    def events(self, limit: int, camera: str | None = None) -> list[dict[str, Any]]:
        """The newest first; ``clip`` says whether `clip` has a file for it."""
        ...

    def clip(self, event_id: str) -> Path | None: ...
    def health(self) -> dict[str, Any]: ...
    def metrics(self) -> str: ...
