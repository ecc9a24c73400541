"""Planted label faults are found again, on scikit-learn's digits and on made-up probabilities."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from imcls.metrics.label_faults import ABSENT, find_label_faults
from imcls.predictions import Predictions


def out_of_fold(pixels: np.ndarray, labels: np.ndarray, classes: int) -> Predictions:
    """Five folds of logistic regression on digits, each image judged by the one that did not see it."""
    from sklearn.linear_model import LogisticRegression

    folds = np.random.default_rng(0).permutation(len(labels)) % 5
    logits = np.empty((len(labels), classes), np.float32)
    for fold in range(5):
        model = LogisticRegression(C=0.1, max_iter=60).fit(pixels[folds != fold], labels[folds != fold])
        logits[folds == fold] = model.decision_function(pixels[folds == fold])
    names = tuple(f"{i:04d}.png" for i in range(len(labels)))
    return Predictions(names, tuple(map(str, range(classes))), logits, labels, folds)


@lru_cache(maxsize=1)
def digits_with_faults() -> tuple[Predictions, np.ndarray, np.ndarray]:
    """Out-of-fold predictions where 5 % of the labels were changed; which ones; the right labels."""
    from sklearn.datasets import load_digits

    pixels, right = (np.asarray(column) for column in load_digits(return_X_y=True))
    rng = np.random.default_rng(3)
    planted = rng.choice(len(right), len(right) // 20, replace=False)
    given = right.copy()
    given[planted] = (given[planted] + rng.integers(1, 10, len(planted))) % 10
    return out_of_fold(pixels / 16.0, given, 10), planted, right


def test_planted_faults_are_found_with_their_right_labels():
    predictions, planted, right = digits_with_faults()
    found = find_label_faults(predictions).faults
    indices = np.array([fault.index for fault in found])
    hits = np.isin(indices, planted)
    recall, precision = hits.sum() / len(planted), hits.mean()
    top = hits[: len(planted) // 2].mean()
    print(f"recall {recall:.3f}, precision {precision:.3f}, precision of the first half {top:.3f}")
    assert recall > 0.93
    assert precision > 0.83
    assert top == 1.0
    named = [fault.likely == right[fault.index] for fault, hit in zip(found, hits, strict=True) if hit]
    assert np.mean(named) > 0.93


def test_the_share_of_wrong_labels_is_estimated():
    predictions, planted, right = digits_with_faults()
    found = find_label_faults(predictions)
    assert found.wrong_share == pytest.approx(len(planted) / len(right), abs=0.02)
    assert found.joint is not None and predictions.labels is not None
    assert found.joint.sum(axis=1) == pytest.approx(np.bincount(predictions.labels, minlength=10))


def test_faults_are_ranked_and_say_what_the_model_says():
    predictions, _, _ = digits_with_faults()
    p, labels = predictions.probabilities(), predictions.labels
    assert labels is not None
    faults = find_label_faults(predictions).faults
    margins = [fault.margin for fault in faults]
    assert margins == sorted(margins)
    assert len({fault.index for fault in faults}) == len(faults)
    for fault in faults:
        assert fault.name == predictions.names[fault.index]
        assert fault.given == labels[fault.index] != fault.likely
        assert fault.p_given == p[fault.index, fault.given] and fault.p_likely == p[fault.index, fault.likely]
        others = np.delete(p[fault.index], fault.given).max()
        assert fault.margin == pytest.approx((fault.p_given - others + 1) / 2)


def test_confident_joint_by_hand():
    """Four images of a, two of b; thresholds are 0.625 and 0.7, so only the fourth is in doubt."""
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.3, 0.7]])
    labels = np.array([0, 0, 0, 0, 1, 1])
    predictions = Predictions(tuple("uvwxyz"), ("a", "b"), np.log(p).astype(np.float32), labels)
    p = predictions.probabilities()
    threshold = p[:4, 0].mean(), p[4:, 1].mean()
    assert threshold == pytest.approx((0.625, 0.7))
    result = find_label_faults(predictions)
    (fault,) = result.faults
    assert (fault.name, fault.given, fault.likely) == ("x", 0, 1)  # 4/3 labels are wrong: one is named
    assert fault.margin == pytest.approx((0.2 - 0.8 + 1) / 2, abs=1e-6)
    # Two of a are surely a, one is surely b, one is neither: 4 images given a are shared out 2 : 1.
    assert result.joint == pytest.approx(np.array([[4 * 2 / 3, 4 / 3], [0, 2]]))
    assert result.wrong_share == pytest.approx(4 / 3 / 6)


def test_unknown_labels_empty_classes_and_perfect_predictions():
    logits = np.eye(4)[np.arange(30) % 3].astype(np.float32) * 8  # the fourth class has no image
    labels = np.arange(30) % 3
    labels[:5] = -1
    names = tuple(map(str, range(30)))
    predictions = Predictions(names, tuple("abcd"), logits, labels)
    result = find_label_faults(predictions)
    assert result.faults == () and result.wrong_share == 0
    labels[7] = 2  # was 1
    (fault,) = find_label_faults(replace(predictions, labels=labels)).faults
    assert (fault.index, fault.given, fault.likely) == (7, 2, 1)
    with pytest.raises(ValueError, match="none"):
        find_label_faults(replace(predictions, labels=None))


def test_multi_label_faults_are_labels_too_many_or_too_few():
    rng = np.random.default_rng(0)
    truth = (rng.random((500, 4)) < 0.3).astype(np.uint8)
    logits = ((2.0 * truth - 1) * 3 + rng.normal(size=truth.shape)).astype(np.float32)
    labels = truth.copy()
    flat = rng.choice(labels.size, 40, replace=False)
    labels.ravel()[flat] ^= 1
    names = tuple(map(str, range(500)))
    predictions = Predictions(names, tuple("abcd"), logits, labels, multi_label=True)
    result = find_label_faults(predictions)
    found = set()
    for fault in result.faults:
        assert (fault.given == ABSENT) != (fault.likely == ABSENT)
        c = max(fault.given, fault.likely)
        assert labels[fault.index, c] == (1 if fault.given == c else 0)
        found.add(fault.index * 4 + c)
    planted = set(flat.tolist())
    assert len(found & planted) / len(planted) > 0.8
    assert len(found & planted) / len(found) > 0.95
    assert result.joint is None
    assert result.wrong_share == pytest.approx(40 / 2000, abs=0.01)
