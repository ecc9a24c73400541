"""N of M looks by time: when the looks at one person are enough to say that they have fallen."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from falldet.events.options import EventOptions

_CLOCK_S = 1e-6  # times are sums of floats
_SMOOTH_S = 1.0


@dataclass(frozen=True)
class Look:
    """What one look says of one person: ``weight`` is how many times over that is enough to be fallen."""

    time_s: float | int
    unix_s: float | int
    score: float | int
    weight: float | int

    @property
    def down(self) -> bool:
        """Whether it counts as fallen."""
        return self.weight >= 1


class Evidence:
    """The looks at one person that still count. ``smooth`` is their score, smoothed, for people to see."""

    def __init__(self, options: EventOptions) -> None:
        self.options = options
        self.smooth = 0.0
        self._newest_s = -math.inf
        self._looks: deque[Look] = deque()

    def add(self, look: Look) -> None:
        """A look later than all before it. A gap before it makes those before it worthless."""
        if self._looks:
            dt = look.time_s - self._looks[-1].time_s
            if dt > self.options.gap_s:
                self._looks.clear()
            self.smooth += (1 - math.exp(-dt / _SMOOTH_S)) * (look.score - self.smooth)
        else:
            self.smooth = look.score
        self._looks.append(look)
        self._newest_s = float(look.time_s)
        since_s = look.time_s - self.options.window_s - _CLOCK_S
        while len(self._looks) > self.options.of and self._looks[0].time_s < since_s:
            self._looks.popleft()

    @property
    def newest_s(self) -> float:
        """When the newest look was."""
        return self._newest_s

    def clear(self) -> None:
        """Forget all looks."""
        self._looks.clear()

    def confirmed(self) -> list[Look] | None:
        """The looks that said fallen, where they are enough and the newest is one of them, else None.

        Looks before the first of them do not count: somebody who stood until then falls as any other.
        """
        o = self.options
        if not self._looks or not self._looks[-1].down:
            return None
        looks = list(self._looks)
        for first in (k for k, look in enumerate(looks) if look.down):
            down = [look for look in looks[first:] if look.down]
            if len(down) * o.of < o.looks * (len(looks) - first):
                continue
            sure = sum(min(look.weight, o.sure) for look in down)
            if sure >= o.looks and down[-1].time_s - down[0].time_s >= o.min_duration_s - _CLOCK_S:
                return down
        return None
