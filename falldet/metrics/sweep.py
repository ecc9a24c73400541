"""What people-level counts would be at every threshold that makes a difference: exact, nothing binned.

A picture's counts change only where the threshold passes one of its own scores, so each picture is matched
anew at those alone, and the changes of all pictures are added up in the order of their scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.detections import FALLEN
from falldet.metrics.confusion import outcome
from falldet.metrics.false_fallen import risky
from falldet.metrics.overlap import MATCH_IOU, iou
from falldet.metrics.people import NOBODY, NOT_FALLEN, Candidates

_OVER = 1e-6  # the first cut is above 1, so that a score of 1 is below it


@dataclass(frozen=True, eq=False)
class Sweep:
    """k cuts, falling, each half-way between two scores that it parts, and the counts at each.

    ``people`` is ``[true, said]`` as in Confusion; ``false_risky`` counts those who lie, sit or are in danger
    and are called fallen. At the first cut nobody has the score, at the last everybody.
    """

    cuts: Float64[np.ndarray, " k"]
    people: Int64[np.ndarray, "k 3 3"]
    false_risky: Int64[np.ndarray, " k"]

    def f1(self, label: int) -> Float64[np.ndarray, " k"]:
        """F1 of one class of people; 0 where nobody is or is called so."""
        said, true = self.people[:, :, label].sum(axis=1), self.people[:, label].sum(axis=1)
        return 2 * self.people[:, label, label] / np.maximum(said + true, 1)


def sweep_threshold(found: Sequence[Candidates], labelled: LabelledSet, floor: float) -> Sweep:
    """Over the threshold of fallen, at one floor of not fallen."""
    return _sweep(found, labelled, lambda one: one.fallen_scores, lambda one, cut: one.calls(cut, floor))


def sweep_floor(found: Sequence[Candidates], labelled: LabelledSet, threshold: float) -> Sweep:
    """Over the floor of not fallen, at one threshold of fallen."""
    return _sweep(found, labelled, lambda one: one.other_scores, lambda one, cut: one.calls(threshold, cut))


def _sweep(
    found: Sequence[Candidates],
    labelled: LabelledSet,
    scores_of: Callable[[Candidates], np.ndarray],
    calls: Callable[[Candidates, float], np.ndarray],
) -> Sweep:
    start, passed, changes = np.zeros(10, np.int64), [np.zeros(0)], [np.zeros((0, 10), np.int64)]
    for one, image in zip(found, labelled.images, strict=True):
        overlap, scores = iou(one.boxes_px, image.boxes_px), scores_of(one)
        near = np.any(overlap >= MATCH_IOU, axis=1)
        # Who overlaps no labelled person is a ghost, whoever else is there.
        ghost = ~near & (scores > 0)
        before, after = _ghosts(calls(one, np.inf)), _ghosts(calls(one, 0.0))
        passed.append(scores[ghost])
        changes.append((after - before)[ghost])
        start += before[~near].sum(axis=0)
        cuts = np.unique(scores[near & (scores > 0)])[::-1]
        at = [_counts(calls(one, float(cut)), near, overlap, image) for cut in (np.inf, *cuts)]
        passed.append(cuts)
        changes.append(np.diff(at, axis=0).reshape(-1, 10))
        start += at[0]
    scores = np.concatenate(passed)
    order = np.argsort(-scores, kind="stable")
    scores, totals = scores[order], start + np.cumsum(np.concatenate(changes)[order], axis=0)
    last = np.append(scores[1:] < scores[:-1], True)[: len(scores)]  # of equal scores all or none
    scores, totals = scores[last], np.concatenate([start[None], totals[last]])
    above = np.concatenate([[max(1.0, *scores[:1], 0.0) + _OVER], scores])
    return Sweep((above + np.append(scores, 0.0)) / 2, totals[:, :9].reshape(-1, 3, 3), totals[:, 9])


def _counts(calls: np.ndarray, near: np.ndarray, overlap: np.ndarray, image: LabelledImage) -> np.ndarray:
    """The 9 counts of those near labelled people, then how many in danger are called fallen."""
    there = near & (calls != NOBODY)
    one = outcome(calls[there], overlap[there])
    return np.append(one.counts(image.labels).ravel(), (one.said[risky(image)] == FALLEN).sum())


def _ghosts(calls: np.ndarray) -> np.ndarray:
    """The 10 counts that each adds by itself as a ghost."""
    counts = np.zeros((len(calls), 10), np.int64)
    for call in (FALLEN, NOT_FALLEN):
        counts[calls == call, 3 * NOBODY + call] = 1
    return counts
