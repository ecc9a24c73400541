"""Counter-based random numbers: the recipe, its three spellings alike, and that they are random."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nerfrecon.render.random import Draw, below, bits, torch_below, torch_bits, torch_uniform, uniform

WORD = 2**64 - 1


def by_the_recipe(seed: int, step: int, ray: int, which: int) -> int:
    """The docstring's recipe in Python's whole numbers."""

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
        return z ^ (z >> 31)

    G = 0x9E3779B97F4A7C15
    a = mix((seed + G) & WORD)
    b = mix(a ^ ((step << 32) | ray))
    return mix((b + (which + 1) * G) & WORD) >> 32


COUNTERS = [
    (0, 0, 0, 0),
    (42, 7, 2, 3),
    (2**64 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1),
    (1 << 63, 5, 1 << 31, 16),
]


@pytest.mark.parametrize(("seed", "step", "ray", "which"), COUNTERS)
def test_numpy_and_torch_follow_the_recipe(seed: int, step: int, ray: int, which: int):
    wanted = by_the_recipe(seed, step, ray, which)
    assert int(bits(seed, step, ray, which)) == wanted
    assert int(torch_bits(seed, step, torch.tensor([ray]), which)[0]) == wanted
    assert int(torch_bits(seed, step, torch.tensor([ray]), torch.tensor([which]))[0]) == wanted


def test_known_numbers():
    # Those a backend in another language is held to.
    assert int(bits(0, 0, 0, 0)) == 1451924235
    assert bits(42, 7, np.arange(3), 3).tolist() == [2788351325, 1424753708, 3725947509]


def test_many_at_once_are_those_one_by_one():
    rays = np.arange(500)
    many = bits(9, 11, rays, Draw.JITTER)
    assert many.tolist() == [int(bits(9, 11, ray, Draw.JITTER)) for ray in range(500)]
    np.testing.assert_array_equal(many, torch_bits(9, 11, torch.arange(500), Draw.JITTER).numpy())
    np.testing.assert_array_equal(
        uniform(9, 11, rays, Draw.JITTER), torch_uniform(9, 11, torch.arange(500), Draw.JITTER).numpy()
    )
    for count in (1, 3, 1000, 2**31):
        np.testing.assert_array_equal(
            below(count, 9, 11, rays, 0), torch_below(count, 9, 11, torch.arange(500), 0).numpy()
        )


def test_counters_broadcast():
    grid = bits(1, 2, np.arange(4)[:, None], np.arange(3))
    assert grid.shape == (4, 3)
    assert int(grid[2, 1]) == int(bits(1, 2, 2, 1))


@pytest.mark.parametrize("varied", ["seed", "step", "ray", "which"])
def test_each_counter_gives_independent_uniform_numbers(varied: str):
    count = 4096
    at = {"seed": 3, "step": 5, "ray": 7, "which": 1}
    drawn = np.array([float(uniform(**{**at, varied: value})) for value in range(count)])
    assert drawn.min() >= 0 and drawn.max() < 1
    # Kolmogorov and Smirnov's distance at 0.1 %, and correlation of neighbours at 4 sigma.
    order = np.sort(drawn)
    distance = np.abs(order - (np.arange(count) + 0.5) / count).max()
    assert distance < 1.95 / np.sqrt(count)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 4 / np.sqrt(count)


def test_every_bit_is_fair():
    drawn = bits(0, 0, np.arange(20000), 0)
    share = ((drawn[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)).mean(0)
    assert np.abs(share - 0.5).max() < 5 * 0.5 / np.sqrt(20000)


def test_numbers_below_a_count_are_all_of_them_alike():
    drawn = below(7, 0, 0, np.arange(70000), 0)
    counts = np.bincount(drawn, minlength=7)
    assert len(counts) == 7
    assert np.abs(counts - 10000).max() < 5 * np.sqrt(10000)
    assert set(below(1, 0, 0, np.arange(10), 0).tolist()) == {0}


def test_uniform_numbers_are_exact_in_float32():
    drawn = uniform(0, 0, np.arange(1000), 0)
    assert drawn.dtype == np.float32
    assert np.all(drawn.astype(np.float64) * 2**24 % 1 == 0)
