"""How a camera is, in one line, and the book that its thread keeps about it."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from falldet.watch.clock import Clock

State = Literal["starting", "live", "reconnecting", "ended", "failed"]
_NOTE_S = 60.0


@dataclass(frozen=True)
class StreamHealth:
    """The state of a camera. ``why`` is one line without credentials, empty where all is well.

    ``failed`` cameras need somebody: a wrong password or address, a missing file; addresses are still asked
    now and then. ``dropped`` looks were replaced by newer ones before anybody took them, or skipped to catch
    up; ``damaged`` packets or files could not be decoded. ``size_px`` is width and height as the camera sends
    them, and ``since_s`` the clock's time since which the state holds.
    """

    state: State
    why: str
    since_s: float
    shots: int = 0
    dropped: int = 0
    damaged: int = 0
    reconnects: int = 0
    size_px: tuple[int, int] | None = None

    def line(self, camera: str) -> str:
        """One line for people."""
        return f"{camera}: {self.state}" + (f" ({self.why})" if self.why else "")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class Vitals:
    """What is known of a camera; written by its thread, read by anybody.

    ``tell`` hears of every new state and of every note, in the thread that brings it.
    """

    def __init__(
        self, clock: Clock, hide: Callable[[str], str], tell: Callable[[StreamHealth], None] | None = None
    ) -> None:
        self._clock, self._hide, self._tell = clock, hide, tell
        self._lock = threading.Lock()
        self._now = StreamHealth("starting", "", clock.now_s())
        self._note, self._note_s = "", 0.0
        self._told_s: dict[str, float] = {}
        self._heard_s: float | None = None  # by time.monotonic, as cameras do not run in compressed time
        self._silent_s = 0.0

    def health(self) -> StreamHealth:
        """As it is now; a camera whose thread waits for it longer than it may is not called live."""
        with self._lock:
            now, heard_s = self._now, self._heard_s
            if now.state != "live":
                return now
            if heard_s is not None and time.monotonic() - heard_s > self._silent_s:
                silent_s = time.monotonic() - heard_s
                return replace(now, state="reconnecting", why=f"no picture for {silent_s:.0f} s")
            fresh = self._note and self._clock.now_s() - self._note_s < _NOTE_S
            return replace(now, why=self._note) if fresh else now

    def enter(self, state: State, why: str = "") -> None:
        """A state begins; the same one with another reason only changes the reason."""
        why = self._hide(why)
        with self._lock:
            if (state, why) == (self._now.state, self._now.why):
                return
            since_s = self._now.since_s if state == self._now.state else self._clock.now_s()
            self._now = replace(self._now, state=state, why=why, since_s=since_s)
            self._heard_s = None
        self._say()

    def note(self, kind: str, text: str) -> None:
        """Something worth a line while pictures go on; told once a minute for each ``kind``."""
        with self._lock:
            now_s = self._clock.now_s()
            self._note, self._note_s = self._hide(text), now_s
            again = now_s - self._told_s.get(kind, -math.inf) < _NOTE_S
            if not again:
                self._told_s[kind] = now_s
        if not again:
            self._say()

    def heard(self, silent_s: float | int) -> None:
        """The camera sent something; it may be silent for so many real seconds from now on."""
        with self._lock:
            self._heard_s, self._silent_s = time.monotonic(), float(silent_s)

    def count(self, *, shots: int = 0, dropped: int = 0, damaged: int = 0, reconnects: int = 0) -> None:
        """Add to the counts."""
        with self._lock:
            now = self._now
            self._now = replace(
                now,
                shots=now.shots + shots,
                dropped=now.dropped + dropped,
                damaged=now.damaged + damaged,
                reconnects=now.reconnects + reconnects,
            )

    def resized(self, size_px: tuple[int, int]) -> None:
        """The size of the camera's pictures; a change is noted."""
        with self._lock:
            before, self._now = self._now.size_px, replace(self._now, size_px=size_px)
        if before is not None and before != size_px:
            text = f"pictures changed from {before[0]}x{before[1]} to {size_px[0]}x{size_px[1]} px"
            self.note("size", text)

    def _say(self) -> None:
        if self._tell is None:
            return
        with contextlib.suppress(Exception):  # whoever listens must not stop a camera
            self._tell(self.health())
