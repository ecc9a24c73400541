"""The hash grid: its levels, the rule of corners and rows, continuity, linearity, derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from nerfrecon.fields.grid import GridLayout, grid_layout
from nerfrecon.ops.hash_grid import encode
from nerfrecon.options import GridOptions

SMALL = GridOptions(levels=4, features=2, log2_table=8, coarsest_resolution=3, finest_resolution=20)


def table_of(layout: GridLayout, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(layout.rows, layout.features, generator=generator, dtype=torch.float64)


def points_of(count: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def one_by_one(point: list[float], table: np.ndarray, layout: GridLayout) -> list[float]:
    """tiny-cuda-nn's rule for a single point, with Python's numbers."""
    found = []
    for level in layout.levels:
        position = [x * level.scale + 0.5 for x in point]
        cell = [int(np.floor(p)) for p in position]
        share = [p - c for p, c in zip(position, cell, strict=True)]
        total = np.zeros(layout.features)
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod([s if c else 1 - s for s, c in zip(share, corner, strict=True)])
            x, y, z = (c + d for c, d in zip(cell, corner, strict=True))
            if level.resolution**3 <= level.entries:
                row = x + y * level.resolution + z * level.resolution**2
            else:
                row = x ^ (y * 2654435761 % 2**32) ^ (z * 805459861 % 2**32)
            total += weight * table[level.offset + row % level.entries]
        found += total.tolist()
    return found


def test_the_known_table_of_tiny_cuda_nn():
    layout = grid_layout(GridOptions(log2_table=19))
    resolutions = [16, 23, 31, 43, 59, 81, 112, 154, 213, 295, 407, 562, 777, 1073, 1483, 2048]
    assert layout.resolution.tolist() == resolutions
    assert layout.entries.tolist() == [4096, 12168, 29792, 79512, 205384, *[2**19] * 11]
    assert layout.dense.tolist() == [True] * 5 + [False] * 11
    assert layout.rows == 6098120  # of instant-ngp's 12,196,240 numbers, two a row
    assert layout.offset.tolist() == [0, *np.cumsum(layout.entries)[:-1].tolist()]
    assert layout.scale[0] == 15 and layout.scale[-1] == 2047
    assert layout.width == 32


def test_one_level_is_the_coarsest():
    layout = grid_layout(GridOptions(levels=1, log2_table=14))
    assert layout.resolution.tolist() == [16] and layout.rows == 4096
    assert layout.step(1) == 1 / 16


@pytest.mark.parametrize("features", [1, 2, 4])
def test_every_point_follows_the_rule(features: int):
    layout = grid_layout(SMALL.model_copy(update={"features": features}))
    assert layout.dense.any() and not layout.dense.all()
    table = table_of(layout)
    points = torch.cat([points_of(20), torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0.5]]).double()])
    found = encode(points, table, layout)
    wanted = [one_by_one(point, table.numpy(), layout) for point in points.tolist()]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


def test_no_points_give_no_features():
    layout = grid_layout(SMALL)
    assert encode(points_of(0), table_of(layout), layout).shape == (0, layout.width)


def test_derivatives():
    layout = grid_layout(GridOptions(levels=2, log2_table=8, coarsest_resolution=2, finest_resolution=9))
    assert layout.dense.tolist() == [True, False]
    points = points_of(3).requires_grad_()
    table = table_of(layout).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, t: encode(x, t, layout), (points, table), fast_mode=True)


def test_features_are_continuous_across_cells():
    layout = grid_layout(SMALL)
    table = table_of(layout)
    for level in layout.levels:
        # The wall between cells 1 and 2 of this level, from both sides, along each axis.
        wall = (2 - 0.5) / level.scale
        for axis in range(3):
            low, high = points_of(10), points_of(10)
            low[:, axis], high[:, axis] = wall - 1e-9, wall + 1e-9
            jump = encode(low, table, layout) - encode(high, table, layout)
            assert jump.abs().max() < 1e-6


def test_features_are_linear_along_each_axis_within_a_cell():
    layout = grid_layout(SMALL.model_copy(update={"levels": 1, "finest_resolution": 3}))
    (level,) = layout.levels
    table = table_of(layout)
    corner = torch.tensor([[0.5, 0.5, 0.5]], dtype=torch.float64) / level.scale
    inside = corner + points_of(10) * 0.999 / level.scale
    for axis in range(3):
        ends = [inside.clone(), inside.clone(), inside.clone()]
        for end, share in zip(ends, (0.0, 0.5, 0.999), strict=True):
            end[:, axis] = corner[0, axis] + share / level.scale
        first, middle, last = (encode(end, table, layout) for end in ends)
        torch.testing.assert_close(middle, first + (last - first) * (0.5 / 0.999))


def test_at_a_corner_the_table_itself_is_read():
    layout = grid_layout(SMALL)
    table = table_of(layout)
    level = layout.levels[0]
    point = torch.tensor([[0.5, 1.5, 0.5]], dtype=torch.float64) / level.scale  # corner (1, 2, 1)
    row = 1 + 2 * level.resolution + 1 * level.resolution**2
    torch.testing.assert_close(encode(point, table, layout)[0, :2], table[row])


@pytest.mark.parametrize("active", [0, 1, 3, 4])
def test_levels_that_are_not_active_are_zero_and_get_no_gradient(active: int):
    layout = grid_layout(SMALL)
    table = table_of(layout).requires_grad_()
    found = encode(points_of(30), table, layout, active)
    torch.testing.assert_close(found[:, : 2 * active], encode(points_of(30), table, layout)[:, : 2 * active])
    assert found.shape[1] == layout.width and not found[:, 2 * active :].any()
    if active:
        found.square().sum().backward()
        assert table.grad is not None
        for index, level in enumerate(layout.levels):
            rows = table.grad[level.offset : level.offset + level.entries]
            assert bool(rows.any()) == (index < active)


def test_a_grid_that_shrinks_is_refused():
    with pytest.raises(ValidationError, match="finest_resolution is below"):
        GridOptions(coarsest_resolution=64, finest_resolution=32)
