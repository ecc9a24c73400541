"""Linear models against scikit-learn, probes against leaks, and the probe as the head of a classifier."""

from __future__ import annotations

import numpy as np
import pytest

from imcls.frozen.linear_models import Axes, fit_lda, fit_logistic, fit_ridge, one_hot
from imcls.frozen.options import ProbeOptions
from imcls.frozen.probe import fit_probe, probe
from suite.errors import BadInput


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return np.asarray(X, np.float64)[:900], np.asarray(y, np.int64)[:900]


def folds_of(labels: np.ndarray, k: int = 5) -> np.ndarray:
    order = np.argsort(labels, kind="stable")
    folds = np.empty(len(labels), np.int64)
    folds[order] = np.arange(len(labels)) % k
    return folds


@pytest.mark.parametrize("n", [40, 900])  # fewer images than features, and more
def test_logistic_regression_has_the_optimum_of_scikit_learn(digits, n: int):
    from sklearn.linear_model import LogisticRegression

    X, y = digits[0][:n], digits[1][:n]
    axes, Y, penalty = Axes(X), one_hot(y, 10), 0.05
    found = fit_logistic(axes.Z, Y, penalty, axes.spread)
    model = axes.model(found.W, found.b, penalty)
    S = (X - axes.mean) / axes.scale
    theirs = LogisticRegression(C=1 / (penalty * n), max_iter=5000, tol=1e-9).fit(S, y)
    ours = model.logits(X).astype(np.float64)
    expected = theirs.decision_function(S)
    # A constant added to all logits of an image changes nothing.
    ours -= ours.mean(axis=1, keepdims=True)
    expected -= expected.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(ours, expected, atol=2e-3)


def test_one_versus_rest_has_the_optimum_of_scikit_learn(digits):
    from sklearn.linear_model import LogisticRegression

    X, y = digits[0][:300], digits[1][:300]
    Y = np.stack([y % 2 == 0, y > 6, y == 3], axis=1).astype(np.uint8)
    axes = Axes(X)
    found = fit_logistic(axes.Z, one_hot(Y, 3), 0.02, axes.spread, multi_label=True)
    ours = axes.model(found.W, found.b, 0.02).logits(X)
    S = (X - axes.mean) / axes.scale
    for label in range(3):
        theirs = LogisticRegression(C=1 / (0.02 * 300), max_iter=5000, tol=1e-9).fit(S, Y[:, label])
        np.testing.assert_allclose(ours[:, label], theirs.decision_function(S), atol=2e-3)


def test_ridge_chooses_by_what_leaving_out_each_image_really_gives(digits):
    X, y = digits[0][:60], digits[1][:60] % 3
    Y = one_hot(y, 3)

    def left_out_error(penalty: float) -> float:
        S = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
        target, total = 2 * Y - 1, 0.0
        for i in range(60):
            rest = np.delete(np.arange(60), i)
            A = np.hstack([S[rest], np.ones((59, 1))])
            ridge = np.diag([60 * penalty] * S.shape[1] + [0.0])
            W = np.linalg.solve(A.T @ A + ridge, A.T @ target[rest])
            total += float(((np.append(S[i], 1.0) @ W - target[i]) ** 2).sum())
        return total

    penalties = (30.0, 3.0, 0.3, 0.03)
    assert fit_ridge(Axes(X), Y, penalties, False).penalty == min(penalties, key=left_out_error)


def test_lda_agrees_with_scikit_learn(digits):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    X, y = digits
    ours = fit_lda(X, one_hot(y, 10)).logits(X).argmax(axis=1)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(X, y).predict(X)
    assert (ours == theirs).mean() > 0.99


@pytest.mark.parametrize("method", ["logistic", "ridge", "lda"])
def test_probes_of_digits_are_right_nearly_always(digits, method: str):
    X, y = digits
    logits, models = probe([X], y, folds_of(y), ProbeOptions.model_validate({"method": method}), 10)
    assert set(models) == {0, 1, 2, 3, 4}
    assert (logits.argmax(axis=1) == y).mean() > 0.9


@pytest.mark.parametrize("method", ["logistic", "ridge", "lda"])
def test_nothing_of_a_fold_reaches_its_own_probe(digits, method: str):
    X, y = digits[0][:200].copy(), digits[1][:200].copy()
    folds, options = folds_of(y), ProbeOptions.model_validate({"method": method})
    before, inside = probe([X], y, folds, options, 10, (2,))[1][2], folds == 2
    rng = np.random.default_rng(0)
    y[inside] = rng.permutation(y[inside])
    X[inside] = rng.normal(size=X[inside].shape) * 100
    after = probe([X], y, folds, options, 10, (2,))[1][2]
    assert after.penalty == before.penalty
    np.testing.assert_array_equal(after.weight, before.weight)
    y[folds == 1] = rng.permutation(y[folds == 1])  # while the labels of another fold do matter
    assert (probe([X], y, folds, options, 10, (2,))[1][2].weight != before.weight).any()


def test_noise_asks_for_a_stronger_penalty_than_digits(digits):
    X, y = digits[0][:300], digits[1][:300]
    options = ProbeOptions(strengths=(10.0, 1.0, 0.1, 0.01, 0.001))
    noise = np.random.default_rng(1).normal(size=X.shape)
    folds = folds_of(y)
    assert fit_probe([noise], y, folds, options, 10).penalty > fit_probe([X], y, folds, options, 10).penalty


def test_several_labels_and_two_views(digits):
    X, y = digits
    Y = np.stack([y % 2 == 0, y > 4], axis=1).astype(np.uint8)
    noisy = X + np.random.default_rng(0).normal(size=X.shape)
    logits, models = probe([X, noisy], Y, folds_of(y), ProbeOptions(), 2)
    assert ((logits > 0) == Y).mean() > 0.85
    m, inside = models[3], folds_of(y) == 3
    expected = (m.logits(X[inside]) + m.logits(noisy[inside])) / 2
    np.testing.assert_allclose(logits[inside], expected, rtol=1e-5)


def test_what_cannot_be_probed_is_said(digits):
    X, y = digits
    with pytest.raises(BadInput, match="there is no fold 7; folds are 0 to 4"):
        probe([X], y, folds_of(y), ProbeOptions(), 10, (7,))
    unknown = y.copy()
    unknown[3] = -1
    with pytest.raises(BadInput, match="no label"):
        probe([X], unknown, folds_of(y), ProbeOptions(), 10)
    with pytest.raises(BadInput, match="one label an image"):
        probe([X], one_hot(y, 10).astype(np.uint8), folds_of(y), ProbeOptions(method="lda"), 10)


def test_a_constant_feature_changes_nothing(digits):
    X, y = digits[0][:200], digits[1][:200]
    folds = folds_of(y)
    plain, _ = probe([X], y, folds, ProbeOptions(), 10)
    wider, models = probe([np.hstack([X, np.full((200, 1), 7.0)])], y, folds, ProbeOptions(), 10)
    np.testing.assert_allclose(wider, plain, atol=0.05)
    assert np.isfinite(models[0].weight).all()
