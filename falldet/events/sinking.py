"""Whether somebody was seen to go down: upright a moment ago, and now lower and no longer tall."""

from __future__ import annotations

from collections import deque

from falldet.events.zones import Box

_LOWER = 0.75  # of the height before
_FOOT = 0.35  # a foot that rises by more of the height before belongs to somebody who walks away
MEMORY_S = 4.0


class Upright:
    """How tall one person was in the looks of the last MEMORY_S that said up."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Box]] = deque()

    def add(self, time_s: float | int, box_px: Box) -> None:
        """A look that said up."""
        self._seen.append((float(time_s), box_px))

    def sank(self, time_s: float | int, box_px: Box) -> bool:
        """Whether a box now is low beside one that was upright."""
        while self._seen and time_s - self._seen[0][0] > MEMORY_S:
            self._seen.popleft()
        height = box_px[3] - box_px[1]
        for _, before in self._seen:
            tall = before[3] - before[1]
            if height <= _LOWER * tall and before[3] - box_px[3] <= _FOOT * tall and box_px[1] > before[1]:
                return True
        return False

    def rescale(self, across: float | int, down: float | int) -> None:
        """The picture has another size now."""
        self._seen = deque(
            (at, (x1 * across, y1 * down, x2 * across, y2 * down)) for at, (x1, y1, x2, y2) in self._seen
        )
