"""Whether this machine is too slow for a camera: then it skips, and does not fall behind."""

from __future__ import annotations

_LATE_S = 2.0
_JUMP_S = 2.0
_WAITED = 0.25  # of the time between two packets
_BUSY = 0.8  # of the time
_WINDOW_S = 3.0
_KEYS_ONLY_S = 10.0


class Lag:
    """Tells packets that waited for us somewhere on their way, by the camera's own stamps.

    Stamps alone would not do: clocks of cameras drift and jump, and some stamp pictures that they never sent.
    But whoever had to wait for a packet is not behind, so only the time since then is compared.
    """

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._way_s = 0.0  # from the stamp to us, when it was the quickest

    def late(self, arrival_s: float | int, stamp_s: float | int | None, waited_s: float | int) -> bool:
        """Whether the packet is better skipped; ``waited_s`` for it. Without a stamp nobody knows."""
        if stamp_s is None:
            return False
        way_s = arrival_s - stamp_s
        if self._last is None:
            self._way_s = way_s
        else:
            passed_s, told_s = arrival_s - self._last[0], stamp_s - self._last[1]
            jumped = told_s < 0 or told_s > passed_s + _JUMP_S
            if jumped or waited_s > _WAITED * told_s > 0:
                self._way_s = way_s
        self._last = (arrival_s, stamp_s)
        self._way_s = min(self._way_s, way_s)
        return way_s - self._way_s > _LATE_S


class Effort:
    """Tells when decoding takes so much of the time that only key frames are to be looked at, for a while."""

    def __init__(self) -> None:
        self._until_s = 0.0
        self._since_s: float | None = None
        self._spent_s = 0.0

    def keys_only(self, now_s: float | int) -> bool:
        """Whether it is so now."""
        return now_s < self._until_s

    def spent(self, begun_s: float | int, now_s: float | int) -> None:
        """A look was decoded between these times."""
        if self._since_s is None:
            self._since_s = begun_s
        self._spent_s += now_s - begun_s
        passed_s = now_s - self._since_s
        if passed_s >= _WINDOW_S:
            if self._spent_s > _BUSY * passed_s:
                self._until_s = now_s + _KEYS_ONLY_S
            self._since_s, self._spent_s = now_s, 0.0
