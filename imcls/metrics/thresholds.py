"""From which logit on a class counts as present: one threshold for each class, from held-out predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Shaped

from imcls.predictions import Predictions
from suite.errors import BadInput

HALF = 0.0  # the logit of a probability of one half


@dataclass(frozen=True)
class ThresholdReport:
    """What thresholds of their own give each class; F1 is NaN for classes without a positive.

    ``f1_half`` is that of one half for all. ``f1_chosen`` is measured on the images that the thresholds were
    chosen on and therefore too high; ``f1_expected``, chosen on some folds and measured on the others, is
    what new images will show.
    """

    thresholds: Float32[np.ndarray, " k"]
    positives: Int[np.ndarray, " k"]
    f1_half: Float[np.ndarray, " k"]
    f1_chosen: Float[np.ndarray, " k"]
    f1_expected: Float[np.ndarray, " k"]


def per_class_thresholds(predictions: Predictions) -> Float32[np.ndarray, " k"]:
    """The threshold of each class with the highest F1, on the logits' scale: yes where logit > threshold.

    Exact: all cuts between different logits are tried. A threshold lies half-way between the two logits it
    parts; of cuts that are equally good the one nearest to one half is taken, which is also what a class
    without a positive gets. BadInput where the predictions are not multi-label or have no labels.
    """
    logits, truth = _multi_label(predictions)
    return _best(logits, truth)


def threshold_report(predictions: Predictions, seed: int = 0, folds: int = 5) -> ThresholdReport:
    """Thresholds and what they are worth.

    Crosses over ``predictions.folds`` where there are at least two, else over ``folds`` random parts.
    """
    logits, truth = _multi_label(predictions)
    n, parts = len(truth), predictions.folds
    if parts is None or len(np.unique(parts)) < 2:
        parts = np.random.default_rng(seed).permutation(n) % max(2, folds)
    expected = np.zeros_like(truth)
    for part in np.unique(parts):
        inside = parts == part
        expected[inside] = logits[inside] > _best(logits[~inside], truth[~inside])
    chosen = _best(logits, truth)
    return ThresholdReport(
        thresholds=chosen,
        positives=truth.sum(axis=0, dtype=np.int64),
        f1_half=f1(logits > HALF, truth),
        f1_chosen=f1(logits > chosen, truth),
        f1_expected=f1(expected, truth),
    )


def f1(decided: Shaped[np.ndarray, "n k"], truth: Shaped[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """F1 of each class, 2 TP / (2 TP + FP + FN); NaN for a class without a positive."""
    decided, truth = decided.astype(bool), truth.astype(bool)
    both, all_yes = (decided & truth).sum(axis=0), decided.sum(axis=0) + truth.sum(axis=0)
    return np.where(truth.any(axis=0), 2 * both / np.maximum(all_yes, 1), np.nan)


def _best(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    thresholds = [_best_of_class(logits[:, c], truth[:, c]) for c in range(logits.shape[1])]
    return np.array(thresholds, np.float32)


def _best_of_class(logits: np.ndarray, truth: np.ndarray) -> np.float32:
    positives = int(truth.sum())
    if positives == 0:
        return np.float32(HALF)
    order = np.argsort(-logits, kind="stable")
    ordered = logits[order]
    lower = np.append(ordered[1:], ordered[-1] - 1)  # below the last one: all are a yes
    cuts = np.flatnonzero(lower < ordered)  # equal logits stay together
    hits = np.cumsum(truth[order], dtype=np.int64)[cuts]
    score = 2 * hits / (cuts + 1 + positives)
    best = cuts[score >= score.max() * (1 - 1e-12)]
    low, high = lower[best], ordered[best]
    middle = (low.astype(np.float64) / 2 + high.astype(np.float64) / 2).astype(np.float32)
    middle = np.where(middle < high, middle, low)  # neighbours in float32 have nothing between them
    return middle[np.argmin(np.abs(middle - HALF))]


def _multi_label(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    if not predictions.multi_label:
        raise BadInput("thresholds are for images with several labels; here each has one")
    if predictions.labels is None or not len(predictions):
        raise BadInput("thresholds need images whose labels are known", hint="take out-of-fold predictions")
    return predictions.logits, predictions.labels
