"""Boxes: overlap, deltas, matching, sampling and suppression."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from falldet.model.boxes import clip, decode, encode, iou
from falldet.model.matching import BACKGROUND, BETWEEN, match
from falldet.model.options import CascadeHeadOptions
from falldet.model.sampling import RandomSampler
from falldet.model.suppression import best, suppress

STDS = (0.1, 0.1, 0.2, 0.2)
NOBODY = torch.zeros(0, 4)
coordinates = st.floats(0, 500, width=32)
sides = st.floats(8, 400, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> torch.Tensor:
    x, y, width, height = draw(coordinates), draw(coordinates), draw(sides), draw(sides)
    return torch.tensor([[x, y, x + width, y + height]])


@given(boxes(), boxes())
def test_decode_undoes_encode(box: torch.Tensor, wanted: torch.Tensor) -> None:
    again = decode(box, encode(box, wanted, STDS), STDS, (1000, 1000))
    torch.testing.assert_close(again, wanted, atol=2e-3, rtol=1e-5)


@given(boxes(), boxes())
def test_iou_is_symmetric_and_one_with_itself(a: torch.Tensor, b: torch.Tensor) -> None:
    assert 0 <= float(iou(a, b)) <= 1
    torch.testing.assert_close(iou(a, b), iou(b, a))
    torch.testing.assert_close(iou(a, a), torch.ones(1, 1))


def test_deltas_by_hand() -> None:
    box, wanted = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[5.0, 10, 25, 20]])
    deltas = encode(box, wanted, (0.5, 1.0, 1.0, 2.0))
    expected = torch.tensor([[1.0 / 0.5, 5 / 20, math.log(2), math.log(0.5) / 2]])
    torch.testing.assert_close(deltas, expected)


def test_decode_stays_finite_and_inside() -> None:
    wild = torch.tensor([[1e4, -1e4, 1e4, -1e4], [0.0, 0, 50, 50]])
    found = decode(torch.tensor([[10.0, 10, 20, 20]]).repeat(2, 1), wild, (1.0,) * 4, (90, 120))
    assert found.isfinite().all()
    torch.testing.assert_close(found[1], torch.tensor([0.0, 0, 120, 90]))
    assert clip(torch.tensor([[-5.0, -5, 200, 200]]), (90, 120)).tolist() == [[0, 0, 120, 90]]


def test_empty_boxes_overlap_nothing() -> None:
    empty = torch.tensor([[3.0, 3, 3, 3]])
    assert float(iou(empty, empty)) == 0
    assert iou(NOBODY, empty).shape == (0, 1)


TRUTH = torch.tensor([[0.0, 0, 10, 10], [100, 100, 110, 110]])
CANDIDATES = torch.tensor(
    [[0.0, 0, 10, 9], [0, 0, 10, 5], [0, 0, 10, 2], [50, 50, 60, 60], [100, 100, 110, 104]]
)


def test_match_by_threshold() -> None:
    matched = match(TRUTH, CANDIDATES, 0.7, 0.3)
    assert matched.tolist() == [0, BETWEEN, BACKGROUND, BACKGROUND, BETWEEN]


def test_match_rescues_the_best_of_each() -> None:
    assert match(TRUTH, CANDIDATES, 0.7, 0.3, 0.3).tolist() == [0, BETWEEN, BACKGROUND, BACKGROUND, 1]
    assert match(TRUTH, CANDIDATES, 0.7, 0.3, 0.5)[4] == BETWEEN  # the best, but not good enough


def test_rescue_takes_over_and_shares_ties() -> None:
    truth = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8]])
    both = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    assert match(truth, both, 0.7, 0.3).tolist() == [0, 0]
    assert match(truth, both, 0.7, 0.3, 0.3).tolist() == [1, 1]  # both are the best of the later one too


def test_match_without_truth_or_candidates() -> None:
    assert match(NOBODY, CANDIDATES, 0.7, 0.3, 0.3).tolist() == [BACKGROUND] * 5
    assert match(TRUTH, NOBODY, 0.7, 0.3, 0.3).shape == (0,)


MATCHED = torch.tensor([0] * 100 + [BACKGROUND] * 900 + [BETWEEN] * 50)


def test_sampler_shares() -> None:
    positive, negative = RandomSampler(64, 0.25)(MATCHED)
    assert (len(positive), len(negative)) == (16, 48)
    assert (MATCHED[positive] == 0).all()
    assert (MATCHED[negative] == BACKGROUND).all()
    assert len(torch.cat([positive, negative]).unique()) == 64


def test_background_fills_up_and_nothing_is_invented() -> None:
    few = RandomSampler(64, 0.5)(MATCHED[96:])
    assert (len(few.positive), len(few.negative)) == (4, 60)
    all_of = RandomSampler(64, 0.5)(MATCHED[98:104])
    assert (len(all_of.positive), len(all_of.negative)) == (2, 4)
    nothing = RandomSampler(64, 0.5)(MATCHED[1000:])
    assert (len(nothing.positive), len(nothing.negative)) == (0, 0)


def test_sampler_follows_its_generator() -> None:
    def draw(seed: int) -> list[int]:
        return RandomSampler(64, 0.25, torch.Generator().manual_seed(seed))(MATCHED).negative.tolist()

    assert draw(1) == draw(1) != draw(2)


def test_sampler_draws_evenly() -> None:
    sampler = RandomSampler(20, 0.5, torch.Generator().manual_seed(0))
    counts = sum(torch.bincount(sampler(MATCHED).positive, minlength=100) for _ in range(400))
    assert isinstance(counts, torch.Tensor)
    assert abs(float(counts[:50].sum() / counts.sum()) - 0.5) < 0.03
    assert counts[:100].min() > 15  # 40 expected, 6 the standard deviation


def test_suppression_keeps_groups_apart() -> None:
    box = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 10], [200, 0, 210, 10]])
    scores = torch.tensor([0.5, 0.9, 0.3, 0.8])
    assert suppress(box, scores, torch.tensor([0, 0, 1, 0]), 0.5).tolist() == [1, 3, 2]
    assert suppress(NOBODY, torch.zeros(0), torch.zeros(0, dtype=torch.int64), 0.5).shape == (0,)


@pytest.mark.parametrize("most", [1, 2, 100])
def test_best_are_sorted_above_the_score_and_few(most: int) -> None:
    box = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    scores = torch.tensor([[0.2, 0.6], [0.9, 0.05]])
    found = best(box, scores, CascadeHeadOptions(score=0.05, most=most))
    assert found.labels.tolist() == [0, 1, 0][:most]
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.6, 0.2])[:most])
    torch.testing.assert_close(found.boxes, box[[1, 0, 0]][:most])
