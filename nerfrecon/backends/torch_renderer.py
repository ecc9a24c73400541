"""A field and its occupied cells in PyTorch, on any device: pictures, values, cells that are asked."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from nerfrecon.backends.base import Pace, RayCamera, Rendered
from nerfrecon.fields.big_mlp import BigMlpField
from nerfrecon.fields.density import DensityField
from nerfrecon.fields.sdf import SdfField
from nerfrecon.options import (
    BigMlpFieldOptions,
    DensityFieldOptions,
    OptimiserOptions,
    SamplingOptions,
    SdfFieldOptions,
)
from nerfrecon.render.march import Samples, march
from nerfrecon.render.occupancy import Occupancy, updated, updated_by_sdf
from nerfrecon.render.rays import Rays, camera_rays, pixel_grid
from nerfrecon.render.volume import Field, Seen, render_rays
from suite.errors import BadInput

RAYS_AT_ONCE = 4096
POINTS_AT_ONCE = 1 << 17
SECTION_OF_SHARPNESS, LONGEST_SECTION = 0.6, 5.0
"""A signed distance is looked at every 0.6 / s, the width of what becomes opaque, up to 5 smallest steps."""


def make_field(options: DensityFieldOptions | SdfFieldOptions | BigMlpFieldOptions, seed: int) -> Field:
    """The field that `options` name, with its first parameters."""
    if isinstance(options, DensityFieldOptions):
        return DensityField(options, seed)
    return SdfField(options, seed) if isinstance(options, SdfFieldOptions) else BigMlpField(options, seed)


class TorchRenderer:
    """What can be looked at, whether or not it is being trained."""

    def __init__(
        self,
        field: DensityFieldOptions | SdfFieldOptions | BigMlpFieldOptions,
        sampling: SamplingOptions,
        optimiser: OptimiserOptions,
        seed: int,
        device: str,
    ) -> None:
        self.device = torch.device(device)
        self.options, self.sampling, self.seed = field, sampling, seed
        self.field = self._made(field, seed).to(self.device)
        self.occupancy = Occupancy.full(sampling.occupancy_resolution, self.device)
        self.pace = Pace(optimiser.grid_lr, optimiser.network_lr)
        self.sharpness: float | None = None
        """s of a signed distance with a schedule; whoever trains sets it. None leaves the field's own."""

    @property
    def name(self) -> str:
        """Such as `torch cpu`."""
        return f"torch {self.device}"

    def restrict(self, allowed: Bool[np.ndarray, " cells"]) -> None:
        """Give up cells of the occupancy grid for good; BadInput where none is left."""
        if allowed.shape != tuple(self.occupancy.allowed.shape):
            cells = len(self.occupancy.allowed)
            raise BadInput(f"{allowed.size} cells for a grid of {cells}", hint="use its resolution")
        self.occupancy = self.occupancy.restricted(torch.from_numpy(allowed).to(self.device))

    def render(self, camera: RayCamera, background: tuple[float, float, float]) -> Rendered:
        """The view of `camera` on a plain background."""
        self._prepare_field()
        origins, directions = camera_rays(camera, pixel_grid(camera))
        behind = torch.tensor(background, dtype=torch.float32, device=self.device)
        parts: list[np.ndarray] = []
        with torch.no_grad():
            for o, d in zip(origins.split(RAYS_AT_ONCE), directions.split(RAYS_AT_ONCE), strict=True):
                seen = self._seen(Rays(o.to(self.device), d.to(self.device)), behind)
                columns = [seen.colour, seen.depth[:, None], seen.opacity[:, None]]
                parts.append(torch.cat(columns, 1).cpu().numpy())
        whole = np.concatenate(parts).reshape(camera.height, camera.width, 5)
        rgb, depth, opacity = whole[..., :3], whole[..., 3], whole[..., 4]
        return Rendered(rgb.clip(0, 1), depth.copy(), opacity.clip(0, 1))

    def density(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Density per unit length at points of the unit cube; those outside are moved to its border."""
        if isinstance(self.field, SdfField):
            raise BadInput("the field is a signed distance", hint="ask for `sdf`")
        return self._values(points)

    def sdf(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Signed distance at points of the unit cube, positive outside."""
        if not isinstance(self.field, SdfField):
            raise BadInput("the field is a density", hint="ask for `density`")
        return self._values(points)

    def _update_occupancy(self, step: int) -> None:
        if isinstance(self.field, SdfField):
            field, s = self.field, float(self.field.sharpness.exp())
            self.occupancy = updated_by_sdf(self.occupancy, lambda points: field.sdf(points)[0], s)
        else:
            field = self.field
            self.occupancy = updated(
                self.occupancy, lambda x: field.density(x)[0], self.sampling, self.seed, step
            )

    def _prepare_field(self) -> None:
        if isinstance(self.field, (DensityField, SdfField)):
            self.field.grid.active = min(self.pace.active_levels, len(self.field.grid.layout.levels))
        if isinstance(self.field, SdfField) and self.sharpness is not None:
            with torch.no_grad():
                self.field.sharpness.fill_(float(np.log(self.sharpness)))

    def _sampling(self) -> SamplingOptions:
        """Steps of a signed distance follow its sharpness: a blurred surface needs fewer."""
        if not isinstance(self.field, SdfField):
            return self.sampling
        shortest = self.sampling.step
        step = min(
            max(SECTION_OF_SHARPNESS / float(self.field.sharpness.exp()), shortest),
            LONGEST_SECTION * shortest,
        )
        return self.sampling.model_copy(update={"step": step})

    def _march(self, rays: Rays, sampling: SamplingOptions, jitter: Tensor) -> Samples:
        return march(rays.origins, rays.directions, self.occupancy.occupied, sampling, jitter)

    def _seen(self, rays: Rays, background: Tensor) -> Seen:
        behind = background.expand(len(rays.origins), 3)
        occupied = self.occupancy.occupied
        return render_rays(self.field, rays.origins, rays.directions, occupied, self._sampling(), behind)

    def _values(self, points: np.ndarray) -> np.ndarray:
        if points.ndim != 2 or points.shape[1] != 3:
            raise BadInput(f"points have shape {points.shape}", hint="give (n, 3)")
        self._prepare_field()
        found = []
        with torch.no_grad():
            for part in torch.from_numpy(np.ascontiguousarray(points, np.float32)).split(POINTS_AT_ONCE):
                inside = part.to(self.device).clamp(0, 1)
                value = (
                    self.field.sdf(inside) if isinstance(self.field, SdfField) else self.field.density(inside)
                )
                found.append(value[0].float().cpu().numpy())
        return np.concatenate(found) if found else np.zeros(0, np.float32)

    def _made(self, options: DensityFieldOptions | SdfFieldOptions | BigMlpFieldOptions, seed: int) -> Field:
        return make_field(options, seed)
