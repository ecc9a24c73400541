"""What has been at a place of the picture for long: furniture that looks like somebody, or who stays there.

Cameras hang still: a chair that a detector takes for somebody has been there for minutes, who fell has not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

from falldet.metrics.overlap import iou

_EVERY_S, _LONGEST_S = 1.9, 60.0
_NOT_NOW_S = 6.0  # what is there since a moment ago is no reason for doubt
_SAME = 0.5


class Familiar:
    """Boxes of one camera's last minute, some seconds apart."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, Float[np.ndarray, "k 4"]]] = deque()

    def look(self, time_s: float, boxes: Float[np.ndarray, "n 4"]) -> Float64[np.ndarray, " n"]:
        """The share of the last minute, but for its end, in which something like each box was there.

        ``boxes`` are in units that do not change with the size of the picture.
        """
        while self._past and time_s - self._past[0][0] > _LONGEST_S:
            self._past.popleft()
        before = [there for at_s, there in self._past if time_s - at_s >= _NOT_NOW_S]
        shares = _shares(boxes, before)
        if not self._past or time_s - self._past[-1][0] >= _EVERY_S:
            self._past.append((time_s, boxes))
        return shares


def _shares(
    boxes: Float[np.ndarray, "n 4"], before: Sequence[Float[np.ndarray, "k 4"]]
) -> Float64[np.ndarray, " n"]:
    """In which share of these looks there was something; a few looks say little."""
    seen = np.zeros(len(boxes))
    if len(boxes) and before:
        overlap = iou(boxes, np.concatenate(before)) >= _SAME
        ends = np.cumsum([len(there) for there in before])
        for part in np.split(overlap, ends[:-1], axis=1):
            seen += part.any(axis=1)
    return seen / max(len(before), 3)
