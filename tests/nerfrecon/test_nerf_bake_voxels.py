"""Which voxels are kept, where they are found, and what is known to be empty."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nerfrecon.bake.options import OpticsOptions
from nerfrecon.bake.render import Lookup, march, see, thickness
from nerfrecon.bake.voxels import APRON, BLOCK, GROUP, lay_out
from suite.errors import BadInput

N = 32


@pytest.fixture(scope="module")
def filled() -> np.ndarray:
    """Two clumps and a few voxels alone, one on a border between blocks, one at the cube's side."""
    rng = np.random.default_rng(3)
    z, y, x = np.mgrid[:N, :N, :N]
    found = (x - 9) ** 2 + (y - 12) ** 2 + (z - 10) ** 2 < 20
    found |= (np.abs(x - 22) < 3) & (np.abs(y - 20) < 2) & (np.abs(z - 24) < 3)
    found[tuple(rng.integers(1, N - 1, (3, 5)))] = True
    found[8, 15, 16] = found[0, 5, 5] = True
    return found


def test_what_is_kept_are_corners_of_cells_that_are_not_empty(filled):
    voxels = lay_out(filled)
    inner = filled.copy()
    inner[0] = False
    kept = np.zeros_like(filled)
    for z, y, x in np.argwhere(inner):
        kept[z - 1 : z + 2, y - 1 : y + 2, x - 1 : x + 2] = True
    x, y, z = voxels.places().T
    there = np.zeros_like(filled)
    there[z, y, x] = True
    assert (there == kept).all() and voxels.count == kept.sum() == len(voxels.places())
    assert (voxels.row_at(voxels.places()) == np.arange(1, voxels.count + 1)).all()
    empty = np.argwhere(~kept)[:, ::-1]
    assert (voxels.row_at(empty) == 0).all()


def test_an_apron_is_the_first_layer_of_the_blocks_behind(filled):
    voxels = lay_out(filled)
    wide = voxels.with_apron()
    for bz, by, bx in np.stack(np.nonzero(voxels.slot), 1):
        corner = np.array([bx, by, bz]) * BLOCK
        local = np.stack(np.meshgrid(*[np.arange(APRON)] * 3, indexing="ij"), -1)[..., ::-1]
        places = (corner + local).reshape(-1, 3)
        inside = np.asarray((places < N).all(1))
        expected = np.where(inside, voxels.row_at(np.where(inside[:, None], places, 0)), 0)
        assert (wide[voxels.slot[bz, by, bx]].ravel() == expected).all()


def test_distances_are_those_to_the_nearest_group_with_something(filled):
    voxels = lay_out(filled)
    filled = filled.copy()
    filled[0] = False
    g = N // GROUP
    full = np.zeros((g, g, g), bool)
    for z, y, x in np.ndindex(g, g, g):
        corner = filled[4 * z : 4 * z + 5, 4 * y : 4 * y + 5, 4 * x : 4 * x + 5]
        full[z, y, x] = corner.any()
    where = np.argwhere(full)
    everywhere = np.argwhere(np.ones_like(full))
    apart = np.abs(everywhere[:, None] - where[None]).max(2).min(1)
    assert (voxels.distance.ravel() == apart).all()
    assert (lay_out(np.zeros_like(filled)).distance == 255).all()


def test_a_side_is_a_whole_number_of_blocks():
    with pytest.raises(BadInput, match="multiple of 8"):
        lay_out(np.zeros((20, 20, 20), bool))


def test_the_march_that_jumps_sees_what_one_sees_that_does_not(filled):
    """Every lattice point of every ray in float64, interpolated in the dense cube."""
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(0)
    voxels, optics = lay_out(filled), OpticsOptions(step=0.7, high=1.0)
    table = rng.random((voxels.count + 1, 8)).astype(np.float32)
    table[0] = 0
    x, y, z = voxels.places().T
    inner = filled.copy()
    inner[0] = False
    table[1:, 0] *= inner[z, y, x]
    dense = np.zeros((N, N, N, 8))
    dense[z, y, x] = table[1:]
    origins = np.array([0.5, 0.5, 0.5]) + 1.2 * _unit(rng.normal(size=(200, 3)))
    directions = _unit(rng.uniform(0.2, 0.8, (200, 3)) - origins)
    directions[0] = _unit(np.array([[0.0, 0.0, 1.0]]))
    origins[0] = [10.5 / N, 12.5 / N, -0.3]
    rays = (torch.from_numpy(part.astype(np.float32)) for part in (origins, directions))
    marched = march(Lookup(voxels), torch.from_numpy(table[:, 0].copy()), optics, *rays, counting=True)
    seen = see(torch.from_numpy(table), marched, optics)
    counted = []
    for ray in range(200):
        o, d = origins[ray] * N - 0.5, np.where(np.abs(directions[ray]) < 1e-7, 1e-7, directions[ray])
        ends = np.sort(np.stack([-o / d, (N - 1 - o) / d]), 0)
        enter, leave = max(0.0, ends[0].max()), ends[1].min()
        sums, clear, clear_at = np.zeros(7), 1.0, np.inf
        for t in np.arange(enter + 0.5 * optics.step, leave, optics.step):
            at = (o + t * d)[::-1, None]
            values = np.array([map_coordinates(dense[..., c], at, order=1)[0] for c in range(8)])
            tau = optics.step * (np.exp(-6 + 7 * values[0]) - np.exp(-6))
            sums += clear * (1 - np.exp(-tau)) * values[1:]
            clear *= np.exp(-tau)
            if clear < optics.stop:
                clear_at = t
                break
        assert np.abs(seen.values[ray].numpy() - sums).max() < 2e-3
        assert abs(float(seen.opacity[ray]) - (1 - clear)) < 2e-3
        counted.append(_walked(voxels, o, d, enter + 0.5 * optics.step, leave, clear_at, optics))
    assert float(seen.opacity.max()) > 0.9 and (marched.steps > 0).sum() > 150
    # A point on the border of two groups may be either's, by rounding.
    assert (np.abs(np.array(counted) - marched.steps.numpy()) <= 1).all()
    assert (np.array(counted) == marched.steps.numpy()).mean() > 0.97


def test_no_code_is_no_thickness():
    found = thickness(torch.tensor([0.0, 0.5, 1.0]), OpticsOptions())
    assert found[0] == 0 and found[2] == pytest.approx(np.exp(3.5) - np.exp(-6), rel=1e-5)


def _walked(voxels, o, d, t0, t1, last, optics) -> int:
    """Points that one looks at who jumps over what is known to be empty, up to `last`."""
    k, steps = 0, 0
    while (t := t0 + k * optics.step) < t1 and t <= last + 1e-6:
        group = np.floor((o + t * d) / GROUP).clip(0, N // GROUP - 1).astype(int)
        apart, steps = int(voxels.distance[tuple(group[::-1])]), steps + 1
        ends = GROUP * np.where(d > 0, group + apart, group - apart + 1)
        beyond = np.ceil((((ends - o) / d).min() - t0) / optics.step - 1e-3)
        k = k + 1 if apart == 0 else max(k + 1, int(beyond))
    return steps


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
