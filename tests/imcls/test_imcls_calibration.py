"""Temperatures against an independent minimiser, ECE against its definition, and laws of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from imcls.metrics.calibration import (
    COLDEST,
    HOTTEST,
    calibrated,
    cross_fitted,
    events,
    fit_class_temperatures,
    fit_temperature,
    reliability,
    wilson_interval,
)
from imcls.metrics.summary import log_losses
from imcls.predictions import Predictions


def said(logits: np.ndarray, labels: np.ndarray, multi_label: bool = False, **more) -> Predictions:
    names = tuple(f"{i}.jpg" for i in range(len(logits)))
    classes = tuple(f"c{j}" for j in range(logits.shape[1]))
    return Predictions(names, classes, logits.astype(np.float32), labels, multi_label=multi_label, **more)


def log_loss(predictions: Predictions) -> float:
    return float(log_losses(predictions).mean())


def overconfident(n: int = 600, k: int = 5, factor: float = 3.0, seed: int = 0, **more) -> Predictions:
    """Labels drawn from softmax(z); logits reported ``factor`` times too large: the truth is T = factor."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * 1.5
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(k, p=row) for row in p])
    return said(z * factor, labels, **more)


def several_labels(n: int = 400, k: int = 3, factors=(2.0, 0.5, 1.0), seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * 2
    labels = (rng.random((n, k)) < 1 / (1 + np.exp(-z))).astype(np.uint8)
    return said(z * np.array(factors), labels, multi_label=True)


def labels_of(predictions: Predictions) -> np.ndarray:
    """A copy, to be changed."""
    assert predictions.labels is not None
    return predictions.labels.copy()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [overconfident, several_labels])
def test_temperature_is_the_minimum_that_scipy_finds(make, seed):
    predictions = make(seed=seed)

    def loss(log_t: float) -> float:
        exact = replace(predictions, logits=predictions.logits).probabilities(float(np.exp(log_t)))
        y = predictions.labels
        if predictions.multi_label:
            return float(-np.mean(np.where(y == 1, np.log(exact), np.log1p(-exact))))
        return float(-np.mean(np.log(exact[np.arange(len(y)), y])))

    best = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10})
    found = fit_temperature(predictions)
    assert np.log(found) == pytest.approx(best.x, abs=1e-5)
    assert loss(float(np.log(found))) <= best.fun + 1e-13
    assert log_loss(calibrated(predictions, found)) == pytest.approx(best.fun, abs=1e-6)


def test_a_known_temperature_is_found_again():
    assert fit_temperature(overconfident(20_000, factor=3.0)) == pytest.approx(3.0, rel=0.03)
    assert fit_temperature(overconfident(20_000, factor=0.4)) == pytest.approx(0.4, rel=0.03)
    found = fit_class_temperatures(several_labels(20_000))
    assert found == pytest.approx([2.0, 0.5, 1.0], rel=0.06)


def test_scaling_the_logits_scales_the_temperature():
    predictions = overconfident()
    twice = replace(predictions, logits=predictions.logits * 2)
    assert fit_temperature(twice) == pytest.approx(2 * fit_temperature(predictions), rel=1e-9)
    assert fit_temperature(calibrated(predictions, fit_temperature(predictions))) == pytest.approx(
        1, rel=1e-5
    )


def test_perfect_and_useless_predictions_stop_at_the_bounds():
    labels = np.arange(30) % 3
    right = np.eye(3)[labels] * 5.0
    assert fit_temperature(said(right, labels)) == COLDEST
    assert fit_temperature(said(-right, labels)) == HOTTEST
    assert np.isfinite(log_loss(calibrated(said(right, labels), COLDEST)))


def test_unknown_labels_have_no_say():
    predictions = overconfident()
    labels = labels_of(predictions)
    labels[100:] = -1
    some = replace(predictions, labels=labels)
    only = predictions.subset(np.arange(100))
    assert fit_temperature(some) == fit_temperature(only)
    assert reliability(some).ece == reliability(only).ece
    with pytest.raises(ValueError, match="labels are known"):
        fit_temperature(replace(predictions, labels=np.full(600, -1)))
    with pytest.raises(ValueError, match="labels are known"):
        reliability(replace(predictions, labels=None))


def test_decisions_stay_as_they_are():
    predictions = overconfident()
    assert (calibrated(predictions, 7.0).decisions() == predictions.decisions()).all()
    several = several_labels()
    by_class = np.array([0.5, -1.0, 0.2], np.float32)
    by_image = np.linspace(-1, 1, 400, dtype=np.float32)[:, None]
    for thresholds in (by_class, by_image):
        with_thresholds = replace(several, thresholds=thresholds)
        assert (calibrated(with_thresholds, 3.0).decisions() == with_thresholds.decisions()).all()
    with_thresholds = replace(several, thresholds=by_class)
    scaled = calibrated(with_thresholds, np.array([2.0, 0.5, 4.0]))
    assert (scaled.decisions() == with_thresholds.decisions()).all()


def test_classes_that_are_all_or_nothing_keep_their_scale():
    several = several_labels()
    labels = labels_of(several)
    labels[:, 1] = 0
    found = fit_class_temperatures(replace(several, labels=labels))
    assert found[1] == 1.0 and found[0] == pytest.approx(2.0, rel=0.4)
    with pytest.raises(ValueError, match="multi-label"):
        fit_class_temperatures(overconfident())


def test_cross_fitting_takes_each_fold_s_temperature_from_the_others():
    folds = np.arange(600) % 4
    predictions = overconfident(folds=folds)
    result = cross_fitted(predictions)
    for fold in range(4):
        rest = predictions.subset(np.flatnonzero(folds != fold))
        expected = predictions.logits[folds == fold] / np.float32(fit_temperature(rest))
        assert (result.logits[folds == fold] == expected).all()


def test_an_image_s_own_label_changes_nothing_in_its_own_fold():
    predictions = overconfident(folds=np.arange(600) % 4)
    labels = labels_of(predictions)
    labels[0] = (labels[0] + 1) % 5
    changed = cross_fitted(replace(predictions, labels=labels))
    assert (changed.logits[::4] == cross_fitted(predictions).logits[::4]).all()
    assert (changed.logits[1::4] != cross_fitted(predictions).logits[1::4]).any()


def test_cross_fitting_calibrates_and_is_honest():
    """In-sample log loss is the least one temperature can reach; the cross-fitted one lies just above it."""
    predictions = overconfident()
    best = log_loss(calibrated(predictions, fit_temperature(predictions)))
    honest = log_loss(cross_fitted(predictions, seed=1))
    assert best < honest < best + 0.01 < log_loss(predictions)
    assert reliability(cross_fitted(predictions)).ece < 0.5 * reliability(predictions).ece


@pytest.mark.parametrize("make", [overconfident, several_labels])
def test_ece_is_what_its_definition_says(make):
    predictions = make()
    confidence, true = events(predictions)
    direct = 0.0
    for b in range(15):
        inside = (confidence > b / 15) & (confidence <= (b + 1) / 15)
        if inside.any():
            direct += inside.mean() * abs(confidence[inside].mean() - true[inside].mean())
    assert reliability(predictions).ece == pytest.approx(direct, abs=1e-12)


def test_bins_of_equal_mass_hold_equally_many():
    found = reliability(overconfident(600), bins=12, equal_mass=True)
    assert len(found.counts) == 12 and set(found.counts) <= {49, 50, 51}
    assert found.counts.sum() == 600
    assert (np.diff(found.edges) > 0).all()


def test_all_of_one_confidence_is_one_bin():
    logits = np.tile(np.array([[3.0, 0.0]]), (40, 1))
    for equal_mass in (False, True):
        found = reliability(said(logits, np.zeros(40, np.int64)), equal_mass=equal_mass)
        assert found.counts.tolist() == [40]
        assert found.ece == pytest.approx(1 - 1 / (1 + np.exp(-3)), abs=1e-7)


def test_a_calibrated_model_shows_the_ece_of_chance():
    found = [reliability(overconfident(400, factor=1.0, seed=seed)) for seed in range(20)]
    measured, expected = np.mean([r.ece for r in found]), np.mean([r.ece_by_chance for r in found])
    assert measured == pytest.approx(expected, rel=0.15)
    assert reliability(overconfident(400)).ece > 3 * expected


def test_wilson_intervals_against_known_values_and_their_coverage():
    # Newcombe 1998, table I: 81/263 and 0/20, without continuity correction.
    found = wilson_interval(np.array([81.0, 0.0]), np.array([263, 20]))
    assert found == pytest.approx(np.array([[0.2553, 0.3662], [0.0, 0.1611]]), abs=1e-4)
    hits = np.random.default_rng(0).binomial(40, 0.7, 4000).astype(np.float64)
    low, high = wilson_interval(hits, np.full(4000, 40)).T
    assert 0.93 < np.mean((low <= 0.7) & (high >= 0.7)) < 0.97
