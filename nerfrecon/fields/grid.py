"""The levels of a hash grid and where each lies in the one table: the layout that all backends share.

tiny-cuda-nn's rule (Mueller et al. 2022, section 3, and its encoding `HashGrid`). L levels grow by
b = (N_max / N_min)^(1 / (L - 1)):

    scale_l      = float32(N_min * b^l - 1), computed in double, rounded once
    resolution_l = ceil(scale_l) + 1
    entries_l    = min(resolution_l^3 rounded up to a multiple of 8, 2^log2_table)
    dense_l      = resolution_l^3 <= entries_l
    offset_l     = sum of the entries of the levels before

A point x in [0, 1]^3 lies at p = x * scale + 0.5 in cell floor(p). A corner c of that cell has the row

    dense:  c.x + c.y * resolution + c.z * resolution^2            modulo entries
    hashed: c.x ^ c.y * 2654435761 ^ c.z * 805459861 (uint32)      modulo entries

of its level. Dense levels may step over the end of a row at the far sides of the cube, as tiny-cuda-nn does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64

from nerfrecon.options import GridOptions

PRIMES = (1, 2654435761, 805459861)
"""Factors of the three coordinates in the hash."""


@dataclass(frozen=True)
class Level:
    """One level: `scale` is a float32 number, `offset` and `entries` count rows of the table."""

    scale: float
    resolution: int
    entries: int
    offset: int
    dense: bool


@dataclass(frozen=True)
class GridLayout:
    """All levels, coarsest first, of a table of `rows` x `features` numbers."""

    levels: tuple[Level, ...]
    features: int

    @property
    def rows(self) -> int:
        """Rows of the table: the entries of all levels."""
        return self.levels[-1].offset + self.levels[-1].entries

    @property
    def width(self) -> int:
        """Numbers that a point is encoded by; feature f of level l is number `l * features + f`."""
        return len(self.levels) * self.features

    def step(self, active: int) -> float:
        """Side of a cell of the finest of the first `active` levels: what normals are differenced over."""
        return 1 / self.levels[max(active, 1) - 1].resolution

    @property
    def scale(self) -> Float32[np.ndarray, " levels"]:
        return np.array([level.scale for level in self.levels], np.float32)

    @property
    def resolution(self) -> Int64[np.ndarray, " levels"]:
        return np.array([level.resolution for level in self.levels], np.int64)

    @property
    def entries(self) -> Int64[np.ndarray, " levels"]:
        return np.array([level.entries for level in self.levels], np.int64)

    @property
    def offset(self) -> Int64[np.ndarray, " levels"]:
        return np.array([level.offset for level in self.levels], np.int64)

    @property
    def dense(self) -> Bool[np.ndarray, " levels"]:
        return np.array([level.dense for level in self.levels], bool)


def grid_layout(options: GridOptions) -> GridLayout:
    """The levels that `options` ask for."""
    ratio = options.finest_resolution / options.coarsest_resolution
    log2_growth = math.log2(ratio) / (options.levels - 1) if options.levels > 1 else 0.0
    levels, offset = [], 0
    for index in range(options.levels):
        scale = float(np.float32(2.0 ** (index * log2_growth) * options.coarsest_resolution - 1.0))
        resolution = math.ceil(scale) + 1
        entries = min(-(-(resolution**3) // 8) * 8, 1 << options.log2_table)
        levels.append(Level(scale, resolution, entries, offset, resolution**3 <= entries))
        offset += entries
    return GridLayout(tuple(levels), options.features)
