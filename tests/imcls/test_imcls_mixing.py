"""Mixing: labels in exactly the shares of the pictures, and nothing random but the seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from imcls.loss.mixing import Mix
from imcls.loss.options import MixOptions

MIXUP, CUTMIX = MixOptions(mixup=1.0), MixOptions(cutmix=1.0)


def flat(n: int = 6, h: int = 20, w: int = 14) -> Tensor:
    """Images whose every pixel is the number of the image times 40."""
    return (40 * torch.arange(n, dtype=torch.uint8))[:, None, None, None].expand(n, 3, h, w).contiguous()


@given(st.integers(0, 10**6), st.sampled_from([MIXUP, CUTMIX]), st.integers(3, 40), st.integers(3, 40))
def test_shares_are_those_of_the_pixels(seed: int, options: MixOptions, h: int, w: int) -> None:
    images = flat(6, h, w)
    mixed, shares = Mix(options, 6)(images, torch.arange(6), 0.0, (seed,))
    assert mixed.dtype == torch.uint8 and mixed.shape == images.shape
    torch.testing.assert_close(shares.sum(1), torch.ones(6))
    # Labels and grey levels are both numbered: the mean level is what the shares say, up to rounding.
    expected = shares @ (40.0 * torch.arange(6))
    rounding = 0.5 if options is MIXUP else 0.0
    assert (mixed.double().mean((1, 2, 3)) - expected).abs().max() <= rounding + 1e-3
    assert torch.equal(images, flat(6, h, w))


@pytest.mark.parametrize("options", [MIXUP, CUTMIX, MixOptions(mixup=0.4, cutmix=1.0)])
def test_the_seed_decides_and_nothing_else(options: MixOptions) -> None:
    images, labels = torch.randint(0, 256, (8, 3, 9, 9), dtype=torch.uint8), torch.arange(8)
    mix = Mix(options, 8)
    before = torch.get_rng_state()
    first = mix(images, labels, 0.3, (7, 2, 5))
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    again = mix(images, labels, 0.3, (7, 2, 5))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    other = mix(images, labels, 0.3, (7, 2, 6))
    assert not torch.equal(first[1], other[1])
    torch.set_rng_state(before)
    mix(images, labels, 0.3, (7, 2, 5))
    assert torch.equal(torch.get_rng_state(), before)


def test_mixup_of_bytes_is_that_of_floats_rounded() -> None:
    images, labels = torch.randint(0, 256, (16, 3, 12, 12), dtype=torch.uint8), torch.arange(16)
    for seed in range(20):
        whole, shares = Mix(MIXUP, 16)(images, labels, 0.0, (seed,))
        exact, same = Mix(MIXUP, 16)(images.float(), labels, 0.0, (seed,))
        assert torch.equal(shares, same)
        assert (whole.float() - exact).abs().max() <= 0.5 + 1e-4


def test_cutmix_pastes_one_box_of_the_partner_at_its_own_place() -> None:
    images, labels = torch.randint(0, 256, (5, 3, 30, 30), dtype=torch.uint8), torch.arange(5)
    mixed, shares = Mix(CUTMIX, 5)(images, labels, 0.0, (3,))
    for i in range(5):
        partner = int(next((j for j in range(5) if j != i and shares[i, j] > 0), i))
        pasted = (mixed[i] == images[partner]).all(0) & ~(images[i] == images[partner]).all(0)
        assert torch.equal(torch.where(pasted, images[partner], images[i]), mixed[i])
        rows, columns = pasted.any(1).sum(), pasted.any(0).sum()
        assert int(pasted.sum()) == int(rows * columns)
        if partner != i:
            assert float(shares[i, partner]) == pytest.approx(int(pasted.sum()) / 900)


def test_several_labels_are_mixed_too() -> None:
    targets = torch.tensor([[1, 1, 0], [0, 1, 1]], dtype=torch.uint8)
    for seed in range(8):
        _, shares = Mix(MIXUP, 3)(flat(2), targets, 0.0, (seed,))
        assert torch.equal(shares[:, 1], torch.ones(2))
        torch.testing.assert_close(shares.sum(), torch.tensor(4.0))


def test_probability_and_end() -> None:
    images, labels = flat(), torch.arange(6)

    def mixed(options: MixOptions, progress: float, seed: int = 0) -> bool:
        return not torch.equal(Mix(options, 6)(images, labels, progress, (seed,))[0], images)

    half = [mixed(MixOptions(mixup=1.0, probability=0.5), 0.0, seed) for seed in range(400)]
    assert 0.4 < np.mean(half) < 0.6
    assert mixed(MixOptions(mixup=1.0, until=0.8), 0.79) and not mixed(MixOptions(mixup=1.0, until=0.8), 0.8)
    for off in (MixOptions(), MixOptions(mixup=1.0, probability=0.0)):
        assert not Mix(off, 6).on
        same, shares = Mix(off, 6)(images, labels, 0.0, (0,))
        assert same is images and torch.equal(shares, torch.eye(6))


def test_both_on_take_turns() -> None:
    mix = Mix(MixOptions(mixup=1.0, cutmix=1.0), 6)
    levels = set(range(0, 240, 40))
    cut = [
        set(mix(flat(), torch.arange(6), 0.0, (seed,))[0].unique().tolist()) <= levels for seed in range(300)
    ]
    assert 0.4 < np.mean(cut) < 0.6


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    mix, images, labels = Mix(MixOptions(mixup=alpha), 8), flat(8, 4, 4), torch.arange(8)
    # Images that are their own partner have a share of 1.
    kept = [float(mix(images, labels, 0.0, (seed,))[1].diagonal().min()) for seed in range(1500)]
    assert np.mean(kept) == pytest.approx(0.5, abs=0.03)
    # Variance of Beta(a, a) is 1 / (4 (2a + 1)).
    assert np.var(kept) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)
