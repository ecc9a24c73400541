"""Rays to samples: the points of each ray's lattice that lie in occupied cells.

A ray is in the cube for t in [entry, exit). Its lattice, in float32, is

    t_0 = entry + dt(entry) * jitter,   t_{k+1} = t_k + dt(t_k) < exit,   dt(t) = max(step, cone * t)

and a sample is any t_k whose point o + t_k d lies in an occupied cell, up to `most_samples` of them. A faster
march may jump over empty cells, as long as it stays on the lattice. Cell (x, y, z) has the number
(z * resolution + y) * resolution + x.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from nerfrecon.options import SamplingOptions

BLOCK = 32
"""Lattice points of every ray that are looked up at once."""
SMALLEST_DIRECTION = 1e-9


class Samples(NamedTuple):
    """Samples of rays, packed: ray r has those at `starts[r] : starts[r + 1]`, near to far."""

    points: Float[Tensor, "n 3"]
    t: Float[Tensor, " n"]
    dt: Float[Tensor, " n"]
    ray: Int64[Tensor, " n"]
    joined: Bool[Tensor, " n"]
    """Whether the lattice point before is the sample before: no gap between."""
    starts: Int64[Tensor, " bounds"]

    def subset(self, chosen: Bool[Tensor, " n"]) -> Samples:
        """The chosen samples; a sample whose predecessor is not chosen is joined to none."""
        before = torch.cat([chosen[:1] & False, chosen[:-1]])
        counts = torch.bincount(self.ray[chosen], minlength=len(self.starts) - 1)
        return Samples(
            self.points[chosen],
            self.t[chosen],
            self.dt[chosen],
            self.ray[chosen],
            (self.joined & before)[chosen],
            bounds(counts),
        )


def bounds(counts: Int64[Tensor, " rays"]) -> Int64[Tensor, " bounds"]:
    """Where each ray's samples start, and the end of the last."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def march(
    origins: Float32[Tensor, "rays 3"],
    directions: Float32[Tensor, "rays 3"],
    occupied: Bool[Tensor, " cells"],
    options: SamplingOptions,
    jitter: Float32[Tensor, " rays"],
) -> Samples:
    """Samples of all rays; `jitter` in [0, 1) moves each ray's lattice."""
    entry, exit_ = enter_cube(origins, directions, options.near)
    t = entry + step_at(entry, options) * jitter
    alive = torch.nonzero(t < exit_)[:, 0]
    found: list[tuple[Tensor, ...]] = []
    taken = torch.zeros(len(origins), dtype=torch.int64, device=origins.device)
    last = torch.zeros(len(origins), dtype=torch.bool, device=origins.device)
    while len(alive):
        lattice = [t[alive]]
        for _ in range(BLOCK):
            lattice.append(lattice[-1] + step_at(lattice[-1], options))
        block = torch.stack(lattice[:-1], 1)  # alive BLOCK
        points = origins[alive, None] + block[..., None] * directions[alive, None]
        hit = occupied[cell_number(points.clamp(0, 1), _resolution(occupied))]
        hit &= block < exit_[alive, None]
        joined = hit & torch.cat([last[alive, None], hit[:, :-1]], 1)
        hit &= taken[alive, None] + hit.cumsum(1) <= options.most_samples
        row, column = torch.nonzero(hit, as_tuple=True)
        found.append((alive[row], block[row, column], points[row, column], joined[row, column]))
        t[alive], last[alive] = lattice[-1], hit[:, -1]
        taken[alive] += hit.sum(1)
        alive = alive[(t[alive] < exit_[alive]) & (taken[alive] < options.most_samples)]
    return _packed(found, len(origins), options, origins)


def enter_cube(
    origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], near: float | int = 0.0
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Lengths at which rays enter and leave [0, 1]^3, entry at least `near`; exit <= entry: they miss it."""
    tiny = directions.abs() < SMALLEST_DIRECTION
    safe = torch.where(tiny, SMALLEST_DIRECTION, directions)
    low, high = -origins / safe, (1 - origins) / safe
    entry = torch.minimum(low, high).amax(1).clamp(min=near)
    return entry, torch.maximum(low, high).amin(1)


def step_at(t: Float[Tensor, "*shape"], options: SamplingOptions) -> Float[Tensor, "*shape"]:
    """Length of the step that begins at t."""
    return (t * options.cone).clamp(min=options.step)


def cell_number(points: Float[Tensor, "*shape 3"], resolution: int) -> Int64[Tensor, "*shape"]:
    """Number of the cell that holds each point of [0, 1]^3; far sides belong to the last cell."""
    x, y, z = (points * resolution).long().clamp(0, resolution - 1).unbind(-1)
    return (z * resolution + y) * resolution + x


def _resolution(occupied: Tensor) -> int:
    return round(len(occupied) ** (1 / 3))


def _packed(found: list[tuple[Tensor, ...]], rays: int, options: SamplingOptions, like: Tensor) -> Samples:
    if not found:
        empty = torch.zeros(0, dtype=torch.int64, device=like.device)
        found = [(empty, like.new_zeros(0), like.new_zeros(0, 3), empty.bool())]
    ray, t, points, joined = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.argsort(ray, stable=True)
    ray, t = ray[order], t[order]
    starts = bounds(torch.bincount(ray, minlength=rays))
    return Samples(points[order].clamp(0, 1), t, step_at(t, options), ray, joined[order], starts)
