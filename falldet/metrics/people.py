"""From boxes of two classes to people who are fallen or not: the one decision rule of pictures and of video.

A detector gives boxes of each class for itself, so that one person may carry two. Boxes of either class that
overlap the most certain one by ``SAME_PERSON_IOU`` or more are the same person, who then has two scores: the
highest of each class among those boxes. The person is called fallen where the fallen score reaches the
threshold, whatever the other score is; else not fallen where that score reaches its floor; else is nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from falldet.detections import CLASSES, FALLEN, Detections
from falldet.metrics.overlap import iou

NOT_FALLEN, NOBODY = 1, 2
"""What people are called beside FALLEN."""
SAME_PERSON_IOU = 0.6
NOT_FALLEN_FLOOR = 0.3
"""Score from which on somebody who is not called fallen counts as there, where no other floor was chosen."""


@dataclass(frozen=True, eq=False)
class People:
    """n people who are said to be in a picture, the most certain first.

    ``fallen_scores`` and ``other_scores`` are those of the two classes, 0 where no box was of that class;
    ``fallen`` is what the person is called.
    """

    boxes_px: Float32[np.ndarray, "n 4"]
    fallen_scores: Float64[np.ndarray, " n"]
    other_scores: Float64[np.ndarray, " n"]
    fallen: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.fallen)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Everybody who might be in a picture, with both scores, before a threshold decides; as in People."""

    boxes_px: Float32[np.ndarray, "n 4"]
    fallen_scores: Float64[np.ndarray, " n"]
    other_scores: Float64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.boxes_px)

    def calls(self, threshold: float | int, floor: float | int = NOT_FALLEN_FLOOR) -> Int64[np.ndarray, " n"]:
        """What each is at this threshold and this floor of not fallen: FALLEN, NOT_FALLEN, NOBODY."""
        others = np.where(self.other_scores >= floor, NOT_FALLEN, NOBODY)
        return np.where(self.fallen_scores >= threshold, FALLEN, others).astype(np.int64)

    def called(self, threshold: float | int, floor: float | int = NOT_FALLEN_FLOOR) -> People:
        """Those who are there at this threshold and this floor."""
        calls = self.calls(threshold, floor)
        there = calls != NOBODY
        scores = self.fallen_scores[there], self.other_scores[there]
        return People(self.boxes_px[there], *scores, calls[there] == FALLEN)


def candidates(detections: Detections) -> Candidates:
    """Boxes of both classes merged into people. ValueError for detections of other classes."""
    if detections.classes != CLASSES:
        raise ValueError(f"people are made of {', '.join(CLASSES)}, not of {', '.join(detections.classes)}")
    order = np.argsort(-detections.scores, kind="stable")
    boxes, scores = detections.boxes_px[order], detections.scores[order].astype(np.float64)
    fallen = detections.labels[order] == FALLEN
    same = iou(boxes, boxes) >= SAME_PERSON_IOU
    leaders: list[int] = []
    both: list[tuple[float, float]] = []
    free = np.ones(len(boxes), bool)
    for leader in range(len(boxes)):
        if free[leader]:
            mine = free & same[leader]
            mine[leader] = True  # an empty box does not overlap itself
            free &= ~mine
            leaders.append(leader)
            both.append((_highest(scores[mine & fallen]), _highest(scores[mine & ~fallen])))
    two = np.array(both, np.float64).reshape(-1, 2)
    return Candidates(boxes[np.array(leaders, np.int64)], two[:, 0], two[:, 1])


def people(detections: Detections, threshold: float | int, floor: float | int = NOT_FALLEN_FLOOR) -> People:
    """Who is in the picture, and who of them is called fallen."""
    return candidates(detections).called(threshold, floor)


def _highest(scores: np.ndarray) -> float:
    return float(scores.max()) if len(scores) else 0.0
