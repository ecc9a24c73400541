"""Orders of an epoch: pure, complete, balanced as asked, p classes of k images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imcls.data.options import Balanced, InputOptions, Pk, ProgressiveStep, Shuffle
from imcls.data.samplers import occurrences, sample_order
from suite.errors import BadInput

_LABELS = np.repeat([0, 1, 2], [60, 30, 6])


@pytest.mark.parametrize("sampling", [Shuffle(), Balanced(), Balanced(power=0.5), Pk(p=3, k=4)])
def test_orders_are_pure_functions_of_seed_and_epoch(sampling) -> None:
    size = 12
    one, again = (sample_order(_LABELS, sampling, 5, 2, size) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert one.dtype == np.int64
    assert (one != sample_order(_LABELS, sampling, 5, 3, size)).any()
    assert (one != sample_order(_LABELS, sampling, 6, 2, size)).any()


def test_shuffle_holds_every_image_once() -> None:
    np.testing.assert_array_equal(np.sort(sample_order(_LABELS, Shuffle(), 0, 0, 8)), np.arange(96))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=80), st.floats(0, 1), st.integers(0, 5))
def test_balanced_rounds_expected_counts(labels: list[int], power: float, epoch: int) -> None:
    given_labels = np.array(labels, np.int64)
    order = sample_order(given_labels, Balanced(power=power), 0, epoch, 8)
    counts = np.bincount(given_labels)
    share = (1.0 / counts[given_labels]) ** power
    expected = len(labels) * share / share.sum()
    times = np.bincount(order, minlength=len(labels))
    assert len(order) == len(labels)
    assert (np.abs(times - expected) < 1 + 1e-6).all()


def test_full_balance_draws_classes_alike_and_power_zero_is_a_shuffle() -> None:
    drawn = np.bincount(_LABELS[sample_order(_LABELS, Balanced(), 0, 0, 8)])
    assert (np.abs(drawn - 32) <= 1).all()
    np.testing.assert_array_equal(np.sort(sample_order(_LABELS, Balanced(power=0.0), 0, 0, 8)), np.arange(96))
    root = np.bincount(_LABELS[sample_order(_LABELS, Balanced(power=0.5), 0, 0, 8)])
    expected = np.sqrt([60, 30, 6]) / np.sqrt([60, 30, 6]).sum() * 96
    assert (np.abs(root - expected) <= 1.5).all()


def test_images_of_several_labels_count_as_their_rarest() -> None:
    labels = np.zeros((40, 3), np.uint8)
    labels[:30, 0] = 1
    labels[28:34, 1] = 1  # two of them are of class 0 too
    order = sample_order(labels, Balanced(), 0, 0, 8)
    times = np.bincount(order, minlength=40)
    # 28 images of class 0 alone at 1/30, six of class 1 at 1/6, six of none at 1/6
    total = 28 / 30 + 2
    assert abs(times[28:34].sum() - 40 / total) <= 1.5 and abs(times[34:].sum() - 40 / total) <= 1.5


def test_pk_batches_hold_p_classes_of_k_images() -> None:
    labels = np.repeat([0, 1, 2, 3], [20, 9, 2, 5])
    order = sample_order(labels, Pk(p=3, k=4), 1, 0, 12)
    assert len(order) == 36 // 12 * 12
    for batch in order.reshape(-1, 12):
        classes, counts = np.unique(labels[batch], return_counts=True)
        assert len(classes) == 3 and (counts == 4).all()
        for c in set(classes.tolist()) - {2}:  # class 2 has fewer than k images, drawn with replacement
            assert len(set(batch[labels[batch] == c].tolist())) == 4


def test_pk_says_what_is_missing() -> None:
    with pytest.raises(BadInput, match="batches of 8 classes, but the training images have 3"):
        sample_order(_LABELS, Pk(p=8, k=4), 0, 0, 32)
    with pytest.raises(BadInput, match="several labels"):
        sample_order(np.ones((5, 2), np.uint8), Pk(), 0, 0, 32)


def test_occurrences_count_from_zero() -> None:
    assert occurrences(np.array([3, 1, 3, 3, 0, 1])).tolist() == [0, 0, 1, 2, 0, 1]
    assert occurrences(np.zeros(0, np.int64)).tolist() == []


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="write batch_size: 24"):
        InputOptions(sampling=Pk(p=6, k=4))
    with pytest.raises(ValueError, match="one after the other"):
        InputOptions(progressive=(ProgressiveStep(start=0.5), ProgressiveStep(start=0.2)))
