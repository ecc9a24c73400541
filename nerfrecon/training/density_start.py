"""From a density field that has been trained for a while to the signed distance that goes on from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32

from nerfrecon.backends.base import Backend, Pace
from nerfrecon.backends.native_sdf import NativeSdfBackend
from nerfrecon.config import DensityStart
from nerfrecon.fields.from_density import TorchFit, distance_of, fit_distance
from nerfrecon.fields.init import first_parameters
from nerfrecon.fields.sdf import SdfField
from nerfrecon.options import LossOptions, OptimiserOptions, SamplingOptions, SdfFieldOptions
from nerfrecon.render.occupancy import corners, grown
from nerfrecon.scene import Scene
from nerfrecon.training.carving import first_cells
from nerfrecon.training.filled import FilledDensity
from nerfrecon.training.schedule import levels_at
from nerfrecon.training.views import ray_camera, usable_scale
from suite.errors import BackendUnavailable

LOOKED_MARGIN_CELLS = 1.0
SMOOTH_CELLS = 0.7
AROUND_CELLS = 4
SURFACE_PX = 128
"""Longest side of the renderings that say what views look into."""
CELLS_AT_ONCE = 1 << 18


class Begun(NamedTuple):
    """Where a signed distance begins."""

    state: dict[str, np.ndarray]
    """Its parameters."""
    distance: Float32[np.ndarray, "r r r"]
    """What they were fitted to, at cell centres (z, y, x)."""
    cells: Bool[np.ndarray, " cells"]
    """Of the occupancy grid, that it may occupy."""
    wrong_share: float
    """Of the points off the surface, those on its wrong side."""


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
    from scipy.ndimage import gaussian_filter

    n = options.resolution
    hull = _resized(first_cells(scene, views, sampling, scale), n)
    inside = np.flatnonzero(hull)
    cameras = [ray_camera(scene, view, _small(scene, view, scale)) for view in views]
    level_at = FilledDensity(
        backend.density,
        lambda camera: backend.render(camera, (0.0, 0.0, 0.0)),
        cameras,
        options.threshold,
        LOOKED_MARGIN_CELLS / n,
    )
    level = np.ones(n**3, np.float32)
    for part in np.array_split(inside, len(inside) // CELLS_AT_ONCE + 1):
        level[part] = level_at(((corners(torch.from_numpy(part), n) + 0.5) / n).numpy())
    smooth = gaussian_filter(level.reshape(n, n, n), SMOOTH_CELLS)
    distance = distance_of(np.where(hull.reshape(n, n, n), smooth, np.float32(1)))
    levels = levels_at(field, options.share)
    state, wrong = _fitted(field, distance, options.fit_steps, seed, levels)
    around = grown(torch.from_numpy(distance.ravel() < 0), AROUND_CELLS).numpy()
    return Begun(state, distance, _resized(around, sampling.occupancy_resolution), wrong)


def _resized(cells: Bool[np.ndarray, " cells"], resolution: int) -> Bool[np.ndarray, " others"]:
    """Cells of another size: those that touch one of `cells`."""
    n = round(len(cells) ** (1 / 3))
    cube = torch.from_numpy(cells).reshape(1, 1, n, n, n).float()
    return torch.nn.functional.adaptive_max_pool3d(cube, (resolution,) * 3).reshape(-1).numpy() > 0


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
