"""A field and samples along rays to what the rays see.

In two passes: without a graph, which samples lie before their ray ends (`visible`); then those alone, with
one (`see`). So what is behind costs one look at the density and neither colour nor gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from nerfrecon.fields.big_mlp import BigMlpField
from nerfrecon.fields.density import DensityField
from nerfrecon.fields.sdf import Differences, SdfField, section_thickness
from nerfrecon.ops.compositing import Weights, accumulate, weigh
from nerfrecon.options import SamplingOptions
from nerfrecon.render.march import Samples, march
from nerfrecon.render.random import Draw, torch_uniform

Field = DensityField | BigMlpField | SdfField
SMALLEST_OPACITY = 1e-6
"""Depth is divided by the opacity, or by this where that is less."""


class Seen(NamedTuple):
    """What rays see. `weights` are those of `samples`; `near_surface` is there for signed distances."""

    colour: Float[Tensor, "rays 3"]
    depth: Float[Tensor, " rays"]
    """Mean length along the ray, of what is opaque; sections of a signed distance count by their middles."""
    opacity: Float[Tensor, " rays"]
    samples: Samples
    weights: Weights
    middle: Float[Tensor, " n"]
    """The length that each sample counts for in `depth`."""
    normal: Float[Tensor, "rays 3"] | None = None
    """Sum of weighted unit normals; signed distances only."""
    distance: Float[Tensor, " n"] | None = None
    """Of `samples`; signed distances only."""
    near_surface: Differences | None = None
    """Differences at the samples that got them: what the eikonal and curvature terms are of."""


def visible(field: Field, samples: Samples, stop: float | int) -> Bool[Tensor, " n"]:
    """Which samples are needed: those before their ray ends and, for sections, the one behind the last."""
    with torch.no_grad():
        kept = weigh(thickness_of(field, samples)[0], samples.starts, stop).kept
        if isinstance(field, SdfField):
            kept |= torch.cat([kept[:1], kept[:-1]]) & samples.joined
    return kept


def thickness_of(field: Field, samples: Samples) -> tuple[Float[Tensor, " n"], Float[Tensor, "n f"]]:
    """Optical thickness of each sample's section, and the field's features there."""
    if isinstance(field, SdfField):
        f, features = field.sdf(samples.points)
        s = field.sharpness.exp()
        return section_thickness(f, samples.starts, samples.joined, s), features
    density, features = field.density(samples.points)
    return density * samples.dt, features


def see(
    field: Field,
    samples: Samples,
    directions: Float[Tensor, "rays 3"],
    background: Float[Tensor, "rays 3"],
    stop: float | int = 0.0,
    drawn: Bool[Tensor, " n"] | None = None,
) -> Seen:
    """Colour, depth and opacity of rays from their samples.

    `drawn` are samples of a signed distance that get a normal whatever their weight: `drawn_for_normals`.
    """
    if isinstance(field, SdfField):
        return _see_surface(field, samples, directions, background, stop, drawn)
    thickness, features = thickness_of(field, samples)
    weights = weigh(thickness, samples.starts, stop)
    kept = weights.kept
    colours = torch.zeros_like(samples.points)
    colours[kept] = field.colour(features[kept], directions[samples.ray[kept]])
    return _composited(samples, weights, samples.t, colours, background)


def _see_surface(
    field: SdfField,
    samples: Samples,
    directions: Tensor,
    background: Tensor,
    stop: float | int,
    drawn: Tensor | None,
) -> Seen:
    f, features = field.sdf(samples.points)
    thickness = section_thickness(f, samples.starts, samples.joined, field.sharpness.exp())
    weights = weigh(thickness, samples.starts, stop)
    chosen = weights.kept & (weights.weight >= field.options.normal_weight)
    if drawn is not None:
        chosen |= weights.kept & drawn
    near = field.differences(samples.points[chosen], f[chosen])
    colours, normals = torch.zeros_like(samples.points), torch.zeros_like(samples.points)
    colours[chosen] = field.colour(features[chosen], directions[samples.ray[chosen]], near.normal)
    normals[chosen] = near.normal
    seen = _composited(samples, weights, samples.t + samples.dt / 2, colours, background)
    normal = accumulate(weights.weight[:, None] * normals, samples.starts)
    return seen._replace(normal=normal, distance=f, near_surface=near)


def _composited(
    samples: Samples, weights: Weights, middle: Tensor, colours: Tensor, background: Tensor
) -> Seen:
    values = torch.cat([colours, middle[:, None], torch.ones_like(middle[:, None])], 1)
    sums = accumulate(weights.weight[:, None] * values, samples.starts)
    opacity = sums[:, 4]
    depth = sums[:, 3] / opacity.clamp(min=SMALLEST_OPACITY)
    colour = sums[:, :3] + weights.remaining[:, None] * background
    return Seen(colour, depth, opacity, samples, weights, middle)


def drawn_for_normals(samples: Samples, seed: int, step: int, share: float | int) -> Bool[Tensor, " n"]:
    """A random share of samples: number k of a ray by `Draw.SAMPLE + k`, before or after `visible` alike."""
    place = torch.arange(len(samples.ray), device=samples.ray.device) - samples.starts[samples.ray]
    return torch_uniform(seed, step, samples.ray, place + Draw.SAMPLE) < share


def render_rays(
    field: Field,
    origins: Float32[Tensor, "rays 3"],
    directions: Float32[Tensor, "rays 3"],
    occupied: Bool[Tensor, " cells"],
    options: SamplingOptions,
    background: Float[Tensor, "rays 3"],
    jitter: Float32[Tensor, " rays"] | None = None,
) -> Seen:
    """March, drop what is behind each ray's end, see. Without `jitter` lattices begin half a step in."""
    if jitter is None:
        jitter = torch.full_like(origins[:, 0], 0.5)
    samples = march(origins, directions, occupied, options, jitter)
    samples = samples.subset(visible(field, samples, options.stop))
    return see(field, samples, directions, background, options.stop)


def ends(seen: Seen, stop: float | int) -> Float[Tensor, " rays"]:
    """Length at which each ray's transmittance falls below `stop`; infinite where it does not."""
    thin = seen.weights.remaining < stop
    last = (seen.samples.starts[1:] - 1).clamp(min=0)
    if not len(seen.samples.t):
        return torch.full_like(seen.depth, torch.inf)
    return torch.where(thin, (seen.samples.t + seen.samples.dt)[last], torch.inf)


def density_normals(field: DensityField | BigMlpField, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Unit vectors towards falling density; they carry no graph."""
    with torch.enable_grad():
        points = points.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(field.density(points)[0].sum(), points)
    return -torch.nn.functional.normalize(gradient, dim=1)
