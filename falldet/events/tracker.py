"""Who is who from one look to the next: two-stage association (ByteTrack, Zhang et al. 2022) by time.

Ours because `trackers` and `supervision` match by plain overlap, of which nothing is left for somebody who
walks at two looks a second, and bring a second build of OpenCV beside the headless one.

A box is followed as (x, y, w, h): centre and size. Centres have a velocity v that decays, as people stop: v
is an Ornstein-Uhlenbeck process, its time constant _STEADY_S; sizes walk at random. P_xx, P_xv, P_vv are the
entries of each one's covariance. Boxes are compared after both were enlarged (C-BIoU, Yang et al. 2023) by
what a person may have moved; which class they are of has no part in it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64

from falldet.events.options import TrackOptions
from falldet.metrics.overlap import iou

_STEADY_S = 0.8
_MEASURED = 0.08  # standard deviations in sizes of a box: of a measured box,
_SPEED = 0.8  # of the velocity (a second),
_DRIFT = 0.25  # of the expected centre and size after a second
_MOST_ENLARGED = 1.5
_IMPOSSIBLE = 1e3


class TrackedBox:
    """One person's box: where it is expected, with its uncertainty. ``seen_s`` is when it was last seen."""

    def __init__(self, number: int, box_px: Float[np.ndarray, " 4"], time_s: float | int) -> None:
        self.number = number
        self.seen_s = self._at_s = time_s
        self._x = _middle(box_px)
        self._v = np.zeros(4)
        size = self._size
        self._xx = np.full(4, (_MEASURED * size) ** 2)
        self._xv = np.zeros(4)
        self._vv = np.array([1.0, 1.0, 0.0, 0.0]) * (_SPEED * size) ** 2

    @property
    def box_px(self) -> Float64[np.ndarray, " 4"]:
        """Edges x1, y1, x2, y2, as expected now."""
        half = np.maximum(self._x[2:], 1.0) / 2
        return np.concatenate([self._x[:2] - half, self._x[:2] + half])

    @property
    def _size(self) -> float:
        return float(np.sqrt(max(self._x[2] * self._x[3], 1.0)))

    def expect(self, time_s: float | int) -> None:
        """Go on to ``time_s``."""
        dt = time_s - self._at_s
        self._at_s = time_s
        d = float(np.exp(-dt / _STEADY_S))
        reach = _STEADY_S * (1 - d)
        moving = np.array([1.0, 1.0, 0.0, 0.0])
        self._x += reach * self._v
        self._v *= d
        self._xx += 2 * reach * self._xv + reach**2 * self._vv + dt * (_DRIFT * self._size) ** 2
        self._xv = d * (self._xv + reach * self._vv)
        self._vv = d**2 * self._vv + moving * (1 - d**2) * (_SPEED * self._size) ** 2

    def see(self, box_px: Float[np.ndarray, " 4"]) -> None:
        """Correct it by a measured box (Kalman's update, each coordinate for itself)."""
        wrong = _middle(box_px) - self._x
        total = self._xx + (_MEASURED * self._size) ** 2
        gain, gain_v = self._xx / total, self._xv / total
        self._x += gain * wrong
        self._v += gain_v * wrong
        self._vv -= gain_v * self._xv
        self._xv *= 1 - gain
        self._xx *= 1 - gain
        self.seen_s = self._at_s

    def rescale(self, across: float | int, down: float | int) -> None:
        """The picture has another size now."""
        by = np.array([across, down, across, down])
        self._x, self._v = self._x * by, self._v * by
        self._xx, self._xv, self._vv = (part * by**2 for part in (self._xx, self._xv, self._vv))


class Tracker:
    """Follows everybody before one camera."""

    def __init__(self, options: TrackOptions) -> None:
        self.options = options
        self.boxes: list[TrackedBox] = []
        self._number = 0

    def look(
        self,
        boxes_px: Float[np.ndarray, "n 4"],
        scores: Float[np.ndarray, " n"],
        least: float | int,
        time_s: float | int,
    ) -> Int64[np.ndarray, " n"]:
        """The number of each box's track, -1 where it belongs to none.

        Boxes that score ``least`` find their track first and begin one where there is none; the weaker go on
        with those that are left. ``time_s`` grows from look to look.
        """
        for tracked in self.boxes:
            tracked.expect(time_s)
        numbers = np.full(len(boxes_px), -1, np.int64)
        waiting = list(self.boxes)
        for chosen in (np.flatnonzero(scores >= least), np.flatnonzero(scores < least)):
            pairs = self._pairs(waiting, boxes_px[chosen], time_s)
            for t, b in pairs:
                waiting[t].see(boxes_px[chosen[b]])
                numbers[chosen[b]] = waiting[t].number
            taken = {t for t, _ in pairs}
            waiting = [tracked for t, tracked in enumerate(waiting) if t not in taken]
        forget_s = self.options.forget_s
        self.boxes = [tracked for tracked in self.boxes if time_s - tracked.seen_s <= forget_s]
        for b in np.flatnonzero((numbers < 0) & (scores >= least)):
            self._number += 1
            numbers[b] = self._number
            self.boxes.append(TrackedBox(self._number, boxes_px[b], time_s))
        return numbers

    def _pairs(
        self, tracks: list[TrackedBox], boxes_px: Float[np.ndarray, "m 4"], time_s: float | int
    ) -> list[tuple[int, int]]:
        """Places of tracks and of boxes that belong together: the most overlap in all (Kuhn 1955)."""
        if not tracks or not len(boxes_px):
            return []
        from scipy.optimize import linear_sum_assignment

        share = [self.options.speed * (time_s - tracked.seen_s) for tracked in tracks]
        overlap = np.concatenate(
            [
                iou(_enlarged(tracked.box_px[None], by), _enlarged(boxes_px, by))
                for tracked, by in zip(tracks, share, strict=True)
            ]
        )
        enough = overlap >= self.options.least_overlap
        rows, columns = linear_sum_assignment(np.where(enough, 1 - overlap, _IMPOSSIBLE))
        return [(int(t), int(b)) for t, b in zip(rows, columns, strict=True) if enough[t, b]]


def _enlarged(boxes: Float[np.ndarray, "n 4"], share: float | int) -> Float64[np.ndarray, "n 4"]:
    boxes = boxes.astype(np.float64)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    by = (min(share, _MOST_ENLARGED) * np.sqrt(sides.prod(axis=1)))[:, None]
    return np.concatenate([boxes[:, :2] - by, boxes[:, 2:] + by], axis=1)


def _middle(box: Float[np.ndarray, " 4"]) -> Float64[np.ndarray, " 4"]:
    box = box.astype(np.float64)
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
