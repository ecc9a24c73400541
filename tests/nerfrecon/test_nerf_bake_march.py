"""The compiled march against the reference's, which test_nerf_bake_voxels.py holds to the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nerfrecon.bake.fast_march import Marcher
from nerfrecon.bake.options import OpticsOptions
from nerfrecon.bake.render import Lookup, Marched, march, see
from nerfrecon.bake.voxels import Voxels, lay_out
from nerfrecon.native import load_native
from suite.errors import BackendUnavailable

N, RAYS = 48, 3000
OPTICS = OpticsOptions(step=0.7, high=1.5)


@pytest.fixture(scope="module")
def scene() -> tuple[Voxels, torch.Tensor, tuple[torch.Tensor, ...]]:
    """Blobs with holes, random values, rays from all around with random lattices; some along an axis."""
    rng = np.random.default_rng(1)
    z, y, x = np.mgrid[:N, :N, :N]
    filled = np.zeros((N, N, N), bool)
    for middle in rng.uniform(8, N - 8, (7, 3)):
        away = np.sqrt((z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2)
        filled |= (away < 6) & (away > 2)
    voxels = lay_out(filled)
    table = rng.random((voxels.count + 1, 8)).astype(np.float32)
    column, row, layer = voxels.places().T
    table[1:, 0] *= filled[layer, row, column]
    table[0] = 0
    origins = 0.5 + 1.1 * _unit(rng.normal(size=(RAYS, 3)))
    directions = _unit(rng.uniform(0.1, 0.9, (RAYS, 3)) - origins)
    origins[:3], directions[:3] = 0.5 - 1.5 * np.eye(3), np.eye(3)
    origins[3], directions[3] = 2.0, [1.0, 0.0, 0.0]  # meets nothing
    rays = (origins, directions, rng.random(RAYS))
    return voxels, torch.from_numpy(table), tuple(torch.from_numpy(one.astype(np.float32)) for one in rays)


@pytest.fixture(scope="module", autouse=True)
def native() -> None:
    try:
        load_native()
    except BackendUnavailable as error:
        pytest.skip(str(error))


def marched(scene: tuple, threads: int = 1) -> Marched:
    voxels, table, rays = scene
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        marcher = Marcher(voxels)
        assert marcher.compiled
        return marcher.march(table[:, 0].contiguous(), OPTICS, *rays)
    finally:
        torch.set_num_threads(before)


def test_it_looks_where_the_reference_looks(scene):
    voxels, table, rays = scene
    found = marched(scene)
    wanted = march(Lookup(voxels), table[:, 0].contiguous(), OPTICS, *rays)
    assert len(wanted.t) > 20_000 and wanted.starts[4] == wanted.starts[3]
    same = found.starts.diff() == wanted.starts.diff()
    assert same.float().mean() > 0.998  # a ray that is about to end may end one point later
    of_ray = [torch.repeat_interleave(same, one.starts.diff()) for one in (found, wanted)]
    here, there = (
        [part[kept] for part in (one.rows, one.weights, one.t)]
        for one, kept in zip((found, wanted), of_ray, strict=True)
    )
    close = (here[1] - there[1]).abs().amax(1) < 1e-4
    assert close.float().mean() > 0.9999  # a point on the face of a cell may be either cell's
    assert (here[0][close] == there[0][close]).all()
    torch.testing.assert_close(here[2], there[2], atol=1e-4, rtol=0)


def test_sums_along_rays_are_the_reference_s(scene):
    voxels, table, rays = scene
    found = see(table, marched(scene), OPTICS)
    wanted = see(table, march(Lookup(voxels), table[:, 0].contiguous(), OPTICS, *rays), OPTICS)
    assert (found.values - wanted.values).abs().max() < 2 * OPTICS.stop
    assert (found.values - wanted.values).abs().mean() < 1e-5
    assert (found.opacity - wanted.opacity).abs().mean() < 1e-5


def test_any_number_of_threads_gives_the_same_bytes(scene):
    one, three = marched(scene), marched(scene, 3)
    for first, second in zip(one, three, strict=True):
        assert torch.equal(first, second)


def test_without_the_core_the_reference_marches(scene, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SUITE_PURE", "1")
    voxels, table, rays = scene
    marcher = Marcher(voxels)
    assert not marcher.compiled
    found = marcher.march(table[:, 0].contiguous(), OPTICS, *rays)
    wanted = march(Lookup(voxels), table[:, 0].contiguous(), OPTICS, *rays)
    assert torch.equal(found.rows, wanted.rows) and torch.equal(found.weights, wanted.weights)


def test_voxels_that_point_outside_the_table_are_refused(scene):
    voxels = scene[0]
    rows = voxels.with_apron().ravel()
    parts = (voxels.resolution, voxels.slot.ravel(), rows, voxels.distance.ravel())
    native = load_native()
    with pytest.raises(ValueError, match="a row is not in the table"):
        native.BakedVoxels(*parts, int(rows.max()))
    with pytest.raises(ValueError, match="a slot has no rows"):
        native.BakedVoxels(*parts[:2], rows[:729].copy(), parts[3], voxels.count + 1)
    with pytest.raises(ValueError, match="numbers"):
        native.BakedVoxels(voxels.resolution + 8, *parts[1:], voxels.count + 1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
