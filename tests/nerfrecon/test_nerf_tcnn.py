"""Parameters to tiny-cuda-nn's vectors and back, by shapes and round trips; the fault where it is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nerfrecon.backends.tcnn import (
    GRID,
    TcnnBackend,
    encoding_config,
    from_vector,
    grid_binaries,
    network_config,
    ours,
    packed_samples,
    theirs,
    to_vector,
)
from nerfrecon.fields.grid import grid_layout
from nerfrecon.fields.init import first_parameters
from nerfrecon.options import (
    DensityFieldOptions,
    GridOptions,
    LossOptions,
    OptimiserOptions,
    SamplingOptions,
    SdfFieldOptions,
)
from nerfrecon.render.march import cell_number, march
from nerfrecon.render.rays import Rays
from suite.errors import BackendUnavailable

GRID_OPTIONS = GridOptions(levels=8, log2_table=10, coarsest_resolution=4, finest_resolution=64)
FIELD = DensityFieldOptions(grid=GRID_OPTIONS)


def test_a_field_goes_there_and_back_without_loss():
    state = first_parameters(FIELD, seed=3)
    vectors = theirs(state)
    # A fully fused network of 64 neurons: 64 x inputs, 64 x 64 between, outputs rounded up to 16.
    assert vectors["density_mlp.params"].shape == (64 * 16 + 16 * 64,)
    assert vectors["colour_mlp.params"].shape == (64 * 32 + 64 * 64 + 16 * 64,)
    assert vectors[GRID].shape == (grid_layout(GRID_OPTIONS).rows * 2,)
    back = ours(vectors, {name: value.shape for name, value in state.items()})
    assert back.keys() == state.keys()
    for name, value in state.items():
        assert np.array_equal(back[name], value), name


def test_rows_are_outputs_and_padding_is_zero():
    first, last = np.arange(64 * 19, dtype=np.float32).reshape(64, 19), np.ones((3, 64), np.float32)
    vector = to_vector([first, last])
    assert vector.shape == (64 * 32 + 16 * 64,)
    padded = vector[: 64 * 32].reshape(64, 32)
    assert np.array_equal(padded[5, :19], first[5]) and not padded[:, 19:].any()
    assert not vector[64 * 32 + 3 * 64 :].any() and vector[64 * 32 :].sum() == 3 * 64
    back = from_vector(vector, [(64, 19), (3, 64)])
    assert np.array_equal(back[0], first) and np.array_equal(back[1], last)
    with pytest.raises(ValueError, match="parameters for matrices"):
        from_vector(vector[:-1], [(64, 19), (3, 64)])


def test_a_vector_as_a_network_reads_it_gives_our_network():
    """What the vector means, applied as tiny-cuda-nn does: padded inputs are ones, extra outputs dropped."""
    state = first_parameters(FIELD, seed=1)
    matrices = [state[f"colour_mlp.{k}"] for k in range(3)]
    x = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    expected = np.maximum(np.maximum(x @ matrices[0].T, 0) @ matrices[1].T, 0) @ matrices[2].T
    vector, at, values = to_vector(matrices), 0, x
    for rows, columns in ((64, 32), (64, 64), (16, 64)):
        matrix = vector[at : at + rows * columns].reshape(rows, columns)
        values = values @ matrix.T
        at += rows * columns
        values = np.maximum(values, 0) if at < len(vector) else values
    np.testing.assert_allclose(values[:, :3], expected, rtol=1e-5)
    assert at == len(vector)


def test_settings_say_the_same_grid():
    layout = grid_layout(GRID_OPTIONS)
    growth = 16 ** (1 / 7)
    config = encoding_config(layout, growth, 10)
    assert (config["n_levels"], config["n_features_per_level"], config["base_resolution"]) == (8, 2, 4)
    scales = [config["base_resolution"] * config["per_level_scale"] ** k - 1 for k in range(8)]
    np.testing.assert_allclose(scales, layout.scale, rtol=1e-6)
    assert network_config(3)["n_hidden_layers"] == 2 and network_config(2)["n_neurons"] == 64


def test_cells_and_sections_mean_the_same():
    occupied = torch.zeros(32**3, dtype=torch.bool)
    point = torch.tensor([[0.9, 0.2, 0.4]])
    occupied[cell_number(point, 32)] = True
    binaries = grid_binaries(occupied)
    assert binaries.shape == (1, 32, 32, 32) and binaries[0, 28, 6, 12] and binaries.sum() == 1
    # Our own march, told as nerfacc tells sections, comes back as it was: gaps, order, rays without any.
    blocks = torch.rand(32**3, generator=torch.Generator().manual_seed(0)) < 0.3
    origins = torch.tensor([[-1.0, 0.31, 0.42], [-1.0, 3.0, 0.0], [0.5, 0.4, -0.5]])
    directions = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 1.0]])
    jitter = torch.full((3,), 0.5)
    expected = march(origins, directions, blocks, SamplingOptions(occupancy_resolution=32, step=0.01), jitter)
    rays = Rays(origins, directions)
    found = packed_samples(rays, expected.ray, expected.t, expected.t + expected.dt)
    assert torch.equal(found.starts, expected.starts) and torch.equal(found.joined, expected.joined)
    torch.testing.assert_close(found.points, expected.points)
    torch.testing.assert_close(found.dt, expected.dt, atol=1e-6, rtol=0)


def test_what_is_missing_is_named():
    given = (SamplingOptions(), LossOptions(), OptimiserOptions())
    with pytest.raises(BackendUnavailable, match="no field of type sdf"):
        TcnnBackend(SdfFieldOptions(), *given)
    odd = DensityFieldOptions(grid=GridOptions(levels=5))
    with pytest.raises(BackendUnavailable, match="not a multiple of 16"):
        TcnnBackend(odd, *given)
    if not torch.cuda.is_available():
        with pytest.raises(BackendUnavailable, match="no CUDA device"):
            TcnnBackend(FIELD, *given)
