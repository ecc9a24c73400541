"""Marching: samples on the lattice, in exactly the occupied cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nerfrecon.options import SamplingOptions
from nerfrecon.render.march import Samples, cell_number, enter_cube, march, step_at

R = 32
OPTIONS = SamplingOptions(occupancy_resolution=32)


def rays_of(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 1.4 + 0.5
    targets = torch.rand(count, 3, generator=generator)
    return origins, torch.nn.functional.normalize(targets - origins, dim=1)


def random_cells(share: float, seed: int = 0) -> torch.Tensor:
    return torch.rand(R**3, generator=torch.Generator().manual_seed(seed)) < share


def jitter_of(count: int, seed: int = 5) -> torch.Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed))


def one_by_one(o, d, jitter, occupied, options: SamplingOptions) -> list[tuple[np.float32, bool]]:
    """The definition for a single ray, in numpy's float32."""
    f = np.float32
    o, d, occupied = o.numpy(), d.numpy(), occupied.numpy()
    low, high = -o / d, (f(1) - o) / d
    t, exit_ = max(np.minimum(low, high).max(), f(options.near)), np.maximum(low, high).min()
    t = t + max(f(options.step), t * f(options.cone)) * f(jitter)
    found, before = [], False
    while t < exit_ and len(found) < options.most_samples:
        x, y, z = np.clip((np.clip(o + t * d, 0, 1) * f(R)).astype(int), 0, R - 1)
        hit = bool(occupied[(z * R + y) * R + x])
        if hit:
            found.append((t, before))
        before = hit
        t = t + max(f(options.step), t * f(options.cone))
    return found


@pytest.mark.parametrize("cone", [0, 1 / 256])
def test_samples_are_those_of_the_definition(cone: float):
    options = OPTIONS.model_copy(update={"cone": cone, "most_samples": 300})
    origins, directions = rays_of(12)
    occupied, jitter = random_cells(0.4), jitter_of(12)
    found = march(origins, directions, occupied, options, jitter)
    for ray in range(12):
        wanted = one_by_one(origins[ray], directions[ray], jitter[ray], occupied, options)
        mine = slice(int(found.starts[ray]), int(found.starts[ray + 1]))
        np.testing.assert_array_equal(found.t[mine].numpy(), [t for t, _ in wanted])
        assert found.joined[mine].tolist() == [joined for _, joined in wanted]
        assert set(found.ray[mine].tolist()) <= {ray}


def test_exactly_the_occupied_cells_are_visited():
    origins, directions = rays_of(200)
    occupied, jitter = random_cells(0.2), jitter_of(200)
    everything = march(origins, directions, torch.ones(R**3, dtype=torch.bool), OPTIONS, jitter)
    some = march(origins, directions, occupied, OPTIONS, jitter)
    within = occupied[cell_number(everything.points, R)]
    assert torch.equal(everything.t[within], some.t) and torch.equal(everything.ray[within], some.ray)
    assert occupied[cell_number(some.points, R)].all()


def test_steps_lie_on_a_lattice_whatever_is_skipped():
    origins, directions = rays_of(100)
    samples = march(origins, directions, random_cells(0.1), OPTIONS, jitter_of(100))
    entry, exit_ = enter_cube(origins, directions)
    place = (samples.t - entry[samples.ray]) / OPTIONS.step - jitter_of(100)[samples.ray]
    assert (place - place.round()).abs().max() < 0.02
    assert (samples.t >= entry[samples.ray]).all() and (samples.t < exit_[samples.ray]).all()
    assert set(samples.dt.tolist()) == {float(np.float32(OPTIONS.step))}


def test_a_full_cube_is_filled_by_steps():
    origins, directions = rays_of(50)
    samples = march(origins, directions, torch.ones(R**3, dtype=torch.bool), OPTIONS, torch.zeros(50))
    entry, exit_ = enter_cube(origins, directions)
    length = torch.zeros(50).index_add(0, samples.ray, samples.dt)
    assert (length - (exit_ - entry)).abs().max() < 1.01 * OPTIONS.step
    first = samples.starts[:-1]
    assert not samples.joined[first].any()
    assert samples.joined.sum() == len(samples.t) - 50


def test_rays_that_miss_or_look_away_have_no_samples():
    origins = torch.tensor([[2.0, 2, 2], [-1, 0.5, 0.5], [-1, 0.5, 0.5], [0.5, 0.5, 0.5]])
    directions = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [1, 0, 0], [0, 0, 1]])
    samples = march(origins, directions, torch.ones(R**3, dtype=torch.bool), OPTIONS, torch.zeros(4))
    counts = samples.starts.diff().tolist()
    assert counts[:2] == [0, 0]
    assert abs(counts[2] - 1 / OPTIONS.step) < 2 and abs(counts[3] - 0.5 / OPTIONS.step) < 2
    nothing = march(origins, directions, torch.zeros(R**3, dtype=torch.bool), OPTIONS, torch.zeros(4))
    assert nothing.points.shape == (0, 3) and nothing.starts.tolist() == [0] * 5
    no_rays = march(origins[:0], directions[:0], random_cells(1), OPTIONS, torch.zeros(0))
    assert no_rays.starts.tolist() == [0]


def test_nothing_is_seen_closer_than_near():
    options = OPTIONS.model_copy(update={"near": 1.2})
    o, d = torch.tensor([[-1.0, 0.5, 0.5]]), torch.tensor([[1.0, 0, 0]])
    samples = march(o, d, torch.ones(R**3, dtype=torch.bool), options, torch.zeros(1))
    assert float(samples.t[0]) == pytest.approx(1.2)


def test_a_ray_has_at_most_as_many_samples_as_told():
    options = OPTIONS.model_copy(update={"most_samples": 45})
    origins, directions = rays_of(30)
    occupied, jitter = random_cells(0.5), jitter_of(30)
    few = march(origins, directions, occupied, options, jitter)
    all_ = march(origins, directions, occupied, OPTIONS, jitter)
    assert few.starts.diff().max() == 45
    for ray in range(30):
        first = few.t[few.ray == ray]
        assert torch.equal(first, all_.t[all_.ray == ray][: len(first)])


def test_steps_grow_with_the_distance_in_wide_scenes():
    options = OPTIONS.model_copy(update={"cone": 1 / 256})
    t = torch.tensor([0.0, 0.1, 1.0, 4.0])
    torch.testing.assert_close(step_at(t, options), torch.tensor([3**0.5 / 1024] * 2 + [1 / 256, 4 / 256]))


def test_a_subset_knows_what_it_lost():
    samples = march(*rays_of(20), torch.ones(R**3, dtype=torch.bool), OPTIONS, jitter_of(20))
    chosen = torch.rand(len(samples.t), generator=torch.Generator().manual_seed(1)) < 0.6
    part: Samples = samples.subset(chosen)
    assert torch.equal(part.t, samples.t[chosen]) and torch.equal(part.ray, samples.ray[chosen])
    assert torch.equal(torch.repeat_interleave(torch.arange(20), part.starts.diff()), part.ray)
    gap = part.t[1:] - part.t[:-1]
    adjacent = (gap < 1.5 * OPTIONS.step) & (part.ray[1:] == part.ray[:-1])
    assert torch.equal(part.joined[1:], adjacent)
