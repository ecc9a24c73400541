"""Precision, recall and F1 of each class and their means, with bootstrap intervals.

TP, predicted and support are the images of a class that were found, named and there. An image counts once for
each of its labels. What is 0 / 0 is NaN: the precision of a class never named, the recall of one never there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from imcls.metrics.bootstrap import Interval, percentiles, resampled_counts
from imcls.predictions import Predictions
from suite.errors import BadInput


@dataclass(frozen=True)
class ClassFigure:
    """One figure of each class, with the bounds (low, high) of its 95 % interval."""

    values: Float[np.ndarray, " k"]
    intervals: Float[np.ndarray, "k 2"]


@dataclass(frozen=True)
class ClassMetrics:
    """Figures of k classes, in their order, and means over classes.

    ``macro`` treats classes alike, those left out that are neither there nor named, and takes an undefined
    precision as 0; ``weighted`` goes by support; ``balanced_accuracy`` is the mean recall of the classes that
    are there. ``micro_f1`` is taken over all labels at once: for single labels it is the accuracy.
    """

    classes: tuple[str, ...]
    support: Int64[np.ndarray, " k"]
    predicted: Int64[np.ndarray, " k"]
    precision: ClassFigure
    recall: ClassFigure
    f1: ClassFigure
    macro_precision: Interval
    macro_recall: Interval
    macro_f1: Interval
    weighted_f1: Interval
    micro_f1: Interval
    balanced_accuracy: Interval


def known(predictions: Predictions) -> tuple[Predictions, np.ndarray]:
    """The images whose labels are known, and these labels. BadInput where there are none."""
    labels = predictions.labels
    rows = np.arange(len(predictions))
    if labels is not None and not predictions.multi_label:
        rows = np.flatnonzero(labels >= 0)
    if labels is None or not len(rows):
        raise BadInput("no image has a known label", hint="measuring needs some")
    return (predictions if len(rows) == len(predictions) else predictions.subset(rows)), labels[rows]


def confusion_matrix(predictions: Predictions) -> Int64[np.ndarray, "k k"]:
    """Images by true class (rows) and decided class (columns). ValueError for multi-label."""
    if predictions.multi_label:
        raise ValueError("images with several labels have no confusion matrix")
    judged, truth = known(predictions)
    k = len(predictions.classes)
    return np.bincount(truth * k + judged.decisions(), minlength=k * k).reshape(k, k)


def class_metrics(predictions: Predictions, bootstrap: int = 1000, seed: int = 0) -> ClassMetrics:
    """All of it, with 95 % percentile intervals of ``bootstrap`` resamplings of the images."""
    if predictions.multi_label:
        judged, truth = known(predictions)
        said = judged.decisions()
        flags = np.concatenate([said & truth, said, truth], axis=1).astype(np.float64)
        counted, resampled = flags.sum(axis=0), _resampled_flags(flags, bootstrap, seed)
    else:
        confusion = confusion_matrix(predictions)
        counted = np.concatenate([confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)])
        resampled = _resampled_confusion(confusion, bootstrap, seed)
    figures = {name: row[0] for name, row in _figures(counted[None].astype(np.float64)).items()}
    blocks = [_figures(block) for block in resampled]
    drawn = {name: np.concatenate([block[name] for block in blocks]) for name in figures}
    each = {
        name: ClassFigure(figures[name], np.array([percentiles(column) for column in drawn[name].T]))
        for name in ("precision", "recall", "f1")
    }
    means = {
        name: Interval(float(value), *percentiles(drawn[name]))
        for name, value in figures.items()
        if name not in each
    }
    _, predicted, support = np.split(counted.astype(np.int64), 3)
    return ClassMetrics(
        predictions.classes, support, predicted, each["precision"], each["recall"], each["f1"], **means
    )


def _figures(counted: np.ndarray) -> dict[str, np.ndarray]:
    """Every figure of TP, predicted and support side by side, (b, 3 k)."""
    tp, predicted, support = np.split(counted, 3, axis=1)
    seen = predicted + support > 0
    precision, recall, f1 = _share(tp, predicted), _share(tp, support), _share(2 * tp, predicted + support)
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "macro_precision": _macro(precision, seen),
        "macro_recall": _macro(recall, seen),
        "macro_f1": _macro(f1, seen),
        "weighted_f1": _share((np.nan_to_num(f1) * support).sum(axis=1), support.sum(axis=1)),
        "micro_f1": _share(2 * tp.sum(axis=1), (predicted + support).sum(axis=1)),
        "balanced_accuracy": _macro(recall, support > 0),
    }


def _macro(figure: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean over the classes that are seen, what is undefined taken as 0."""
    return _share(np.nan_to_num(figure).sum(axis=1), seen.sum(axis=1))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _resampled_confusion(confusion: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks (b, 3 k) of resampled TP, predicted and support.

    Drawing n images with replacement is drawing the cells of the matrix from one multinomial distribution,
    and only those with an image in them can come.
    """
    rng, n, k = np.random.default_rng(seed), int(confusion.sum()), len(confusion)
    true, named = np.nonzero(confusion)
    shares = confusion[true, named] / n
    rows = max(1, min(resamples, 2_000_000 // len(shares)))
    for start in range(0, resamples, rows):
        drawn = rng.multinomial(n, shares / shares.sum(), size=min(rows, resamples - start))
        cells = drawn.astype(np.float64)
        parts = (cells * (true == named), named), (cells, named), (cells, true)
        yield np.concatenate([_summed(values, group, k) for values, group in parts], axis=1)


def _summed(values: np.ndarray, group: np.ndarray, k: int) -> np.ndarray:
    """Columns of (b, m) added up by their group, (b, k)."""
    order = np.argsort(group, kind="stable")
    present, starts = np.unique(group[order], return_index=True)
    total = np.zeros((len(values), k))
    total[:, present] = np.add.reduceat(values[:, order], starts, axis=1)
    return total


def _resampled_flags(flags: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    for counts in resampled_counts(len(flags), resamples, seed):
        yield counts @ flags
