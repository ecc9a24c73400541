"""Whether two runs of one detector say the same of a picture, and by how much they differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from falldet.detections import Detections
from falldet.metrics.overlap import iou

SCORE_TOLERANCE = 1e-3
BOX_TOLERANCE_PX = 0.1
"""In pixels of the network's input, which a picture is scaled to."""
LOWEST_SCORE = 0.05
IOU_TOLERANCE = 1e-3
"""A detection whose overlap with a better one is so near the limit of suppression may be told or not."""


@dataclass(frozen=True)
class Limits:
    """Where the detector itself decides: its lowest score, overlap of suppression, most detections.

    ``missing_share`` of the matched detections may be missing without an excuse that can be seen from here.
    """

    score: float
    nms_iou: float
    most: int
    missing_share: float = 0.0


@dataclass(frozen=True)
class Difference:
    """Between two lists of detections. Those at the brink are in one list only, where rounding may decide."""

    matched: int = 0
    largest_box_px: float = 0.0
    largest_score: float = 0.0
    at_the_brink: int = 0
    missing: int = 0

    def within(self, limits: Limits) -> bool:
        """Whether the two say the same; what is not a number does not."""
        boxes, scores = self.largest_box_px <= BOX_TOLERANCE_PX, self.largest_score <= SCORE_TOLERANCE
        return boxes and scores and self.missing <= limits.missing_share * self.matched

    def __add__(self, other: Difference) -> Difference:
        return Difference(
            self.matched + other.matched,
            float(np.maximum(self.largest_box_px, other.largest_box_px)),
            float(np.maximum(self.largest_score, other.largest_score)),
            self.at_the_brink + other.at_the_brink,
            self.missing + other.missing,
        )


def difference(own: Detections, other: Detections, scale: float | int, limits: Limits) -> Difference:
    """Of all detections above `LOWEST_SCORE`; ``scale`` is pixels of the input for one of the picture.

    Each detection of ``own``, the most certain first, is matched to the nearest box of its class and, within
    the tolerance, its score; what finds none, or is left over, is missing or at the brink.
    """
    total, left = Difference(), np.ones(len(other), bool)
    for i in range(len(own)):
        away = np.abs(other.boxes_px - own.boxes_px[i]).max(axis=1, initial=0) * scale
        apart = np.abs(other.scores - own.scores[i])
        possible = left & (other.labels == own.labels[i]) & ~(away > 20 * BOX_TOLERANCE_PX)
        if possible.any():
            cost = away / BOX_TOLERANCE_PX + apart / SCORE_TOLERANCE
            nearest = int(np.where(possible, cost, np.inf).argmin())
            left[nearest] = False
            total += Difference(1, float(away[nearest]), float(apart[nearest]))
        else:
            total += _alone(own, i, other, limits)
    for j in np.flatnonzero(left):
        total += _alone(other, int(j), own, limits)
    return total


def _alone(told: Detections, i: int, by_other: Detections, limits: Limits) -> Difference:
    score, same = told.scores[i], by_other.labels == told.labels[i]
    low = score <= max(LOWEST_SCORE, limits.score) + SCORE_TOLERANCE
    last = len(by_other) == limits.most and score <= by_other.scores.min() + SCORE_TOLERANCE
    better = by_other.boxes_px[same & (by_other.scores >= score - SCORE_TOLERANCE)]
    overlap: Float[np.ndarray, "1 b"] = iou(told.boxes_px[i : i + 1], better)
    suppressed = bool((np.abs(overlap - limits.nms_iou) <= IOU_TOLERANCE).any())
    brink = bool(low or last or suppressed)
    return Difference(at_the_brink=int(brink), missing=int(not brink))
