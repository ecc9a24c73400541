"""The ray-march that defines what a baked model looks like; the page's shader does the same, step by step.

In voxel coordinates (voxels.py) a ray p = o + t d enters [0, N - 1]^3 at t_0 and is looked at on the lattice
t_k = t_0 + (k + 1/2) step. There the 8 channels of the voxels around it are interpolated trilinearly,

    code, diffuse red, green, blue, 4 features            all stored as bytes, v / 255

and tau = step (exp(low + (high - low) code) - exp(low)) is the optical thickness of the step. Diffuse colour
and features are summed along the ray by weights T_i (1 - exp(-tau_i)) until T < stop. A tiny network then
sees the sums, opacity and the ray's direction once for each pixel (deferred shading: Hedman et al., SNeRG,
2021, section 4; Reiser et al., MERF, 2023):

    added = network(diffuse, 2 features - opacity, harmonics(d))
    colour = clip(diffuse + opacity added + (1 - opacity) behind)

Lattice points in groups of empty cells are jumped over: they weigh nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from nerfrecon.backends.base import Colour, RayCamera, Rendered
from nerfrecon.bake.options import OpticsOptions
from nerfrecon.bake.voxels import APRON, BLOCK, GROUP, Voxels
from nerfrecon.ops.compositing import accumulate, weigh
from nerfrecon.ops.view_basis import view_basis
from nerfrecon.render.march import bounds
from nerfrecon.render.rays import camera_rays, pixel_grid

CHANNELS, DIFFUSE, FEATURES = 8, slice(1, 4), slice(4, 8)
HARMONICS, HIDDEN = 9, 16
INPUTS = 3 + 4 + HARMONICS
RAYS_AT_ONCE = 1 << 16
PARALLEL = 1e-7
AT_ONCE = 8
"""Lattice points of a ray that are looked at in one pass."""
SLACK = 1e-3
"""Of a step: how much earlier than computed a jump may end."""


class Shader(nn.Module):
    """Premultiplied diffuse colour and features, and a direction, to what is added for opacity 1."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, 3)

    @property
    def layers(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        return self.first, self.second, self.last

    def forward(
        self, summed: Float[Tensor, "n 7"], opacity: Float[Tensor, " n"], directions: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        basis = view_basis(directions)[:, :HARMONICS]
        x = torch.cat([summed[:, :3], 2 * summed[:, 3:] - opacity[:, None], basis], 1)
        return self.last(torch.relu(self.second(torch.relu(self.first(x)))))


@dataclass(frozen=True, eq=False)
class Baked:
    """A baked model: row i + 1 of its voxels has `values[i]`."""

    voxels: Voxels
    values: UInt8[np.ndarray, "n 8"]
    shader: Shader
    optics: OpticsOptions
    T_unit_world: Float[np.ndarray, "4 4"]
    up: Float[np.ndarray, " 3"]
    """In the world."""


class Lookup:
    """The voxels as tensors that a march reads."""

    def __init__(self, voxels: Voxels) -> None:
        self.resolution = voxels.resolution
        self.slot = torch.from_numpy(voxels.slot.ravel()).long()
        self.rows = torch.from_numpy(voxels.with_apron().ravel())
        self.distance = torch.from_numpy(voxels.distance.flatten())
        x = torch.arange(8)
        self._corner = (x >> 2) * APRON * APRON + (x >> 1 & 1) * APRON + (x & 1)

    def groups(self, p: Float32[Tensor, "n 3"]) -> tuple[Float32[Tensor, "n 3"], Int64[Tensor, " n"]]:
        """The group that each point lies in, and its distance to one that is not empty."""
        side = self.resolution // GROUP
        group = (p / GROUP).floor().clamp(0, side - 1)
        x, y, z = group.long().unbind(1)
        return group, self.distance[(z * side + y) * side + x].long()

    def around(self, p: Float32[Tensor, "n 3"]) -> tuple[Int64[Tensor, "n 8"], Float32[Tensor, "n 8"]]:
        """Rows of the 8 voxels around each point, and their weights."""
        base = p.floor().clamp(0, self.resolution - 2)
        x, y, z = base.long().unbind(1)
        side = self.resolution // BLOCK
        slot = self.slot[(z // BLOCK * side + y // BLOCK) * side + x // BLOCK]
        start = ((slot * APRON + z % BLOCK) * APRON + y % BLOCK) * APRON + x % BLOCK
        rows = self.rows[start[:, None] + self._corner].long()
        f = p - base
        wx, wy, wz = (torch.stack([1 - f[:, k], f[:, k]], 1) for k in range(3))
        weights = (wz[:, :, None] * wy[:, None, :])[..., None] * wx[:, None, None, :]
        return rows, weights.reshape(-1, 8)


class Marched(NamedTuple):
    """Lattice points of rays with some thickness, ray after ray, near to far; `t` in voxels."""

    rows: Int64[Tensor, "n 8"]
    weights: Float32[Tensor, "n 8"]
    t: Float32[Tensor, " n"]
    starts: Int64[Tensor, " bounds"]
    steps: Int64[Tensor, " rays"]
    """Points of each ray's lattice that the shader looks at, jumps among them; zeros without `counting`."""
    reads: Int64[Tensor, " rays"]
    """Texture reads of the shader for these: distance; then slot and first half; then second half."""


class Summed(NamedTuple):
    """Sums along rays: 3 of diffuse colour, 4 of features; opacity; weight of each point."""

    values: Float[Tensor, "rays 7"]
    opacity: Float[Tensor, " rays"]
    weight: Float[Tensor, " n"]


def thickness(code: Float[Tensor, "*shape"], optics: OpticsOptions) -> Float[Tensor, "*shape"]:
    """Optical thickness of a voxel's length; exactly 0 for code 0."""
    return math.exp(optics.low) * torch.expm1((optics.high - optics.low) * code)


def march(
    lookup: Lookup,
    codes: Float32[Tensor, " rows"],
    optics: OpticsOptions,
    origins: Float32[Tensor, "rays 3"],
    directions: Float32[Tensor, "rays 3"],
    offset: Float32[Tensor, " rays"] | None = None,
    counting: bool = False,
) -> Marched:
    """March rays of the unit cube; `offset` in [0, 1) moves each ray's lattice, 1/2 without.

    A shader looks at one lattice point after another; here it is `AT_ONCE` of each ray in a pass, and what
    lies behind a jump or a ray's end is dropped. `counting` follows the shader to count what it does.
    """
    o, d, t0, t1 = entered(lookup, optics, origins, directions, offset)
    steps, reads = (torch.zeros(len(o), dtype=torch.int64) for _ in range(2))
    ray = torch.nonzero(t0 < t1)[:, 0]
    o, d, t0, t1 = o[ray], d[ray], t0[ray], t1[ray]
    k, clear = torch.zeros(len(ray)), torch.ones(len(ray))
    along = torch.arange(AT_ONCE, dtype=torch.float32)
    found: list[tuple[Tensor, ...]] = []
    while len(ray):
        t = t0[:, None] + (k[:, None] + along) * optics.step
        points = o[:, None] + t[..., None] * d[:, None]
        group, distance = lookup.groups(points.reshape(-1, 3))
        group, distance = group.view_as(points), distance.view_as(t)
        full = (distance == 0) & (t < t1[:, None])
        inside = torch.nonzero(full.ravel())[:, 0]
        rows, weights = lookup.around(points.view(-1, 3)[inside])
        code = (codes[rows] * weights).sum(1)
        tau = torch.zeros(t.numel()).index_put_((inside,), optics.step * thickness(code, optics)).view_as(t)
        before = clear[:, None] * torch.exp(tau - tau.cumsum(1))
        open_ = before >= optics.stop
        some = (code > 0) & open_.ravel()[inside]
        hit = inside[some]
        found.append((ray[hit // AT_ONCE], rows[some], weights[some], t.ravel()[hit]))
        clear = before[:, -1] * torch.exp(-tau[:, -1])
        ends = _jump(k + along[-1], o, d, t0, group[:, -1], distance[:, -1], optics)
        if counting:
            due = k
            positive = torch.zeros(t.numel(), dtype=torch.bool).index_put_((inside,), code > 0).view_as(t)
            for column in range(AT_ONCE):
                at = k + column
                looked = (at == due) & (t[:, column] < t1) & open_[:, column]
                there, full_ = distance[:, column], distance[:, column] == 0
                steps[ray] += looked
                reads[ray] += looked * (1 + 2 * full_ + positive[:, column])
                jump = _jump(at, o, d, t0, group[:, column], there, optics)
                due = torch.where(looked, jump, due)
            ends = torch.maximum(due, k + AT_ONCE)
        k = ends
        on = (t0 + k * optics.step < t1) & (clear >= optics.stop)
        if not on.all():
            ray, o, d, t0, t1, k, clear = (one[on] for one in (ray, o, d, t0, t1, k, clear))
    return _packed(found, len(origins), steps, reads)


def entered(
    lookup: Lookup,
    optics: OpticsOptions,
    origins: Float32[Tensor, "rays 3"],
    directions: Float32[Tensor, "rays 3"],
    offset: Float32[Tensor, " rays"] | None,
) -> tuple[
    Float32[Tensor, "rays 3"], Float32[Tensor, "rays 3"], Float32[Tensor, " rays"], Float32[Tensor, " rays"]
]:
    """Rays in voxel coordinates, where their lattices begin, and where the cube ends."""
    n = lookup.resolution
    o = origins * n - 0.5
    d = torch.where(directions.abs() < PARALLEL, PARALLEL, directions)
    low, high = (0 - o) / d, (n - 1 - o) / d
    t0 = torch.minimum(low, high).amax(1).clamp(min=0)
    t1 = torch.maximum(low, high).amin(1)
    return o, d, t0 + optics.step * (0.5 if offset is None else offset), t1


def _jump(
    k: Tensor, o: Tensor, d: Tensor, t0: Tensor, group: Tensor, distance: Tensor, optics: OpticsOptions
) -> Tensor:
    """What comes after point k: the next, or the first beyond the groups that are known to be empty."""
    reach = distance[:, None] - 1
    side = GROUP * torch.where(d > 0, group + reach + 1, group - reach)
    leave = ((side - o) / d).amin(1)
    jump = torch.maximum(k + 1, ((leave - t0) / optics.step - SLACK).ceil())
    return torch.where(distance == 0, k + 1, jump)


def see(
    table: Float[Tensor, "rows 8"], marched: Marched, optics: OpticsOptions, rows: Tensor | None = None
) -> Summed:
    """Sums along rays of the values of a table, with a graph; `rows` instead of the march's where the table
    is a part of the whole one."""
    rows = marched.rows if rows is None else rows
    values = embedding_bag(rows, table, per_sample_weights=marched.weights, mode="sum")
    weights = weigh(optics.step * thickness(values[:, 0], optics), marched.starts)
    summed = accumulate(weights.weight[:, None] * values[:, 1:], marched.starts)
    return Summed(summed, 1 - weights.remaining, weights.weight)


def shade(
    shader: Shader,
    summed: Summed,
    directions: Float[Tensor, "rays 3"],
    behind: Float[Tensor, "rays 3"] | Float[Tensor, "1 3"],
) -> Float[Tensor, "rays 3"]:
    """Colours of pixels, not clipped."""
    opacity = summed.opacity[:, None]
    added = shader(summed.values, summed.opacity, directions)
    return summed.values[:, :3] + opacity * added + (1 - opacity) * behind


class Looked(NamedTuple):
    """A view, and what it costs the page: means over all pixels."""

    rendered: Rendered
    steps_per_ray: float
    reads_per_pixel: float


@torch.no_grad()
def render_baked(baked: Baked, camera: RayCamera, background: Colour = (1.0, 1.0, 1.0)) -> Looked:
    """The view of a camera in the unit cube, as the page draws it."""
    lookup = Lookup(baked.voxels)
    nothing = np.zeros((1, CHANNELS), np.uint8)
    table = torch.from_numpy(np.concatenate([nothing, baked.values]) / np.float32(255))
    codes = table[:, 0].contiguous()
    pixels, parts = pixel_grid(camera), []
    behind = torch.tensor([background], dtype=torch.float32)
    for some in np.array_split(pixels, max(1, -(-len(pixels) // RAYS_AT_ONCE))):
        rays = camera_rays(camera, some)
        marched = march(lookup, codes, baked.optics, *rays, counting=True)
        summed = see(table, marched, baked.optics)
        rgb = shade(baked.shader, summed, rays.directions, behind).clamp(0, 1)
        depth = accumulate((summed.weight * marched.t)[:, None], marched.starts)[:, 0]
        depth = depth / summed.opacity.clamp(min=1e-6) / lookup.resolution
        parts.append((rgb, depth, summed.opacity, marched.steps.float(), marched.reads.float()))
    rgb, depth, opacity, steps, reads = (torch.cat(one) for one in zip(*parts, strict=True))
    size = (camera.height, camera.width)
    rendered = Rendered(
        rgb.reshape(*size, 3).numpy(), depth.reshape(size).numpy(), opacity.reshape(size).numpy()
    )
    return Looked(rendered, float(steps.mean()), float(reads.mean()))


def _packed(found: list[tuple[Tensor, ...]], rays: int, steps: Tensor, reads: Tensor) -> Marched:
    if not found:
        none = torch.zeros(0, dtype=torch.int64)
        found = [(none, torch.zeros(0, 8, dtype=torch.int64), torch.zeros(0, 8), torch.zeros(0))]
    ray, rows, weights, t = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.argsort(ray, stable=True)
    starts = bounds(torch.bincount(ray, minlength=rays))
    return Marched(rows[order], weights[order], t[order], starts, steps, reads)
