"""Voxels learn to look like the field, through the march that draws them.

`begin` fills a table from the field's density, finds out in one pass what the views see of it and in which
colours, and drops the rest; `fit` then descends on all values and the tiny network at once (Adam, random
backgrounds, lattices moved at random), against photographs or the field's renderings.
"""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from nerfrecon.bake.fast_march import Marcher
from nerfrecon.bake.options import BakeOptions
from nerfrecon.bake.quantise import from_bytes, reduced, to_bytes
from nerfrecon.bake.render import (
    CHANNELS,
    DIFFUSE,
    FEATURES,
    Shader,
    see,
    shade,
)
from nerfrecon.bake.source import Source
from nerfrecon.bake.teacher import Teacher, rays_of, rounds
from nerfrecon.bake.voxels import Voxels, lay_out
from nerfrecon.training.visibility import seen_cells

BETA1, BETA2 = 0.9, 0.99
FLOOR = 0.3
"""Adam's epsilon, by the root mean square of a step's gradients: without it what is hardly seen moves as far
as what is seen well, and makes speckles."""
LAST_RATE = 0.05
NETWORK_SHARE = 0.12
"""Of the fit's budget, at its end: values are bytes by then, and the network alone adapts."""


class Model(NamedTuple):
    """A table of values in [0, 1] for voxels, row 0 of nothing, and the network."""

    voxels: Voxels
    table: Float32[Tensor, "rows 8"]
    shader: Shader


def begin(source: Source, teacher: Teacher, resolution: int, options: BakeOptions) -> Model:
    """Voxels where the field is dense and views can see, in the mean colour in which they are seen."""
    filled, thick = _filled(source, teacher, resolution, options)
    voxels = lay_out(filled)
    del filled
    optics = options.optics
    table = torch.zeros(voxels.count + 1, CHANNELS)
    row = torch.from_numpy(voxels.row_at(thick.places).astype(np.int64))
    low = math.exp(optics.low)
    code = (np.log(thick.values + low) - optics.low) / (optics.high - optics.low)
    table[row, 0] = torch.from_numpy(code.clip(0, 1).astype(np.float32))
    table[0] = 0
    table[1:, FEATURES] = 0.5
    weight = torch.zeros(len(table))
    most = torch.zeros(len(table))
    sums = torch.zeros(len(table), 3)
    marcher = Marcher(voxels)
    codes = table[:, 0].contiguous()
    draws = rounds(teacher, options.rays, np.random.default_rng(options.seed))
    for _ in range(max(1, options.look_rays // options.rays)):
        batch = rays_of(teacher, next(draws))
        marched = marcher.march(codes, optics, batch.origins, batch.directions)
        seen = see(table, marched, optics)
        each = seen.weight[:, None] * marched.weights
        rows = marched.rows.ravel()
        ray = torch.repeat_interleave(torch.arange(len(batch.origins)), marched.starts.diff())
        straight = (batch.colours[:, :3] / batch.colours[:, 3:].clamp(min=0.05)).clamp(0, 1)
        part = each.ravel()
        weight.index_add_(0, rows, part)
        for channel in range(3):
            sums[:, channel].index_add_(0, rows, (each * straight[ray, channel, None]).ravel())
        most.scatter_reduce_(0, rows, part, "amax")
    table[:, DIFFUSE] = sums / weight[:, None].clamp(min=1e-9)
    table[0] = 0
    fewer, table = reduced(voxels, table, _or_beside(voxels, (most >= options.least_weight).numpy()))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(options.seed)
        shader = Shader()
    torch.nn.init.zeros_(shader.last.weight)
    torch.nn.init.zeros_(shader.last.bias)
    # Corners that no ray has touched begin in the colour of what is around.
    return Model(fewer, _coloured(fewer, table), shader)


def fit(model: Model, teacher: Teacher, options: BakeOptions) -> tuple[Model, list[float]]:
    """The model after the fit, its values those of bytes; and the loss of each step."""
    optics, table, shader = options.optics, model.table, model.shader
    marcher = Marcher(model.voxels)
    draws = rounds(teacher, options.rays, np.random.default_rng(options.seed + 1))
    generator = torch.Generator().manual_seed(options.seed)
    first, second, counts = torch.zeros_like(table), torch.zeros_like(table), torch.zeros(len(table), 1)
    filled = table[:, :1] > 0
    network = torch.optim.Adam(shader.parameters(), options.network_rate, (BETA1, BETA2))
    began, losses, progress, rounded = time.process_time(), [], 0.0, False
    place = torch.zeros(len(table), dtype=torch.int64)
    while progress < 1:
        if progress >= 1 - NETWORK_SHARE and not rounded:
            table, rounded = from_bytes(to_bytes(table)), True
        batch = rays_of(teacher, next(draws))
        n = len(batch.origins)
        offset = torch.rand(n, generator=generator)
        behind = torch.rand(n, 3, generator=generator)
        codes = table[:, 0].contiguous()
        marched = marcher.march(codes, optics, batch.origins, batch.directions, offset)
        touched = torch.zeros(len(table), dtype=torch.bool)
        touched[marched.rows.ravel()] = True
        rows = torch.nonzero(touched)[:, 0]
        place[rows] = torch.arange(len(rows))
        part = table[rows].requires_grad_(not rounded)
        seen = see(part, marched, optics, place[marched.rows])
        found = shade(shader, seen, batch.directions, behind)
        wanted = batch.colours[:, :3] + (1 - batch.colours[:, 3:]) * behind
        loss = (found - wanted).square().mean()
        network.zero_grad()
        loss.backward()
        rate = LAST_RATE ** min(1.0, progress / (1 - NETWORK_SHARE))
        network.param_groups[0]["lr"] = options.network_rate * max(rate, 0.1)
        network.step()
        if part.grad is not None:
            _descend(table, rows, part.grad, (first, second, counts), options.value_rate * rate, filled)
        losses.append(float(loss.detach()))
        progress = (time.process_time() - began) / options.fit_cpu_s
        if options.fit_steps is not None:
            progress = max(progress, len(losses) / options.fit_steps)
    return Model(model.voxels, table, shader.requires_grad_(False)), losses


def _descend(
    table: Tensor,
    rows: Tensor,
    gradient: Tensor,
    moments: tuple[Tensor, Tensor, Tensor],
    rate: float,
    filled: Tensor,
) -> None:
    """Adam on these rows alone, each with its own count of steps; what is empty stays empty."""
    first, second, counts = moments
    m = first[rows].lerp_(gradient, 1 - BETA1)
    v = second[rows].lerp_(gradient.square(), 1 - BETA2)
    count = counts[rows] + 1
    first[rows], second[rows], counts[rows] = m, v, count
    floor = FLOOR * gradient.square().mean(0, keepdim=True).sqrt() + 1e-12
    step = (m / (1 - BETA1**count)) / ((v / (1 - BETA2**count)).sqrt() + floor)
    values = (table[rows] - rate * step).clamp_(0, 1)
    values[:, :1] *= filled[rows]
    values[rows == 0] = 0
    table[rows] = values


class _Thick(NamedTuple):
    places: np.ndarray
    values: np.ndarray


def _filled(
    source: Source, teacher: Teacher, resolution: int, options: BakeOptions
) -> tuple[Bool[np.ndarray, "n n n"], _Thick]:
    """Where the source is dense enough, in cells that are occupied and seen; and how dense."""
    occupied = source.occupied
    side = len(occupied)
    margin = options.margin_voxels / resolution
    seen = seen_cells(teacher.cameras, side, teacher.rendered, margin, occupied.ravel())
    cells = (seen & occupied.ravel()).reshape(side, side, side)
    of_voxel = ((np.arange(resolution) + 0.5) / resolution * side).astype(np.int64)
    filled = np.zeros((resolution,) * 3, bool)
    places, values = [], []
    for z in range(1, resolution - 1):
        layer = cells[of_voxel[z]]
        if not layer.any():
            continue
        y, x = np.nonzero(layer[np.ix_(of_voxel, of_voxel)])
        where = np.stack([x, y, np.full_like(x, z)], 1)
        points = ((where + 0.5) / resolution).astype(np.float32)
        thick = source.density(points) / resolution
        some = thick > options.least_thickness
        places.append(where[some])
        values.append(thick[some])
        filled[z, y[some], x[some]] = True
    nowhere, nothing = np.zeros((0, 3), np.int64), np.zeros(0)
    found = _Thick(np.concatenate([*places, nowhere]), np.concatenate([*values, nothing]))
    return filled, found


def _or_beside(voxels: Voxels, seen: Bool[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
    """What is seen and its 6 neighbours: rays between those that were looked along see these."""
    places, found = voxels.places(), seen.copy()
    for axis in range(3):
        for way in (-1, 1):
            near = places.copy()
            near[:, axis] = (near[:, axis] + way).clip(0, voxels.resolution - 1)
            found[1:] |= seen[voxels.row_at(near)]
    return found


def _coloured(voxels: Voxels, table: Tensor) -> Tensor:
    """Voxels without a colour take the mean of those around them that have one."""
    bare = np.flatnonzero((table[1:, DIFFUSE].sum(1) == 0).numpy())
    places = voxels.places()[bare]
    sums, counts = torch.zeros(len(bare), 3), torch.zeros(len(bare), 1)
    for shift in np.ndindex(3, 3, 3):
        near = (places + np.array(shift) - 1).clip(0, voxels.resolution - 1)
        values = table[torch.from_numpy(voxels.row_at(near).astype(np.int64))][:, DIFFUSE]
        sums += values
        counts += (values.sum(1, keepdim=True) > 0).float()
    colours = torch.where(counts > 0, sums / counts.clamp(min=1), table[1:, DIFFUSE].mean(0))
    table[torch.from_numpy(bare) + 1, DIFFUSE] = colours
    return table
