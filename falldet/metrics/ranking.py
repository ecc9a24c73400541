"""Average precision at one IoU from detections ranked once: for curves, resampling and the training loop.

The same number as COCO's (matching, 101 recalls, 100 boxes of a class and picture), without its files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from falldet.data.labelled import LabelledSet
from falldet.detections import Detections
from falldet.metrics.overlap import MATCH_IOU, iou, match

_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST = 100


@dataclass(frozen=True, eq=False)
class Ranking:
    """d detections of one class in all n pictures, the most certain first.

    ``right`` says whether a detection found a labelled person, ``image`` which picture it is of; ``labelled``
    counts the people of the class in each picture.
    """

    scores: Float64[np.ndarray, " d"]
    right: Bool[np.ndarray, " d"]
    image: Int64[np.ndarray, " d"]
    labelled: Int64[np.ndarray, " n"]

    def average_precision(self, times: Float[np.ndarray, " n"] | None = None) -> float:
        """AP, each picture counted ``times``; NaN where nobody is labelled.

        Counting a picture k times is the same as having k copies of it, if its scores differ: only the places
        of right detections decide, and between copies of one the envelope of precision is flat.
        """
        people = self.labelled.sum() if times is None else times @ self.labelled
        if people == 0:
            return math.nan
        weights = np.ones(len(self.image)) if times is None else times[self.image]
        above = np.cumsum(weights)[self.right]
        hits = np.cumsum(weights[self.right])
        if not len(hits):
            return 0.0
        precision = hits / np.maximum(above, np.spacing(1.0))
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(hits / people, _RECALLS, side="left")
        return float(np.append(envelope, 0.0)[places].mean())

    def curve(self) -> tuple[Float64[np.ndarray, " d"], Float64[np.ndarray, " d"]]:
        """Recall and precision with all down to each detection counted; recall is NaN without labels."""
        hits = np.cumsum(self.right).astype(np.float64)
        people = self.labelled.sum()
        recall = hits / people if people else np.full(len(hits), math.nan)
        return recall, hits / np.arange(1, len(hits) + 1)


def rank(
    predictions: Sequence[Detections], labelled: LabelledSet, label: int, least: float = MATCH_IOU
) -> Ranking:
    """Detections of the class ``label``, matched at IoU ``least`` within each picture."""
    scores, right, images, people = [], [], [], []
    for number, (image, found) in enumerate(zip(labelled.images, predictions, strict=True)):
        mine = np.flatnonzero(found.labels == label)
        mine = mine[np.argsort(-found.scores[mine], kind="stable")][:_MOST]
        truth = image.boxes_px[image.labels == label]
        scores.append(found.scores[mine])
        right.append(match(iou(found.boxes_px[mine], truth), least) >= 0)
        images.append(np.full(len(mine), number, np.int64))
        people.append(len(truth))
    all_scores = np.concatenate([*scores, np.zeros(0)]).astype(np.float64)
    order = np.argsort(-all_scores, kind="stable")
    return Ranking(
        all_scores[order],
        np.concatenate([*right, np.zeros(0, bool)])[order],
        np.concatenate([*images, np.zeros(0, np.int64)])[order],
        np.array(people, np.int64),
    )


def ap50(predictions: Sequence[Detections], labelled: LabelledSet) -> tuple[float, ...]:
    """AP at IoU .5 of each class, NaN where nobody is labelled so: COCO's, fast enough for every epoch."""
    return tuple(rank(predictions, labelled, k).average_precision() for k in range(len(labelled.classes)))
