"""From a density field that has been trained for a while to the signed distance that goes on from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool

from nerfrecon.backends.base import Backend, Pace
from nerfrecon.backends.native_sdf import NativeSdfBackend
from nerfrecon.config import DensityStart
from nerfrecon.fields.from_density import TorchFit, distance_of, fit_distance, solid_cells
from nerfrecon.fields.init import first_parameters
from nerfrecon.fields.sdf import SdfField
from nerfrecon.options import LossOptions, OptimiserOptions, SamplingOptions, SdfFieldOptions
from nerfrecon.render.occupancy import corners, grown
from nerfrecon.scene import Scene
from nerfrecon.training.carving import first_cells
from nerfrecon.training.schedule import levels_at
from nerfrecon.training.views import ray_camera, usable_scale
from nerfrecon.training.visibility import seen_cells
from suite.errors import BackendUnavailable

SEEN_MARGIN_CELLS = 1.0
AROUND_CELLS = 4
SURFACE_PX = 64
"""Longest side of the renderings that say what no ray reaches."""
CELLS_AT_ONCE = 1 << 18


class Begun(NamedTuple):
    """Parameters of a signed distance, cells it may occupy, and the share of points on the wrong side."""

    state: dict[str, np.ndarray]
    cells: Bool[np.ndarray, " cells"]
    wrong_share: float


def begin(
    backend: Backend,
    field: SdfFieldOptions,
    options: DensityStart,
    scene: Scene,
    views: Sequence[int],
    scale: float | int,
    seed: int,
    sampling: SamplingOptions,
) -> Begun:
    """Fit a new signed distance to the surface that `backend`, a density field, has found.

    Its first levels, which it goes on with, are fitted; the finer ones begin as they always do.
    """
    n = options.resolution
    hull = first_cells(scene, views, sampling.model_copy(update={"occupancy_resolution": n}), scale)
    inside = np.flatnonzero(hull)
    density = np.zeros(n**3, np.float32)
    for part in np.array_split(inside, len(inside) // CELLS_AT_ONCE + 1):
        centres = (corners(torch.from_numpy(part), n) + 0.5) / n
        density[part] = backend.density(centres.numpy())
    # Beside the hull there is nothing; within it, what no ray reaches may be filled.
    cameras = [ray_camera(scene, view, _small(scene, view, scale)) for view in views]
    surfaces = [backend.render(camera, (0.0, 0.0, 0.0)) for camera in cameras]
    among = hull & (density <= options.threshold)
    seen = ~hull | seen_cells(cameras, n, surfaces, SEEN_MARGIN_CELLS / n, among)
    cube = (n, n, n)
    solid = solid_cells(density.reshape(cube), seen.reshape(cube), options.threshold)
    levels = levels_at(field, options.share)
    state, wrong = _fitted(field, distance_of(solid), options.fit_steps, seed, levels)
    around = grown(torch.from_numpy(solid.ravel()), AROUND_CELLS).reshape(1, 1, *cube).float()
    resized = torch.nn.functional.adaptive_max_pool3d(around, (sampling.occupancy_resolution,) * 3)
    return Begun(state, resized.reshape(-1).numpy() > 0, wrong)


def _fitted(
    field: SdfFieldOptions, distance: np.ndarray, steps: int, seed: int, levels: int
) -> tuple[dict[str, np.ndarray], float]:
    """State and share on the wrong side; in the compiled core where there is one, else in torch."""
    try:
        core = NativeSdfBackend(field, SamplingOptions(), LossOptions(), OptimiserOptions(clip=0), seed=seed)
    except BackendUnavailable:
        torch_field = SdfField(field, seed)
        wrong = fit_distance(TorchFit(torch_field, levels), distance, steps, seed)
        return {
            name: value.detach().numpy().copy() for name, value in torch_field.state_dict().items()
        }, wrong
    core.pace = Pace(active_levels=levels)
    wrong = fit_distance(core, distance, steps, seed)
    names = first_parameters(field, seed)
    return {name: value for name, value in core.state().items() if name in names}, wrong


def _small(scene: Scene, view: int, scale: float | int) -> float:
    camera = scene.views[view].camera
    return usable_scale(scene, view, min(scale, SURFACE_PX / max(camera.width, camera.height)))
