"""Votes: convex, honest, in whatever order the runs give their images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imcls.predictions import Predictions
from imcls.voting.ensemble import align, ensemble, fit_weighting, hits, read_ensemble, write_ensemble
from imcls.voting.mixture_weights import best_weights, greedy_weights, log_loss_of
from suite.errors import BadInput


def judged(
    signal: float, seed: int, n: int = 400, k: int = 4, noise: np.ndarray | None = None
) -> Predictions:
    """A member that sees ``signal`` of the truth, and noise of its own."""
    labels = np.arange(n) % k
    own = np.random.default_rng(seed).normal(size=(n, k)) if noise is None else noise
    logits = (signal * np.eye(k)[labels] + own).astype(np.float32)
    names = tuple(f"{i:03}.jpg" for i in range(n))
    return Predictions(names, tuple("abcd"[:k]), logits, labels.astype(np.int64), np.arange(n) // k % 5)


def labels_of(member: Predictions) -> np.ndarray:
    assert member.labels is not None
    return member.labels


def folds_of(member: Predictions) -> np.ndarray:
    assert member.folds is not None
    return member.folds


@pytest.mark.parametrize("seed", range(6))
def test_weights_are_optimal_and_never_worse_than_the_best_member(seed: int):
    from scipy.optimize import minimize

    rng = np.random.default_rng(seed)
    truth = rng.beta(2, 1 + rng.random((4, 1)), size=(4, 300))
    w = best_weights(truth, gap=1e-8)
    assert w.min() >= 0
    assert w.sum() == pytest.approx(1)
    singles = [log_loss_of(np.eye(4)[m], truth) for m in range(4)]
    theirs = minimize(
        lambda x: log_loss_of(x, truth),
        np.full(4, 0.25),
        method="SLSQP",
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        options={"ftol": 1e-12},
    )
    assert log_loss_of(w, truth) <= theirs.fun + 1e-7
    assert log_loss_of(w, truth) <= log_loss_of(greedy_weights(truth), truth) + 1e-8
    assert log_loss_of(greedy_weights(truth), truth) <= min(singles) + 1e-12


def test_a_useless_member_gets_next_to_nothing():
    good, useless = judged(3.0, 0), judged(0.0, 1)
    for method in ("greedy", "convex"):
        assert fit_weighting([good, useless], method).weights[0] > 0.9


def test_two_that_err_differently_are_better_together_and_the_interval_says_so():
    found = ensemble([judged(2.0, 0, 2000), judged(2.0, 1, 2000)], ["a", "b"])
    assert found.accuracy > found.accuracies.max() + 0.03
    assert found.gain.low > 0
    assert found.accuracy - found.accuracies.max() == pytest.approx(found.gain.value)


def test_copies_gain_nothing():
    one = judged(2.0, 0)
    found = ensemble([one, one], ["a", "b"])
    assert found.gain.value == 0
    assert found.accuracy == found.vote_accuracy == found.accuracies[0]


def test_labels_of_a_fold_do_not_touch_what_is_said_of_it():
    members = [judged(2.0, 0), judged(1.0, 1), judged(1.5, 2)]
    before = ensemble(members, "abc").predictions.logits
    labels = labels_of(members[0]).copy()
    inside = members[0].folds == 3
    labels[inside] = np.random.default_rng(0).permutation(labels[inside])
    changed = ensemble([replace(m, labels=labels) for m in members], "abc")
    np.testing.assert_array_equal(changed.predictions.logits[inside], before[inside])
    assert (changed.predictions.logits[~inside] != before[~inside]).any()


def test_overconfidence_is_cooled_before_the_vote():
    calm = judged(2.0, 0)
    loud = replace(judged(2.0, 1), logits=10 * judged(2.0, 1).logits)
    found = fit_weighting([calm, loud], "convex")
    assert found.temperatures[1] == pytest.approx(10 * fit_weighting([judged(2.0, 1), calm]).temperatures[0])
    assert 0.3 < found.weights[0] < 0.7


def test_order_of_images_and_classes_does_not_matter():
    a, b = judged(2.0, 0), judged(1.5, 1)
    order = np.random.default_rng(0).permutation(len(b))
    shuffled = b.subset(order)
    columns = [2, 0, 3, 1]
    place = np.argsort(columns)
    shuffled = replace(
        shuffled,
        classes=tuple(b.classes[c] for c in columns),
        logits=shuffled.logits[:, columns],
        labels=place[labels_of(shuffled)],
        folds=(folds_of(shuffled) + 2) % 5,  # the same parts under other numbers
    )
    np.testing.assert_array_equal(align([a, shuffled], "ab")[1].logits, b.logits)
    np.testing.assert_array_equal(align([a, shuffled], "ab")[1].labels, b.labels)


def test_what_does_not_fit_is_said_in_one_line():
    a, b = judged(2.0, 0), judged(1.5, 1)
    with pytest.raises(BadInput, match="two runs or more"):
        ensemble([a], ["a"])
    with pytest.raises(BadInput, match="run-b: has other classes than run-a"):
        ensemble([a, replace(b, classes=tuple("abcx"))], ["run-a", "run-b"])
    with pytest.raises(BadInput, match=r"b: judged other images than a \(1 differ, such as 399.jpg\)"):
        ensemble([a, b.subset(np.arange(399))], ["a", "b"])
    with pytest.raises(BadInput, match="b: has other labels"):
        ensemble([a, replace(b, labels=(labels_of(b) + 1) % 4)], ["a", "b"])
    with pytest.raises(BadInput, match=r"b: has other folds.*manifest"):
        ensemble([a, replace(b, folds=np.arange(400) % 5)], ["a", "b"])
    with pytest.raises(BadInput, match="without labels"):
        ensemble([replace(a, labels=None), b], ["a", "b"])


def test_several_labels_an_image():
    rng = np.random.default_rng(0)
    labels = (rng.random((300, 3)) < 0.4).astype(np.uint8)
    names, folds = tuple(str(i) for i in range(300)), np.arange(300) % 4

    def member(seed: int) -> Predictions:
        logits = 2.0 * (2.0 * labels - 1) + 2 * np.random.default_rng(seed).normal(size=labels.shape)
        return Predictions(names, ("x", "y", "z"), logits.astype(np.float32), labels, folds, True)

    found = ensemble([member(1), member(2)], ["a", "b"])
    assert found.gain.low > 0
    assert found.accuracy == pytest.approx((found.predictions.decisions() == labels).mean())


def test_without_folds_images_are_parted_by_lot():
    members = [replace(judged(2.0, s), folds=None) for s in (0, 1)]
    assert hits(ensemble(members, "ab").predictions).mean() > 0.8


def test_an_ensemble_comes_back_as_it_was_written(tmp_path: Path):
    found = ensemble([judged(2.0, 0), judged(1.0, 1)], ["a", "b"])
    write_ensemble(tmp_path / "e", found, [Path("runs/a"), Path("runs/b")])
    runs, weighting, classes = read_ensemble(tmp_path / "e")
    assert runs == (Path("runs/a"), Path("runs/b"))
    assert classes == tuple("abcd")
    np.testing.assert_allclose(weighting.weights, found.weighting.weights)
    np.testing.assert_allclose(weighting.temperatures, found.weighting.temperatures)
    assert Predictions.read(tmp_path / "e" / "oof.npz").names == found.predictions.names
    (tmp_path / "e" / "ensemble.json").write_text('{"version": 1}')
    with pytest.raises(BadInput, match="not an ensemble"):
        read_ensemble(tmp_path / "e")
    with pytest.raises(BadInput, match="no such ensemble"):
        read_ensemble(tmp_path / "nothing")
