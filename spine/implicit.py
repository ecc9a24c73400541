"""Solids as signed distances, and their surface as triangles: what the vertebrae are modelled with.

A solid is a function of points (n, 3) that is negative inside and about the distance (mm) near the surface,
with the box it lies in. All solids here are mirror-symmetric in x: parts are given for x >= 0 and seen at
|x|.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int

Number = int | float | np.floating
Vector = Sequence[Number] | np.ndarray
_NEAR_MM = 4.0  # distances are right up to here, beyond they only say "outside"


@dataclass(frozen=True)
class Solid:
    """`distance` of points with x >= 0; everything lies within +-`high`[0] in x and `low` ... `high` in y,
    z."""

    distance: Callable[[np.ndarray], np.ndarray]
    low: np.ndarray
    high: np.ndarray

    def __call__(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        mirrored = points.copy()
        mirrored[:, 0] = np.abs(mirrored[:, 0])
        return self.distance(mirrored)


def bar(
    a: Vector, b: Vector, size_a: Vector, size_b: Vector | None = None, across: Vector = (1, 0, 0)
) -> Solid:
    """A rounded bar from a to b with an elliptic section that changes evenly from `size_a` to `size_b`.

    Sizes are half extents: first along `across` (made normal to the bar), then along the third direction.
    """
    a_, b_ = np.array(a, np.float64), np.array(b, np.float64)
    sa, sb = np.array(size_a, np.float64), np.array(size_a if size_b is None else size_b, np.float64)
    axis = b_ - a_
    length = np.linalg.norm(axis)
    axis /= length
    u = np.array(across, np.float64)
    u = u - axis * (axis @ u)
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)

    def distance(p: np.ndarray) -> np.ndarray:
        q = p - a_
        along = q @ axis
        t = np.clip(along / length, 0, 1)
        half = sa + t[:, None] * (sb - sa)
        cap = half.min(1)
        # Distance to an ellipsoid to first order: k0 (k0 - 1) / |gradient|.
        local = np.stack([q @ u, q @ v, along - t * length], axis=1)
        semi = np.stack([half[:, 0], half[:, 1], cap], axis=1)
        k0 = np.linalg.norm(local / semi, axis=1)
        k1 = np.linalg.norm(local / semi**2, axis=1)
        return np.where(k0 > 1e-9, k0 * (k0 - 1) / np.maximum(k1, 1e-12), -cap)

    reach = [abs(u) * s[0] + abs(v) * s[1] + abs(axis) * s.min() for s in (sa, sb)]
    low = np.minimum(a_ - reach[0], b_ - reach[1])
    return Solid(distance, low, np.maximum(a_ + reach[0], b_ + reach[1]))


def path(
    points: Sequence[Vector] | np.ndarray, size: Vector, across: Vector = (1, 0, 0), blend_mm: Number = 1.0
) -> Solid:
    """Bars of one section along a polyline."""
    return union([bar(a, b, size, across=across) for a, b in pairwise(points)], blend_mm)


def vertical_hole(x: Number, z: Number, half_x: Number, half_z: Number) -> Solid:
    """An endless elliptic hole along y."""

    def distance(p: np.ndarray) -> np.ndarray:
        dx, dz = (p[:, 0] - x) / half_x, (p[:, 2] - z) / half_z
        k0, k1 = np.hypot(dx, dz), np.hypot(dx / half_x, dz / half_z)
        return np.where(k0 > 1e-9, k0 * (k0 - 1) / np.maximum(k1, 1e-12), -min(half_x, half_z))

    big = np.full(3, 1e6)
    return Solid(distance, -big, big)


def union(solids: Sequence[Solid], blend_mm: Number) -> Solid:
    """All solids as one, their edges filled with fillets of about that size."""

    margin = blend_mm + _NEAR_MM

    def distance(p: np.ndarray) -> np.ndarray:
        nearest = np.full(len(p), margin)
        for solid in solids:  # only where it matters: most points are far from most parts
            near = ((p >= solid.low - margin) & (p <= solid.high + margin)).all(1)
            nearest[near] = _smooth_min(nearest[near], solid.distance(p[near]), blend_mm)
        return nearest

    return Solid(distance, np.min([s.low for s in solids], 0), np.max([s.high for s in solids], 0))


def cut(solid: Solid, hole: Solid, blend_mm: Number = 1.0) -> Solid:
    """The solid without the hole, edges rounded."""
    return Solid(
        lambda p: -_smooth_min(-solid.distance(p), hole.distance(p), blend_mm), solid.low, solid.high
    )


def surface(solid: Solid, cell_mm: Number) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, "m 3"]]:
    """Closed triangle surface of a solid on a grid of that cell size, outward faces.

    Naive surface nets (S. Gibson, "Constrained elastic surface nets", 1998): one vertex per cell that the
    surface passes, one quad per grid edge it crosses; the vertices are then drawn onto the surface by
    Newton steps.
    """
    half = int(np.ceil(solid.high[0] / cell_mm)) + 2
    low = solid.low - 2.5 * cell_mm
    n_y, n_z = (int(np.ceil((solid.high[k] + 2.5 * cell_mm - low[k]) / cell_mm)) + 1 for k in (1, 2))
    x = (np.arange(half) + 0.5) * cell_mm  # no grid plane at x = 0: the halves mirror exactly
    y, z = low[1] + np.arange(n_y) * cell_mm, low[2] + np.arange(n_z) * cell_mm
    grid = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    right = solid.distance(grid.reshape(-1, 3)).reshape(half, n_y, n_z)
    value = np.concatenate([right[::-1], right])
    _fill_pinches(value)
    origin = np.array([-x[-1], y[0], z[0]])
    vertices, faces = _surface_net(value)
    vertices = origin + cell_mm * vertices
    for _ in range(3):
        vertices = vertices - _newton_step(solid, vertices, cell_mm)
    return vertices, faces


def _surface_net(value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (in cells) and outward triangles of the zero set of a grid that is positive on its border."""
    inside = value < 0
    shape = tuple(n - 1 for n in value.shape)
    total, count = np.zeros((*shape, 3)), np.zeros(shape)
    corners = [(slice(0, -1), slice(1, None))] * 3
    for axis in range(3):
        step = np.eye(3, dtype=int)[axis]
        for others in np.ndindex(2, 2):
            start = np.insert(np.array(others), axis, 0)
            a = tuple(corners[k][start[k]] for k in range(3))
            b = tuple(corners[k][start[k] + step[k]] for k in range(3))
            crossed = inside[a] != inside[b]
            with np.errstate(divide="ignore", invalid="ignore"):
                t = np.where(crossed, value[a] / (value[a] - value[b]), 0.0)
            total += np.where(crossed[..., None], start + t[..., None] * step, 0.0)
            count += crossed
    active = count > 0
    number = np.full(shape, -1)
    number[active] = np.arange(active.sum())
    vertices = np.argwhere(active) + total[active] / count[active][:, None]

    faces = []
    for axis in range(3):
        lower = tuple(slice(0, -1) if k == axis else slice(None) for k in range(3))
        upper = tuple(slice(1, None) if k == axis else slice(None) for k in range(3))
        edges = np.argwhere(inside[lower] != inside[upper])
        outwards = inside[lower][tuple(edges.T)]  # the solid ends along +axis
        one, two = np.eye(3, dtype=int)[(axis + 1) % 3], np.eye(3, dtype=int)[(axis + 2) % 3]
        ring = [number[tuple((edges - d).T)] for d in (one + two, two, 0 * one, one)]
        quad = np.stack(ring, axis=1)
        quad[~outwards] = quad[~outwards][:, ::-1]
        faces += [quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]
    return vertices, np.concatenate(faces)


def _fill_pinches(value: np.ndarray) -> None:
    """Fill grid points, in place, until no two cells inside touch in an edge or a corner only.

    The surface net of such a grid is a manifold (L. Latecki, "3D well-composed pictures", 1997). Filling
    the outside point nearest to the surface only ever adds, so it ends.
    """
    corner = np.array(list(np.ndindex(2, 2, 2)))
    squares = [np.flatnonzero(corner[:, k] == side) for k in range(3) for side in (0, 1)]
    while True:
        cells = np.stack(
            [value[x : x - 1 or None, y : y - 1 or None, z : z - 1 or None] for x, y, z in corner]
        )
        inside = cells < 0
        pinched = np.zeros(cells.shape[1:], bool)
        for s in squares:
            a, b, c, d = inside[s]
            pinched |= (a == d) & (b == c) & (a != b)
        for i in range(4):  # two corners across the cell, inside or outside, and nothing else like them
            pair = inside[i] & inside[7 - i] & (inside.sum(0) == 2)
            pinched |= pair | (~inside[i] & ~inside[7 - i] & (inside.sum(0) == 6))
        where = np.argwhere(pinched)
        if not len(where):
            return
        outside = np.where(inside, np.inf, cells)[(slice(None), *where.T)]
        value[tuple((where + corner[outside.argmin(0)]).T)] = -1e-6


def _newton_step(solid: Solid, points: np.ndarray, cell_mm: Number) -> np.ndarray:
    """Towards the surface along the gradient, at most half a cell."""
    h = 0.05
    probes = points[None] + h * np.concatenate([np.eye(3), -np.eye(3)])[:, None]
    d = solid(probes.reshape(-1, 3)).reshape(6, -1)
    gradient = ((d[:3] - d[3:]) / (2 * h)).T
    squared = np.maximum((gradient**2).sum(1), 0.05)
    step = gradient * (d.mean(0) / squared)[:, None]
    longest = np.linalg.norm(step, axis=1, keepdims=True)
    return step * np.minimum(1, 0.5 * cell_mm / np.maximum(longest, 1e-12))


def _smooth_min(a: np.ndarray, b: np.ndarray, k: Number) -> np.ndarray:
    """Minimum with a quadratic fillet where the two differ by less than k."""
    h = np.maximum(k - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h / (4 * k)
