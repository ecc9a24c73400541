"""How well images are ranked for each class: average precision, and its mean over classes."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from imcls.metrics.bootstrap import Interval, percentiles, resampled_counts
from imcls.metrics.classes import known
from imcls.predictions import Predictions

_WORK = 200_000_000  # images x classes x resamplings that are worth the wait, about 2 s


def average_precision(predictions: Predictions) -> Float[np.ndarray, " k"]:
    """Area under precision over recall of each class, by steps: sum_i (recall_i - recall_i-1) precision_i.

    Images with equal logits come at once. NaN for a class without a positive.
    """
    judged, truth = known(predictions)
    columns = zip(judged.logits.T, truth.T, strict=True)
    once = np.ones((1, len(judged)))
    return np.array([_Ranking(logits, there).average_precision(once)[0] for logits, there in columns])


def mean_average_precision(predictions: Predictions, bootstrap: int = 1000, seed: int = 0) -> Interval:
    """Mean over the classes that have a positive, with its 95 % interval.

    Of very many images fewer resamplings are taken than asked for, 100 at least.
    """
    judged, truth = known(predictions)
    each = average_precision(judged)
    if np.isnan(each).all():
        return Interval(math.nan, math.nan, math.nan)
    resamples = min(bootstrap, max(100, _WORK // truth.size))
    rankings = [_Ranking(*column) for column in zip(judged.logits.T, truth.T, strict=True) if column[1].any()]
    drawn = []
    for counts in resampled_counts(len(judged), resamples, seed):
        of_class = np.array([ranking.average_precision(counts) for ranking in rankings])
        there = ~np.isnan(of_class)  # a rare class may be missing from a resampling
        drawn.append(np.where(there, of_class, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1))
    return Interval(float(np.nanmean(each)), *percentiles(np.concatenate(drawn)))


class _Ranking:
    """The order of the images of one class, highest logit first, and where its positives stand."""

    def __init__(self, logits: np.ndarray, there: np.ndarray) -> None:
        self.order = np.argsort(-logits, kind="stable")
        ordered = logits[self.order]
        self.positive = np.flatnonzero(there[self.order])
        # Of images that are alike, the last one's place counts for all.
        self.last = np.searchsorted(-ordered, -ordered[self.positive], side="right") - 1
        self.rank = np.searchsorted(self.positive, self.last, side="right") - 1

    def average_precision(self, counts: np.ndarray) -> np.ndarray:
        """Of images drawn ``counts`` (b, n) times each: (b,); NaN where no positive was drawn."""
        if not len(self.positive):
            return np.full(len(counts), np.nan)
        ordered = counts[:, self.order]
        drawn = ordered[:, self.positive]
        found = np.cumsum(drawn, axis=1)
        precision = found[:, self.rank] / np.maximum(np.cumsum(ordered, axis=1)[:, self.last], 1)
        total = found[:, -1]
        return np.divide(
            (drawn * precision).sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0
        )
