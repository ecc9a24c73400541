"""Hash-grid encoding by tiny-cuda-nn's rule, as `nerfrecon.fields.grid` states it.

Differentiable in the table and in the points; between cells the features are continuous, and within a cell
linear along each axis (Mueller et al. 2022, section 3).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import pad

from nerfrecon.fields.grid import PRIMES, GridLayout, Level


def encode(
    points: Float[Tensor, "n 3"],
    table: Float[Tensor, "rows features"],
    layout: GridLayout,
    active: int | None = None,
) -> Float[Tensor, "n width"]:
    """Features of points in [0, 1]^3; levels from `active` on give zeros and get no gradient.

    Feature f of level l is column `l * features + f`. Points outside the cube are undefined: callers clamp.
    """
    levels = layout.levels if active is None else layout.levels[:active]
    if not levels or not len(points):
        return points.new_zeros(len(points), layout.width)
    corners = [corners_of(points, level) for level in levels]
    rows = torch.stack([row for row, _ in corners], 1)  # n levels 8
    weights = torch.stack([weight for _, weight in corners], 1)
    # One look-up for all levels: its gradient is one table, not one for each level.
    values = table.index_select(0, rows.flatten()).reshape(*rows.shape, layout.features)
    features = (weights[:, :, None] @ values).flatten(1)
    return pad(features, (0, layout.width - features.shape[1]))


def corners_of(
    points: Float[Tensor, "n 3"], level: Level
) -> tuple[Int64[Tensor, "n 8"], Float[Tensor, "n 8"]]:
    """Rows of the table at the eight corners around each point, and their trilinear weights; x runs first."""
    position = points * level.scale + 0.5
    cell = position.detach().floor()
    share = position - cell
    near = torch.stack([1 - share, share], 2)  # n 3 2
    weight = near[:, 2, :, None, None] * near[:, 1, None, :, None] * near[:, 0, None, None, :]
    low = cell.long()
    ends = torch.stack([low, low + 1], 2)
    x, y, z = ends[:, 0, None, None, :], ends[:, 1, None, :, None], ends[:, 2, :, None, None]
    if level.dense:
        row = x + y * level.resolution + z * level.resolution**2
    else:
        row = (x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]) & 0xFFFF_FFFF
    return (level.offset + row % level.entries).flatten(1), weight.flatten(1)
