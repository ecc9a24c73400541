"""Thresholds of classes against trying all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import f1_score

from imcls.metrics.thresholds import f1, per_class_thresholds, threshold_report
from imcls.predictions import Predictions
from suite.errors import BadInput


def predictions(logits: np.ndarray, labels: np.ndarray, folds: np.ndarray | None = None) -> Predictions:
    n, k = logits.shape
    return Predictions(
        names=tuple(map(str, range(n))),
        classes=tuple(map(str, range(k))),
        logits=logits.astype(np.float32),
        labels=labels.astype(np.uint8),
        folds=folds,
        multi_label=True,
    )


@given(st.data(), st.integers(1, 25), st.sampled_from([0.25, 1e-8, 100.0]))
def test_no_threshold_is_better(data: st.DataObject, n: int, step: float) -> None:
    whole = data.draw(arrays.arrays(np.int64, (n, 2), elements=st.integers(-6, 6)))  # with ties
    truth = data.draw(arrays.arrays(np.uint8, (n, 2), elements=st.integers(0, 1)))
    logits = (whole * step).astype(np.float32)
    chosen = per_class_thresholds(predictions(logits, truth))
    got = f1(logits > chosen, truth)
    for c in range(2):
        if not truth[:, c].any():
            assert chosen[c] == 0 and np.isnan(got[c])
            continue
        cuts = [*np.unique(logits[:, c]), -np.inf]
        best = max(f1(logits[:, [c]] > cut, truth[:, [c]])[0] for cut in cuts)
        assert got[c] == pytest.approx(best)


def test_f1_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    decided, truth = rng.random((2, 50, 4)) < 0.4
    np.testing.assert_allclose(f1(decided, truth), f1_score(truth, decided, average=None))  # pyright: ignore[reportArgumentType]


def test_neighbouring_floats_are_parted() -> None:
    low = np.float32(1.0)
    high = np.nextafter(low, np.float32(2))
    logits = np.array([[low], [low], [high]])
    truth = np.array([[0], [0], [1]])
    assert f1(logits > per_class_thresholds(predictions(logits, truth)), truth)[0] == 1


def test_of_equally_good_cuts_the_one_nearest_to_one_half() -> None:
    logits = np.array([[-4.0], [-2.0], [3.0]])
    assert per_class_thresholds(predictions(logits, np.array([[0], [0], [1]])))[0] == 0.5
    logits = np.array([[5.0], [4.0], [1.0], [-1.0]])
    truth = np.array([[1], [0], [0], [1]])  # F1 2/3 at both the first cut and the last
    assert per_class_thresholds(predictions(logits, truth))[0] == -1.5


def shifted(n: int = 20_000, seed: int = 0) -> Predictions:
    """Scores whose best threshold is another one for each class."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, 3)) < np.array([0.5, 0.1, 0.03])
    logits = 2.5 * truth + rng.normal(size=(n, 3)) + np.array([-1.25, -4.0, 1.0])
    return predictions(logits, truth, rng.integers(0, 5, n))


def test_own_thresholds_are_worth_it_and_the_estimate_holds_on_new_images() -> None:
    report = threshold_report(shifted())
    assert (report.f1_chosen >= report.f1_half).all()
    assert (report.f1_chosen[1:] > report.f1_half[1:] + 0.2).all()
    new = shifted(40_000, seed=1)
    assert new.labels is not None
    fresh = f1(new.logits > report.thresholds, new.labels)
    np.testing.assert_allclose(report.f1_expected, fresh, atol=0.03)
    assert report.positives.tolist() == shifted().labels.sum(axis=0).tolist()  # pyright: ignore


def test_on_noise_the_estimate_promises_less_than_the_choice() -> None:
    rng = np.random.default_rng(3)
    noise = predictions(rng.normal(size=(60, 12)), rng.random((60, 12)) < 0.15)
    report = threshold_report(noise)
    assert np.nanmean(report.f1_expected) < np.nanmean(report.f1_chosen) - 0.05


def test_without_folds_it_depends_on_the_seed_alone() -> None:
    plain = predictions(shifted().logits, np.asarray(shifted().labels))
    first, again = threshold_report(plain, seed=1), threshold_report(plain, seed=1)
    np.testing.assert_array_equal(first.f1_expected, again.f1_expected)
    assert (threshold_report(plain, seed=2).f1_expected != first.f1_expected).any()


def test_single_labels_and_unknown_ones_are_refused() -> None:
    single = Predictions(("a",), ("x", "y"), np.zeros((1, 2), np.float32), np.zeros(1, np.int64))
    with pytest.raises(BadInput, match="several labels"):
        per_class_thresholds(single)
    unknown = Predictions(("a",), ("x", "y"), np.zeros((1, 2), np.float32), multi_label=True)
    with pytest.raises(BadInput, match="labels are known"):
        per_class_thresholds(unknown)
