"""Hash-grid encoding by tiny-cuda-nn's rule, as `nerfrecon.fields.grid` states it.

Differentiable in the table and in the points; between cells the features are continuous, and within a cell
linear along each axis (Mueller et al. 2022, section 3).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from nerfrecon.fields.grid import PRIMES, GridLayout, Level

CORNERS = tuple((k & 1, k >> 1 & 1, k >> 2 & 1) for k in range(8))


def encode(
    points: Float[Tensor, "n 3"],
    table: Float[Tensor, "rows features"],
    layout: GridLayout,
    active: int | None = None,
) -> Float[Tensor, "n width"]:
    """Features of points in [0, 1]^3; levels from `active` on give zeros and get no gradient.

    Feature f of level l is column `l * features + f`. Points outside the cube are undefined: callers clamp.
    """
    used = len(layout.levels) if active is None else active
    columns = [_encode_level(points, table, level) for level in layout.levels[:used]]
    columns.append(points.new_zeros(len(points), layout.width - used * layout.features))
    return torch.cat(columns, 1)


def _encode_level(points: Tensor, table: Tensor, level: Level) -> Tensor:
    position = points * level.scale + 0.5
    cell = position.detach().floor()
    share = position - cell
    corner = cell.long()[:, None] + torch.tensor(CORNERS, device=points.device)  # n 8 3
    near = torch.stack([1 - share, share], 1)  # n 2 3
    weight = torch.stack([near[:, x, 0] * near[:, y, 1] * near[:, z, 2] for x, y, z in CORNERS], 1)
    values = table[level.offset + corner_rows(corner, level)]  # n 8 features
    return (weight[..., None] * values).sum(1)


def corner_rows(corner: Int64[Tensor, "*batch 3"], level: Level) -> Int64[Tensor, "*batch"]:
    """Row within its level of each corner of the lattice; coordinates are not negative."""
    x, y, z = corner.unbind(-1)
    if level.dense:
        row = x + y * level.resolution + z * level.resolution**2
    else:
        row = (x * PRIMES[0] ^ y * PRIMES[1] ^ z * PRIMES[2]) & 0xFFFF_FFFF
    return row % level.entries
