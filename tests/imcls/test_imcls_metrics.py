"""Figures against scikit-learn's, and their intervals against resampling by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics

from imcls.metrics.bootstrap import bootstrap_interval
from imcls.metrics.classes import class_metrics, confusion_matrix
from imcls.metrics.multilabel import average_precision, mean_average_precision
from imcls.metrics.summary import (
    accuracy,
    balanced_accuracy,
    brier_scores,
    expected_calibration_error,
    log_losses,
    right,
    summary,
    top_k_accuracy,
)
from imcls.predictions import Predictions
from suite.errors import BadInput

theirs: Any = sklearn.metrics  # its types do not know what its documentation says of zero_division


def single(n: int = 400, k: int = 5, seed: int = 0, unknown: bool = False) -> Predictions:
    """Classes of unequal size, the last of them never named."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(k, n, p=(shares := np.arange(k, 0, -1)) / shares.sum())
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), labels] += 1.5
    logits[:, -1] -= 10
    if unknown:
        labels[::7] = -1
    names = tuple(map(str, range(n)))
    return Predictions(
        names, tuple("abcdefghijklmnop"[:k]), logits.astype(np.float32), labels.astype(np.int64)
    )


def several(n: int = 300, k: int = 4, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, k)) < np.array([0.5, 0.3, 0.2, 0.05][:k])).astype(np.uint8)
    logits = np.round(2 * labels + rng.normal(size=(n, k)) - 1, 1)  # with ties
    names = tuple(map(str, range(n)))
    return Predictions(names, tuple("abcd"[:k]), logits.astype(np.float32), labels, multi_label=True)


def truth(predictions: Predictions) -> np.ndarray:
    assert predictions.labels is not None
    return predictions.labels


def test_single_label_figures_are_scikit_learns() -> None:
    p = single()
    y, said, shares = truth(p), p.decisions(), p.probabilities()
    assert accuracy(p) == theirs.accuracy_score(y, said)
    assert balanced_accuracy(p) == pytest.approx(theirs.balanced_accuracy_score(y, said))
    for k in (1, 2, 3):
        expected = theirs.top_k_accuracy_score(y, p.logits, k=k)
        assert top_k_accuracy(p, k) == pytest.approx(expected)
    assert log_losses(p).mean() == pytest.approx(theirs.log_loss(y, shares))
    assert brier_scores(p).mean() == pytest.approx(((shares - np.eye(5)[y]) ** 2).sum(axis=1).mean())
    np.testing.assert_array_equal(confusion_matrix(p), theirs.confusion_matrix(y, said))


@pytest.mark.parametrize("kind", [single, several])
def test_class_figures_are_scikit_learns(kind: type) -> None:
    p: Predictions = kind()
    y, said = truth(p), p.decisions()
    ours = class_metrics(p, bootstrap=20)
    each = theirs.precision_recall_fscore_support(y, said, zero_division=np.nan)
    for figure, expected in zip((ours.precision, ours.recall, ours.f1), each, strict=False):
        np.testing.assert_allclose(figure.values, expected)
    np.testing.assert_array_equal(ours.support, each[3])
    for ours_mean, average, place in (
        (ours.macro_precision, "macro", 0),
        (ours.macro_recall, "macro", 1),
        (ours.macro_f1, "macro", 2),
        (ours.weighted_f1, "weighted", 2),
        (ours.micro_f1, "micro", 2),
    ):
        expected = theirs.precision_recall_fscore_support(y, said, average=average, zero_division=0)[place]
        assert ours_mean.value == pytest.approx(expected)


def test_a_class_never_named_has_no_precision_but_counts_as_zero_in_the_mean() -> None:
    ours = class_metrics(single(), bootstrap=50)
    assert ours.predicted[-1] == 0 and np.isnan(ours.precision.values[-1]) and ours.recall.values[-1] == 0
    assert np.isnan(ours.precision.intervals[-1]).all()
    assert ours.macro_precision.value == pytest.approx(ours.precision.values[:-1].sum() / 5)


def test_a_class_that_is_neither_there_nor_named_is_left_out_of_the_means() -> None:
    p = single()
    wide = Predictions(
        p.names, (*p.classes, "none"), np.pad(p.logits, ((0, 0), (0, 1)), constant_values=-99.0), p.labels
    )
    assert class_metrics(wide, 20).macro_f1.value == pytest.approx(class_metrics(p, 20).macro_f1.value)
    assert np.isnan(class_metrics(wide, 20).f1.values[-1])


def test_multi_label_figures_are_scikit_learns() -> None:
    p = several()
    y = truth(p)
    np.testing.assert_allclose(
        average_precision(p),
        theirs.average_precision_score(y, p.logits, average=None),
    )
    assert mean_average_precision(p).value == pytest.approx(theirs.average_precision_score(y, p.logits))
    assert accuracy(p) == theirs.accuracy_score(y, p.decisions())
    each = [theirs.log_loss(y[:, c], p.probabilities()[:, c]) for c in range(4)]
    assert log_losses(p).mean() == pytest.approx(np.mean(each))
    brier = [theirs.brier_score_loss(y[:, c], p.probabilities()[:, c]) for c in range(4)]
    assert brier_scores(p).mean() == pytest.approx(np.mean(brier))


def test_thresholds_decide() -> None:
    p = several()
    strict = Predictions(
        p.names, p.classes, p.logits, p.labels, multi_label=True, thresholds=np.full(4, 1.0, np.float32)
    )
    expected = theirs.f1_score(truth(p), p.logits > 1, average="micro")
    assert class_metrics(strict, 20).micro_f1.value == pytest.approx(expected)


def test_a_class_without_a_positive_has_no_average_precision() -> None:
    p = several()
    y = truth(p).copy()
    y[:, 1] = 0
    empty = Predictions(p.names, p.classes, p.logits, y, multi_label=True)
    assert np.isnan(average_precision(empty)).tolist() == [False, True, False, False]
    found = mean_average_precision(empty, 100)
    assert (
        found.value == pytest.approx(np.nanmean(average_precision(empty)))
        and found.low < found.value < found.high
    )


def by_hand(p: Predictions, name: str) -> tuple[float, float]:
    """The interval of one figure by resampling images and measuring each time."""
    k, y, said = len(p.classes), truth(p), p.decisions()
    there, named = (flags if p.multi_label else np.eye(k)[flags] for flags in (y, said))

    def figure(chosen: np.ndarray) -> float:
        if name == "mean_average_precision":
            return float(np.nanmean(average_precision(p.subset(chosen))))
        tp = (there[chosen] * named[chosen]).sum(axis=0)
        support, predicted = there[chosen].sum(axis=0), named[chosen].sum(axis=0)
        below = predicted if name == "macro_precision" else (support + predicted) / 2
        return float((tp / np.maximum(below, 1e-9))[support + predicted > 0].mean())

    found = bootstrap_interval(figure, len(p), resamples=800, seed=9)
    return found.low, found.high


@pytest.mark.parametrize(
    ("p", "name"),
    [
        (single(), "macro_precision"),
        (single(), "macro_f1"),
        (several(), "macro_f1"),
        (several(150), "mean_average_precision"),
    ],
    ids=["single, precision", "single, F1", "several, F1", "several, mAP"],
)
def test_fast_intervals_are_those_of_resampled_images(p: Predictions, name: str) -> None:
    metrics = {metric.key: metric for metric in summary(p, bootstrap=3000)}
    interval = metrics[name].interval
    assert interval is not None
    low, high = by_hand(p, name)
    width = high - low
    np.testing.assert_allclose(interval, (low, high), atol=0.12 * width)


def test_class_intervals_are_those_of_resampled_images() -> None:
    p = single()
    ours = class_metrics(p, bootstrap=3000).recall
    y, hit = truth(p), right(p)
    for c in (0, 3):
        found = bootstrap_interval(lambda i, c=c: float(hit[i][y[i] == c].mean()), 400, resamples=2000)
        np.testing.assert_allclose(ours.intervals[c], (found.low, found.high), atol=0.02)
    assert np.diff(ours.intervals[3]) > np.diff(ours.intervals[0])  # fewer images, less sure


def test_summary_has_every_figure_within_its_interval_and_is_decided_by_the_seed() -> None:
    for p, first in ((single(unknown=True), "accuracy"), (several(), "exact_match")):
        found = summary(p, bootstrap=200, seed=1)
        assert [metric.key for metric in found[:2]] == ["images", first]
        for metric in found[1:]:
            assert metric.interval is not None
            assert metric.interval[0] <= metric.value <= metric.interval[1], metric.key
            assert metric.better == ("lower" if metric.key in ("log_loss", "brier", "ece") else "higher")
        assert found == summary(p, bootstrap=200, seed=1) != summary(p, bootstrap=200, seed=2)
        assert {m.key: m.value for m in found}["ece"] == pytest.approx(expected_calibration_error(p))


def test_unknown_labels_are_left_out() -> None:
    p = single(unknown=True)
    kept = p.subset(np.flatnonzero(truth(p) >= 0))
    assert summary(p, 100) == summary(kept, 100) and summary(p, 100)[0].value == len(kept) < len(p)


def test_no_known_label_is_one_clear_line() -> None:
    p = single(unknown=True).subset(np.arange(0, 400, 7))
    for measure in (summary, accuracy, confusion_matrix, class_metrics):
        with pytest.raises(BadInput, match="no image has a known label"):
            measure(p)


def test_overconfidence_shows_in_the_calibration_error() -> None:
    p = single(4000)
    hot = Predictions(p.names, p.classes, 5 * p.logits, p.labels)
    assert expected_calibration_error(hot) > expected_calibration_error(p) + 0.05


def test_equal_logits_go_to_the_first_class_in_every_figure() -> None:
    p = Predictions(tuple("abcd"), ("x", "y", "z"), np.zeros((4, 3), np.float32), np.array([0, 0, 1, 2]))
    assert accuracy(p) == top_k_accuracy(p, 1) == 0.5 and top_k_accuracy(p, 2) == 0.75
