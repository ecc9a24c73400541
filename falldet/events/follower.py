"""People of one camera, look by look, under numbers that stay: detections merged into people and tracked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from falldet.detections import Detections
from falldet.events.options import TrackOptions
from falldet.events.tracker import Tracker
from falldet.events.zones import Box
from falldet.metrics.people import candidates


@dataclass(frozen=True)
class Followed:
    """Somebody in a look: their number, where they are, and the highest score of each class."""

    number: int
    box_px: Box
    fallen: float
    other: float


class Follower:
    """What a look says of whom does not depend on when somebody counts as fallen."""

    def __init__(self, options: TrackOptions) -> None:
        self.options = options
        self._tracker = Tracker(options)
        self._time_s = -np.inf
        self._size_px: tuple[int, int] | None = None

    def look(
        self, detections: Detections, size_px: tuple[int, int], time_s: float | int
    ) -> tuple[Followed, ...]:
        """Everybody who has a number, in the order of numbers; the order of ``detections`` is irrelevant.

        ``size_px`` is the picture's width and height; a time before the last one begins afresh.
        """
        if time_s < self._time_s:
            self._tracker = Tracker(self.options)
        elif self._size_px is not None and self._size_px != size_px:
            for tracked in self._tracker.boxes:
                tracked.rescale(size_px[0] / self._size_px[0], size_px[1] / self._size_px[1])
        self._time_s, self._size_px = time_s, size_px
        boxes = detections.boxes_px
        keys = (*(boxes[:, k] for k in range(4)), detections.labels, -detections.scores)
        people = candidates(detections.chosen(np.lexsort(keys)))
        best = np.maximum(people.fallen_scores, people.other_scores)
        numbers = self._tracker.look(people.boxes_px, best, self.options.begin, time_s)
        found = []
        for k in np.flatnonzero(numbers >= 0):
            scores = float(people.fallen_scores[k]), float(people.other_scores[k])
            found.append(Followed(int(numbers[k]), _box(people.boxes_px[k]), *scores))
        return tuple(sorted(found, key=lambda one: one.number))


def _box(edges_px: np.ndarray) -> Box:
    x1, y1, x2, y2 = (float(edge) for edge in edges_px)
    return x1, y1, x2, y2
