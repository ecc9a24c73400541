"""People of one camera, look by look, under numbers that stay: detections merged into people and tracked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from falldet.detections import Detections
from falldet.events.options import TrackOptions
from falldet.events.tracker import Tracker
from falldet.events.zones import Box
from falldet.metrics.overlap import iou
from falldet.metrics.people import candidates

_PART = 0.85
"""This much of a part's box is in that of the whole."""
_SAME = 0.45


@dataclass(frozen=True)
class Followed:
    """Somebody in a look: their number, where they are, and the highest score of each class; ``changed`` is
    the share of the box that is not as the picture has been (`falldet.events.changes`)."""

    number: int
    box_px: Box
    fallen: float
    other: float
    changed: float = 1.0


class Follower:
    """What a look says of whom does not depend on when somebody counts as fallen."""

    def __init__(self, options: TrackOptions) -> None:
        self.options = options
        self._tracker = Tracker(options)
        self._time_s = -np.inf
        self._size_px: tuple[int, int] | None = None

    def look(
        self,
        detections: Detections,
        size_px: tuple[int, int],
        time_s: float | int,
        changed: Float64[np.ndarray, " n"] | None = None,
    ) -> tuple[Followed, ...]:
        """Everybody who has a number, in the order of numbers; the order of ``detections`` is irrelevant.

        ``size_px`` is the picture's width and height; a time before the last one begins afresh. ``changed``
        is of each detection; where nobody knows, all of it is.
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
        whole = np.flatnonzero((best >= self.options.go_on) & ~_parts(people.boxes_px, best))
        numbers = self._tracker.look(people.boxes_px[whole], best[whole], self.options.begin, time_s)
        found = []
        for k, number in zip(whole, numbers, strict=True):
            if number >= 0:
                scores = float(people.fallen_scores[k]), float(people.other_scores[k])
                own = (boxes == people.boxes_px[k]).all(axis=1)
                share = 1.0 if changed is None else float(changed[own][0])
                found.append(Followed(int(number), _box(people.boxes_px[k]), *scores, share))
        return tuple(sorted(found, key=lambda one: one.number))


def _parts(boxes_px: Float32[np.ndarray, "n 4"], scores: Float64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which boxes lie inside a surer one, or nearly on it: legs, a trunk or a shadow taken for somebody."""
    boxes = boxes_px.astype(np.float64)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    inside = np.maximum(high - low, 0.0).prod(axis=-1) >= _PART * np.maximum(area, 1e-9)[:, None]
    surer = scores[None, :] > scores[:, None]
    larger = area[None, :] > area[:, None]
    return np.asarray(((inside & larger | (iou(boxes, boxes) >= _SAME)) & surer).any(axis=1))


def _box(edges_px: np.ndarray) -> Box:
    x1, y1, x2, y2 = (float(edge) for edge in edges_px)
    return x1, y1, x2, y2
