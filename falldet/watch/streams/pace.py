"""Files played as if a camera sent them: no faster than they were taken, and skipping where it is slow."""

from __future__ import annotations

import threading

from falldet.watch.clock import Clock

_LATE_S = 2.0


class Pace:
    """Where a file stands on the clock: it begins when it is first asked, and again at its end."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self._clock, self._stop = clock, stop
        self._start_s: float | None = None

    def time_s(self, position_s: float | int) -> float:
        """The clock's time at which that position in the file is due."""
        if self._start_s is None:
            self._start_s = self._clock.now_s()
        return self._start_s + position_s

    def late(self, time_s: float | int) -> bool:
        """Whether that time passed so long ago that what was due then is better skipped."""
        return self._clock.now_s() - time_s > _LATE_S

    def wait(self, time_s: float | int) -> bool:
        """Until then; True where the camera is to stop."""
        return self._clock.wait(time_s - self._clock.now_s(), self._stop)

    def ended(self, duration_s: float | int) -> None:
        """The next beginning of the file is due at its end, or now where that is long past."""
        end_s = self.time_s(duration_s)
        self.wait(end_s)
        self._start_s = self._clock.now_s() if self.late(end_s) else end_s
