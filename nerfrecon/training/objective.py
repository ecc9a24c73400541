"""What a step minimises: the colour loss, and every term whose weight is not 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from nerfrecon.fields.sdf import SdfField
from nerfrecon.options import LossOptions
from nerfrecon.render.losses import (
    colour_loss,
    curvature_loss,
    depth_loss,
    distortion_loss,
    eikonal_loss,
    mask_loss,
    opacity_loss,
)
from nerfrecon.render.rays import Pixels
from nerfrecon.render.volume import Field, Seen
from nerfrecon.training.batches import Targets
from nerfrecon.training.exposure import exposed


class Look(NamedTuple):
    """Pixels of a step, what they show, and the background that both pictures and field are laid over."""

    targets: Targets
    pixels: Pixels
    background: Float[Tensor, "rays 3"]


@dataclass
class Counted:
    """Sums over steps."""

    loss: float = 0.0
    rays: int = 0
    marched: int = 0
    kept: int = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.loss + other.loss,
            self.rays + other.rays,
            self.marched + other.marched,
            self.kept + other.kept,
        )


def objective(
    options: LossOptions,
    field: Field,
    look: Look,
    seen: Seen,
    log_gains: Float[Tensor, "views 3"] | None = None,
    depth: tuple[Tensor, Tensor] | None = None,
) -> Float[Tensor, ""]:
    """The loss of a step; `depth` is a length along each ray and the trust in it."""
    colour = seen.colour
    if log_gains is not None:
        behind = seen.weights.remaining[:, None] * look.background
        colour = exposed(colour, behind, log_gains, look.pixels.view)
    total = colour_loss(options.colour, colour, look.targets.over(look.background))
    if options.mask:
        total = total + options.mask * mask_loss(seen.opacity, look.targets.alpha)
    if options.opacity:
        total = total + options.opacity * opacity_loss(seen.opacity)
    if options.distortion:
        samples = seen.samples
        spread = distortion_loss(seen.weights.weight, samples.t + samples.dt / 2, samples.dt, samples.starts)
        total = total + options.distortion * spread
    if depth is not None and options.depth:
        wanted, trust = depth
        total = total + options.depth * depth_loss(seen.depth, wanted, trust, seen.opacity.detach() > 0)
    if isinstance(field, SdfField) and seen.near_surface is not None:
        near = seen.near_surface
        if options.eikonal:
            total = total + options.eikonal * eikonal_loss(near.gradient)
        if options.curvature:
            # Finer differences see more curvature: its weight falls with their step.
            first = field.options.active.first
            fall = field.grid.step / field.grid.layout.step(min(first, len(field.grid.layout.levels)))
            total = total + options.curvature * fall * curvature_loss(near.laplacian)
    return total
