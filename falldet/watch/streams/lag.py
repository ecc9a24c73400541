"""Whether a camera's packets come later than they were sent: then this machine is too slow for it."""

from __future__ import annotations

import math

_LATE_S = 2.0
_WINDOW_S = 300.0  # clocks of cameras drift, by 15 ms in this time
_JUMP_S = 2.0


class Lag:
    """Compares times of arrival with the camera's own stamps, against the quickest of the last minutes."""

    def __init__(self) -> None:
        self._quickest_s = [math.inf, math.inf]  # of this window and of the one before
        self._window_s = -math.inf
        self._last: tuple[float, float] | None = None

    def late(self, arrival_s: float | int, stamp_s: float | int | None) -> bool:
        """Whether the packet waited for long somewhere on its way to us; without a stamp nobody knows."""
        if stamp_s is None:
            return False
        if self._last is not None:
            passed_s, told_s = arrival_s - self._last[0], stamp_s - self._last[1]
            if told_s < 0 or told_s > passed_s + _JUMP_S:  # the camera set its clock, or began anew
                self._quickest_s = [math.inf, math.inf]
        self._last = (arrival_s, stamp_s)
        if arrival_s - self._window_s > _WINDOW_S:
            self._quickest_s = [math.inf, self._quickest_s[0]]
            self._window_s = arrival_s
        way_s = arrival_s - stamp_s
        self._quickest_s[0] = min(self._quickest_s[0], way_s)
        return way_s - min(self._quickest_s) > _LATE_S
