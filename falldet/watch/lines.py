"""What happens in a watch, as short lines for whoever sits at the terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from falldet.events.event import FallEvent
from falldet.watch.clock import Clock, RealClock
from falldet.watch.streams.address import redacted

_LATER = {"recovered": "got up", "lost": "out of sight"}


class Lines:
    """A `falldet.watch.log.Say` for people; as `fall` it tells of events. Never fails, shows no
    login."""

    def __init__(self, clock: Clock | None = None, write: Callable[[str], None] | None = None) -> None:
        self._clock, self._write = clock or RealClock(), write or _to_stderr
        self._lock = threading.Lock()

    def __call__(self, event: str, /, **fields: Any) -> None:
        if event == "fall":
            return  # told as a `fall`
        told = ", ".join(
            f"{name} {value}" for name, value in fields.items() if name not in ("camera", "why", "line")
        )
        parts = [fields.get("camera"), event.replace("_", " "), told, fields.get("why"), fields.get("line")]
        self._line(": ".join(str(part) for part in parts if part))

    def fall(self, event: FallEvent) -> None:
        """A confirmed or ended event."""
        if event.state == "confirmed":
            self._line(f"{event.camera}: FALL, certainty {event.confidence:.0%}")
        else:
            lasted = (event.ended_unix_s or event.onset_unix_s) - event.onset_unix_s
            self._line(f"{event.camera}: {_LATER[event.state]} after {max(lasted, 0):.0f} s")

    def _line(self, text: str) -> None:
        stamp = datetime.fromtimestamp(self._clock.unix_s()).strftime("%H:%M:%S")
        with self._lock, suppress(OSError, ValueError):  # a terminal that was closed: the watch goes on
            self._write(f"{stamp}  {redacted(' '.join(text.split()))}\n")


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
