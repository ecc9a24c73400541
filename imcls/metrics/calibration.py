"""Whether probabilities mean what they say, and the temperature that makes them.

z are logits, y the truth, b = 1 / T. The negative log likelihood of softmax(b z), or for multi-label of
sigmoid(b z), is convex in b, so Newton's steps inside a bracket find its one minimum (Guo et al. 2017, On
calibration of modern neural networks, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from imcls.predictions import Predictions

COLDEST, HOTTEST = 0.01, 100.0
"""Temperatures are kept within these; perfect predictions would ask for 0, useless ones for infinity."""
BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Confidence against frequency in b bins, those that are empty left out.

    ``interval`` (b, 2) is Wilson's 95 % interval of the frequency. ``ece`` is the mean distance of the two,
    weighted by ``counts``; even a perfectly calibrated model shows ``ece_by_chance`` on so few images.
    """

    edges: Float[np.ndarray, " e"]
    confidence: Float[np.ndarray, " b"]
    frequency: Float[np.ndarray, " b"]
    interval: Float[np.ndarray, "b 2"]
    counts: Int[np.ndarray, " b"]
    ece: float
    ece_by_chance: float


def fit_temperature(predictions: Predictions) -> float:
    """The temperature under which the known labels are likeliest, between COLDEST and HOTTEST.

    One number for all classes, so that decisions stay as they are. ValueError without any known label.
    """
    z, y = _known(predictions)
    if predictions.multi_label:
        return _newton(z.ravel(), y.ravel().astype(np.float64))
    return _newton(z, y)


def fit_class_temperatures(predictions: Predictions) -> Float[np.ndarray, " k"]:
    """A temperature for each class of multi-label predictions; 1 where a class is known to be all or nothing.

    ValueError for single labels: there it would change which class wins.
    """
    if not predictions.multi_label:
        raise ValueError("a temperature for each class is for multi-label predictions")
    z, y = _known(predictions)
    mixed = (y.min(axis=0) == 0) & (y.max(axis=0) == 1)
    targets = y.astype(np.float64)
    return np.array([_newton(z[:, c], targets[:, c]) if mixed[c] else 1.0 for c in range(z.shape[1])])


def calibrated(predictions: Predictions, temperature: float | int | Float[np.ndarray, " k"]) -> Predictions:
    """The same with logits, and thresholds where there are any, over the temperature; no decision changes."""
    scale = np.asarray(temperature, np.float64)
    thresholds = predictions.thresholds
    if thresholds is not None:
        thresholds = (thresholds / scale).astype(np.float32)
        if thresholds.ndim == 2 and thresholds.shape[1] != 1:
            raise ValueError("thresholds for each image go with one temperature, not one for each class")
    return replace(predictions, logits=(predictions.logits / scale).astype(np.float32), thresholds=thresholds)


def cross_fitted(predictions: Predictions, seed: int = 0, folds: int = 5) -> Predictions:
    """Calibrated probabilities in which no image's label had a say in its own temperature.

    Goes by ``predictions.folds`` where there are at least two, else by ``folds`` random parts. What is
    measured on the result holds for new images; what is measured where a temperature was fitted does not.
    Thresholds, which are no probabilities, are left out. ValueError for fewer than two images.
    """
    n, parts = len(predictions), predictions.folds
    if parts is None or len(np.unique(parts)) < 2:
        parts = np.random.default_rng(seed).permutation(n) % max(2, min(folds, n))
    logits = predictions.logits.copy()
    for part in np.unique(parts):
        inside = parts == part
        logits[inside] /= np.float32(fit_temperature(predictions.subset(np.flatnonzero(~inside))))
    return replace(predictions, logits=logits, thresholds=None)


def events(predictions: Predictions) -> tuple[Float[np.ndarray, " m"], Bool[np.ndarray, " m"]]:
    """Statements with a confidence, and whether they came true.

    An image's likeliest class and whether it is right; for multi-label every image and class and whether it
    is there.
    """
    known = _known_rows(predictions)
    p = predictions.probabilities()[known]
    assert predictions.labels is not None
    if predictions.multi_label:
        return p.ravel(), predictions.labels[known].ravel().astype(bool)
    return p.max(axis=1), p.argmax(axis=1) == predictions.labels[known]


def reliability(predictions: Predictions, bins: int = BINS, equal_mass: bool = False) -> Reliability:
    """Confidence against frequency in ``bins`` of one width, or with ``equal_mass`` of as many events each.

    ValueError without any known label.
    """
    confidence, true = events(predictions)
    if equal_mass:
        edges = np.unique(np.quantile(confidence, np.linspace(0, 1, bins + 1)))
        edges = edges if len(edges) > 1 else np.array([0.0, 1.0])
    else:
        edges = np.linspace(0, 1, bins + 1)
    # Bins are (low, high], the first one with its lower end too.
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, len(edges) - 2)
    counts = np.bincount(place, minlength=len(edges) - 1)
    used = counts > 0
    mean = np.bincount(place, confidence, len(counts))[used] / counts[used]
    hits = np.bincount(place, true.astype(np.float64), len(counts))[used]
    counts = counts[used]
    frequency = hits / counts
    return Reliability(
        edges=edges,
        confidence=mean,
        frequency=frequency,
        interval=wilson_interval(hits, counts),
        counts=counts,
        ece=float(counts @ np.abs(frequency - mean) / counts.sum()),
        ece_by_chance=_ece_by_chance(mean, counts),
    )


def wilson_interval(
    hits: Float[np.ndarray, " b"], counts: Int[np.ndarray, " b"], z: float = 1.959964
) -> Float[np.ndarray, "b 2"]:
    """Interval (low, high) of a frequency: ``hits`` in ``counts`` > 0 trials; 95 % (Wilson 1927)."""
    share = hits / counts
    middle = share + z * z / (2 * counts)
    half = z * np.sqrt(share * (1 - share) / counts + (z / (2 * counts)) ** 2)
    bounds = np.stack([middle - half, middle + half], axis=1) / (1 + z * z / counts)[:, None]
    return np.clip(bounds, 0.0, 1.0)


def _ece_by_chance(confidence: np.ndarray, counts: np.ndarray, draws: int = 400) -> float:
    """Mean ECE of outcomes drawn with exactly the stated probabilities (bins taken at their mean)."""
    drawn = (
        np.random.default_rng(0).binomial(counts, np.clip(confidence, 0, 1), (draws, len(counts))) / counts
    )
    return float((np.abs(drawn - confidence) @ counts).mean() / counts.sum())


def _known_rows(predictions: Predictions) -> np.ndarray:
    labels = predictions.labels
    if labels is None or not len(labels):
        raise ValueError("calibration needs images whose labels are known")
    known = np.arange(len(labels)) if predictions.multi_label else np.flatnonzero(labels >= 0)
    if not len(known):
        raise ValueError("calibration needs images whose labels are known")
    return known


def _known(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Logits as float64 and labels of the images that have any."""
    known = _known_rows(predictions)
    assert predictions.labels is not None
    return predictions.logits[known].astype(np.float64), predictions.labels[known]


def _newton(z: np.ndarray, y: np.ndarray) -> float:
    """T = 1 / b at the root of the slope in b; softmax for z (n, k) and y (n,) int, sigmoid for z (n,)."""
    low, high = 1 / HOTTEST, 1 / COLDEST
    if _slope(z, y, low)[0] >= 0:
        return HOTTEST
    if _slope(z, y, high)[0] <= 0:
        return COLDEST
    b = 1.0
    for _ in range(100):
        slope, curvature = _slope(z, y, b)
        low, high = (b, high) if slope < 0 else (low, b)
        step = b - slope / curvature if curvature > 0 else np.inf
        new = step if low < step < high else (low + high) / 2  # bisect where Newton leaves the bracket
        if abs(new - b) <= 1e-12 * b:
            break
        b = new
    return float(1 / b)


def _slope(z: np.ndarray, y: np.ndarray, b: float) -> tuple[float, float]:
    """First and second derivative in b of the mean negative log likelihood."""
    if z.ndim == 1:
        p = 0.5 * (1 + np.tanh(0.5 * b * z))
        return float(np.mean((p - y) * z)), float(np.mean(p * (1 - p) * z * z))
    p = np.exp(b * (z - z.max(axis=1, keepdims=True)))
    p /= p.sum(axis=1, keepdims=True)
    mean = (p * z).sum(axis=1)
    spread = (p * (z - mean[:, None]) ** 2).sum(axis=1)
    return float(np.mean(mean - z[np.arange(len(y)), y])), float(np.mean(spread))
