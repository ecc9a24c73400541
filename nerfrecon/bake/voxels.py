"""Which voxels there are: blocks of 8^3 in a cube of N^3, and within them those that are kept.

Voxel (x, y, z) stands at ((x, y, z) + 1/2) / N of the unit cube, that is at whole numbers of voxel
coordinates p = N position - 1/2. A cell is the cube between 8 neighbouring voxels and belongs to the block of
its lowest one. A voxel is filled where its code is above 0; kept are all corners of cells with a filled
corner, so that what a ray can see is interpolated between kept voxels only. Rows 1, 2, ... of a table of
values are the kept voxels, block by block and within a block in the order of (z, y, x); row 0 is nothing.
Arrays over the cube are indexed [z, y, x].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8

from suite.errors import BadInput

BLOCK, APRON, GROUP = 8, 9, 4
MOST_BLOCKS = 28**3
"""28 blocks with their aprons are 252 texels: every WebGL2 device has volumes of 256^3 texels."""
FARTHEST = 255


@dataclass(frozen=True, eq=False)
class Voxels:
    """`slot` of a block is its number from 1, or 0; `own` are rows; `distance` is Chebyshev's, in groups of
    4^3 cells, to the nearest group that holds a cell with a filled corner (0 for these)."""

    resolution: int
    slot: Int32[np.ndarray, "b b b"]
    own: Int32[np.ndarray, "slots 8 8 8"]
    distance: UInt8[np.ndarray, "g g g"]

    @property
    def count(self) -> int:
        """Kept voxels."""
        return int(self.own.max())

    @property
    def blocks(self) -> int:
        return len(self.own) - 1

    def places(self) -> Int[np.ndarray, "n 3"]:
        """(x, y, z) of kept voxels in the order of their rows."""
        corner = np.argwhere(self.slot > 0) * BLOCK
        slot, z, y, x = np.nonzero(self.own[1:])
        return (corner[slot] + np.stack([z, y, x], 1))[:, ::-1]

    def row_at(self, places: Int[np.ndarray, "n 3"]) -> Int32[np.ndarray, " n"]:
        """Rows of voxels (x, y, z); 0 for those not kept."""
        x, y, z = np.asarray(places).T
        slot = self.slot[z // BLOCK, y // BLOCK, x // BLOCK]
        return self.own[slot, z % BLOCK, y % BLOCK, x % BLOCK]

    def with_apron(self) -> Int32[np.ndarray, "slots 9 9 9"]:
        """Rows of each block and of the first layer of the blocks behind it."""
        wide = np.zeros((len(self.own), APRON, APRON, APRON), np.int32)
        padded = np.pad(self.slot, ((0, 1),) * 3)
        z, y, x = np.nonzero(self.slot)  # in the order of slots
        last = (slice(0, BLOCK), slice(BLOCK, APRON))
        first = (slice(0, BLOCK), slice(0, 1))
        for dz, dy, dx in np.ndindex(2, 2, 2):
            there = padded[z + dz, y + dy, x + dx]
            wide[1:, last[dz], last[dy], last[dx]] = self.own[there][:, first[dz], first[dy], first[dx]]
        return wide


def lay_out(filled: Bool[np.ndarray, "n n n"]) -> Voxels:
    """Blocks and rows for these filled voxels [z, y, x]. The cube's outermost voxels count as empty."""
    n = len(filled)
    if n % BLOCK or n < 2 * BLOCK:
        raise BadInput(f"{n} voxels a side", hint=f"give a multiple of {BLOCK}, {2 * BLOCK} or more")
    filled = filled.copy()
    for axis in range(3):
        filled.swapaxes(0, axis)[[0, -1]] = False
    kept = _dilated(filled)
    b = n // BLOCK
    active = np.asarray(kept.reshape(b, BLOCK, b, BLOCK, b, BLOCK).any((1, 3, 5)))
    blocks = np.argwhere(active)
    own = np.zeros((len(blocks) + 1, BLOCK, BLOCK, BLOCK), bool)
    by_block = kept.reshape(b, BLOCK, b, BLOCK, b, BLOCK).transpose(0, 2, 4, 1, 3, 5)
    own[1:] = by_block[tuple(blocks.T)]
    return from_masks(n, active, own, _distances(filled))


def from_masks(
    resolution: int,
    active: Bool[np.ndarray, "b b b"],
    own: Bool[np.ndarray, "slots 8 8 8"],
    distance: UInt8[np.ndarray, "g g g"],
) -> Voxels:
    """From which blocks there are and which of their voxels are kept; `own[0]` is of no block."""
    slot = (np.cumsum(active.ravel()) * active.ravel()).reshape(active.shape).astype(np.int32)
    rows = (np.cumsum(own.ravel(), dtype=np.int32) * own.ravel()).reshape(own.shape).astype(np.int32)
    return Voxels(resolution, slot, rows, distance)


def _dilated(filled: np.ndarray) -> np.ndarray:
    """With all 26 neighbours."""
    out = filled.copy()
    for axis in range(3):
        before, view = out.copy().swapaxes(0, axis), out.swapaxes(0, axis)
        view[1:] |= before[:-1]
        view[:-1] |= before[1:]
    return out


def _distances(filled: np.ndarray) -> UInt8[np.ndarray, "g g g"]:
    from scipy.ndimage import distance_transform_cdt

    n, g = len(filled), len(filled) // GROUP
    # A group's cells have the corners 4 g .. 4 g + 4.
    reach = filled.copy()
    for axis in range(3):
        before, view = reach.copy().swapaxes(0, axis), reach.swapaxes(0, axis)
        view[: n - 1] |= before[1:]
    full = reach.reshape(g, GROUP, g, GROUP, g, GROUP).any((1, 3, 5))
    if not full.any():
        return np.full((g, g, g), FARTHEST, np.uint8)
    found = np.asarray(distance_transform_cdt(~full, metric="chessboard"))
    return np.minimum(found, FARTHEST).astype(np.uint8)
