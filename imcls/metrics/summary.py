"""What predictions are worth, as figures with 95 % bootstrap intervals.

Images without a known label are left out; where none has one, BadInput. For multi-label predictions "right"
means right in all classes, and log loss and Brier score are means over classes of yes or no.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

from imcls.metrics.bootstrap import Interval, percentiles, resampled_counts
from imcls.metrics.calibration import BINS, events, reliability
from imcls.metrics.classes import class_metrics, known
from imcls.metrics.multilabel import mean_average_precision
from imcls.predictions import Predictions
from suite.report.metric import Metric


def right(predictions: Predictions) -> Bool[np.ndarray, " n"]:
    """Whether each image with a known label was decided rightly."""
    judged, truth = known(predictions)
    return (judged.decisions() == truth).reshape(len(truth), -1).all(axis=1)


def accuracy(predictions: Predictions) -> float:
    """Share of images that are right."""
    return float(right(predictions).mean())


def true_rank(predictions: Predictions) -> Int64[np.ndarray, " n"]:
    """Place of the true class among the logits, 0 the highest; of equal ones the first class comes first."""
    judged, truth = known(predictions)
    logits, rows = judged.logits, np.arange(len(truth))
    own = logits[rows, truth][:, None]
    earlier = np.arange(logits.shape[1]) < truth[:, None]
    return ((logits > own) | ((logits == own) & earlier)).sum(axis=1)


def top_k_accuracy(predictions: Predictions, k: int) -> float:
    """Share of images whose true class is among the k likeliest. ValueError for multi-label."""
    if predictions.multi_label:
        raise ValueError("images with several labels have no one true class")
    return float((true_rank(predictions) < k).mean())


def balanced_accuracy(predictions: Predictions) -> float:
    """Mean recall of the classes that are there."""
    return class_metrics(predictions, bootstrap=1).balanced_accuracy.value


def log_losses(predictions: Predictions) -> Float[np.ndarray, " n"]:
    """Negative log likelihood of each image's label, nats."""
    judged, truth = known(predictions)
    z = judged.logits.astype(np.float64)
    if predictions.multi_label:
        return (np.logaddexp(0.0, z) - z * truth).mean(axis=1)
    z -= z.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(truth)), truth]


def brier_scores(predictions: Predictions) -> Float[np.ndarray, " n"]:
    """Squared distance of each image's probabilities from the truth (Brier 1950): summed over classes, 0 to
    2, or for multi-label their mean, 0 to 1."""
    judged, truth = known(predictions)
    p = judged.probabilities()
    if predictions.multi_label:
        return ((p - truth) ** 2).mean(axis=1)
    own = p[np.arange(len(truth)), truth]
    return (p**2).sum(axis=1) - 2 * own + 1


def expected_calibration_error(predictions: Predictions, bins: int = BINS) -> float:
    """Mean distance of confidence and frequency over ``bins`` of one width (Guo et al. 2017, eq. 5); the bins
    themselves are :func:`imcls.metrics.calibration.reliability`'s."""
    return reliability(predictions, bins).ece


def summary(predictions: Predictions, bootstrap: int = 1000, seed: int = 0) -> list[Metric]:
    """Every headline figure, the same for the same ``seed``; ``bootstrap`` resamplings of the images."""
    judged, truth = known(predictions)
    of_classes = class_metrics(judged, bootstrap, seed)
    columns = {"log_loss": log_losses(judged), "brier": brier_scores(judged)}
    higher: dict[str, Interval] = {}
    if predictions.multi_label:
        columns["exact_match"] = right(judged)
        higher["mean_average_precision"] = mean_average_precision(judged, bootstrap, seed)
        higher["micro_f1"] = of_classes.micro_f1
        higher["macro_f1"] = of_classes.macro_f1
    else:
        columns["accuracy"] = right(judged)
        top = 5 if len(predictions.classes) > 10 else 2
        if len(predictions.classes) > top:
            columns[f"top{top}_accuracy"] = true_rank(judged) < top
        higher["balanced_accuracy"] = of_classes.balanced_accuracy
        higher["macro_precision"] = of_classes.macro_precision
        higher["macro_f1"] = of_classes.macro_f1
        higher["weighted_f1"] = of_classes.weighted_f1
    means, ece = _means_and_ece(judged, columns, bootstrap, seed)
    lower = {name: means.pop(name) for name in ("log_loss", "brier")}
    return [
        Metric("images", len(truth), better=None),
        *(_metric(name, figure, "higher") for name, figure in (means | higher).items()),
        *(_metric(name, figure, "lower") for name, figure in lower.items()),
        _metric("ece", ece, "lower"),
    ]


def _means_and_ece(
    judged: Predictions, columns: dict[str, np.ndarray], resamples: int, seed: int
) -> tuple[dict[str, Interval], Interval]:
    """Means of columns (n,) and the ECE from the same resamplings."""
    n = len(judged)
    values = np.stack(list(columns.values()), axis=1).astype(np.float64)
    gaps = _bin_gaps(judged)
    drawn_means, drawn_ece = [], []
    for counts in resampled_counts(n, resamples, seed):
        drawn_means.append(counts @ values / n)
        drawn_ece.append(np.abs(counts @ gaps).sum(axis=1) / n)
    drawn = np.concatenate(drawn_means)
    means = {
        name: Interval(float(values[:, c].mean()), *percentiles(drawn[:, c]))
        for c, name in enumerate(columns)
    }
    value = float(np.abs(gaps.sum(axis=0)).sum() / n)
    # Resampling adds noise to every bin, which ECE takes for error; without that, the interval lies too high.
    ece = np.concatenate(drawn_ece)
    low, high = (max(0.0, bound - float(ece.mean()) + value) for bound in percentiles(ece))
    return means, Interval(value, min(low, value), max(high, value))


def _bin_gaps(judged: Predictions, bins: int = BINS) -> Float[np.ndarray, "n b"]:
    """What each image adds to truth less confidence, in each bin: ECE is the sum over bins of |sum|, by n."""
    confidence, true = events(judged)
    n = len(judged)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    each = len(confidence) // n  # for multi-label an image has an event for each class
    gaps = np.zeros((n, bins))
    np.add.at(gaps, (np.repeat(np.arange(n), each), place), (true - confidence) / each)
    return gaps


def _metric(name: str, figure: Interval, better: str) -> Metric:
    bounds = None if np.isnan(figure.low) else (figure.low, figure.high)
    return Metric(name, figure.value, better="higher" if better == "higher" else "lower", interval=bounds)
