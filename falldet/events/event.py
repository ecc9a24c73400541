"""A fall somebody is to hear about."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

State = Literal["confirmed", "recovered", "lost"]


@dataclass(frozen=True)
class FallEvent:
    """One fall of one person before one camera; told when it is confirmed, and again when it has ended.

    The ``_unix_s`` are labels of the wall clock, which may jump: no duration is measured by them. ``onset``
    is the first look that said fallen; ``confidence`` the mean fallen score of the looks that confirmed it,
    ``peak`` the highest until now. ``track``, the person's number, and ``box_px`` (x1, y1, x2, y2), in a
    picture of ``size_px`` (width, height), are those at the confirmation.
    """

    id: str
    camera: str
    track: int
    onset_unix_s: float | int
    confirmed_unix_s: float | int
    ended_unix_s: float | int | None
    confidence: float | int
    peak: float | int
    box_px: tuple[float | int, float | int, float | int, float | int]
    size_px: tuple[int, int]
    state: State

    def __post_init__(self) -> None:
        if (self.ended_unix_s is None) != (self.state == "confirmed"):
            raise ValueError(f"an event that is {self.state} with the end {self.ended_unix_s}")

    def as_dict(self) -> dict[str, Any]:
        """For JSON; times as numbers and, for people, in ISO 8601."""
        return {
            "id": self.id,
            "camera": self.camera,
            "state": self.state,
            "track": self.track,
            "onset": _iso(self.onset_unix_s),
            "confirmed": _iso(self.confirmed_unix_s),
            "ended": None if self.ended_unix_s is None else _iso(self.ended_unix_s),
            "onset_unix_s": round(self.onset_unix_s, 3),
            "confirmed_unix_s": round(self.confirmed_unix_s, 3),
            "ended_unix_s": None if self.ended_unix_s is None else round(self.ended_unix_s, 3),
            "confidence": round(self.confidence, 4),
            "peak": round(self.peak, 4),
            "box_px": [round(edge, 1) for edge in self.box_px],
            "size_px": list(self.size_px),
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> FallEvent:
        """The inverse of :meth:`as_dict`, but for rounding."""
        x1, y1, x2, y2 = data["box_px"]
        width, height = data["size_px"]
        return FallEvent(
            data["id"], data["camera"], data["track"], data["onset_unix_s"], data["confirmed_unix_s"],
            data["ended_unix_s"], data["confidence"], data["peak"], (x1, y1, x2, y2), (width, height),
            data["state"],
        )  # fmt: skip


def event_id(camera: str, onset_unix_s: float | int, confirmed_unix_s: float | int, track: int) -> str:
    """A name that can be a file's: camera, onset in UTC, and what tells it from all others."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", camera).strip("-")[:40] or "camera"
    stamp = re.sub(r"[-:]|\..*", "", _iso(onset_unix_s))
    whole = f"{camera}\n{onset_unix_s!r}\n{confirmed_unix_s!r}\n{track}"
    return f"{word}-{stamp}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def _iso(unix_s: float | int) -> str:
    return (
        datetime.fromtimestamp(unix_s, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
