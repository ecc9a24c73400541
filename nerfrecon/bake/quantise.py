"""Values in [0, 1] to bytes, and the voxels that are still worth storing."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from nerfrecon.bake.voxels import Voxels, lay_out


def to_bytes(table: Float[Tensor, "rows 8"]) -> UInt8[np.ndarray, "rows 8"]:
    """The nearest of 256 values of each number."""
    return (255 * table.detach()).round().clamp(0, 255).to(torch.uint8).numpy()


def from_bytes(values: UInt8[np.ndarray, "rows 8"]) -> Float[Tensor, "rows 8"]:
    """What a texture read gives."""
    return torch.from_numpy(values / np.float32(255))


def reduced(
    voxels: Voxels, table: Float[Tensor, "rows 8"], worth: Bool[np.ndarray, " rows"]
) -> tuple[Voxels, Float[Tensor, "left 8"]]:
    """Voxels and their table laid out anew: those not `worth` it become empty, as do those whose code is 0
    in bytes, and what no filled voxel needs any more is gone. Row 0 is of nothing."""
    places, codes = voxels.places(), to_bytes(table)[1:, 0]
    left = worth[1:] & (codes > 0)
    n = voxels.resolution
    filled = np.zeros((n, n, n), bool)
    x, y, z = places[left].T
    filled[z, y, x] = True
    fewer = lay_out(filled)
    found = fewer.places()
    rows = voxels.row_at(found)
    values = table.detach()[torch.from_numpy(rows.astype(np.int64))].clone()
    x, y, z = found.T
    values[~torch.from_numpy(filled[z, y, x]), 0] = 0.0
    return fewer, torch.cat([torch.zeros(1, values.shape[1]), values])
