"""Which cells a training begins with, and which it gives up once surfaces are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool

from nerfrecon.backends.base import Backend
from nerfrecon.options import SamplingOptions
from nerfrecon.render.occupancy import cells_along, near_points, within_masks
from nerfrecon.scene import Scene
from nerfrecon.training.views import ray_camera, training_views, usable_scale
from nerfrecon.training.visibility import seen_cells

MASK_PX, SURFACE_PX = 256, 64
"""Longest side of the masks that carve, and of the renderings that say what is hidden."""


MOST_SIGHTINGS = 20_000
"""Lines of sight of each half of the views that are followed."""


def first_cells(
    scene: Scene, views: Sequence[int], sampling: SamplingOptions, scale: float | int
) -> Bool[np.ndarray, " cells"]:
    """Cells in the scene's box that a training camera sees, within the masks where there are any."""
    resolution = sampling.occupancy_resolution
    cells = _in_box(scene, resolution)
    cells &= seen_cells([ray_camera(scene, view, scale) for view in views], resolution)
    if sampling.carve:
        cameras, masks = [], []
        for number in views:
            view = scene.views[number]
            if view.mask_path is not None and view.mask_shows == "usable":
                continue  # says nothing of where the object is
            (picture,) = training_views(scene, [number], _small(scene, number, scale, MASK_PX))
            if picture.pixels.shape[2] == 4:
                cameras.append(picture.camera)
                masks.append(picture.pixels[..., 3] > 0)
        if masks:
            cells &= within_masks(cameras, masks, resolution).numpy()
    return cells


def passed_cells(
    scene: Scene, views: Sequence[int], resolution: int, margin_cells: float | int
) -> Bool[np.ndarray, " cells"]:
    """Cells that lines of sight to sparse points pass through, and so hold nothing: the points were seen.

    A cell counts where lines of views of even and of odd place in `views` pass it, `margin_cells` before
    their points or more, and no point lies as near; points of more than twice the mean reprojection error say
    nothing. Finer things than a cell may stand beside a line of sight: this is for scenes of plain surfaces.
    """
    points = scene.points
    if points is None or points.sightings is None:
        return np.zeros(resolution**3, bool)
    good = np.ones(len(points.positions), bool)
    if points.errors_px is not None:
        good = points.errors_px <= 2 * points.errors_px.mean()
    positions = scene.to_unit(points.positions)
    centres = np.stack([scene.T_unit_camera(view)[:3, 3] for view in range(len(scene.views))])
    passed = []
    for half in (views[::2], views[1::2]):
        chosen = points.sightings[np.isin(points.sightings[:, 0], half) & good[points.sightings[:, 1]]]
        chosen = chosen[:: max(1, -(-len(chosen) // MOST_SIGHTINGS))]
        origins = torch.from_numpy(centres[chosen[:, 0]])
        lines = torch.from_numpy(positions[chosen[:, 1]]) - origins
        length = lines.norm(dim=1)
        ends = length - (margin_cells + 1) / resolution
        passed.append(cells_along(origins, lines / length[:, None], ends, resolution))
    around = near_points(torch.from_numpy(positions[good]), resolution, math.ceil(margin_cells))
    return (passed[0] & passed[1] & ~around).numpy()


def visible_cells(
    backend: Backend,
    scene: Scene,
    views: Sequence[int],
    resolution: int,
    scale: float | int,
    margin_cells: float | int,
) -> Bool[np.ndarray, " cells"]:
    """Cells that a training ray reaches before it ends at what `backend` has learned."""
    cameras = [ray_camera(scene, view, _small(scene, view, scale, SURFACE_PX)) for view in views]
    surfaces = [backend.render(camera, (0.0, 0.0, 0.0)) for camera in cameras]
    return seen_cells(cameras, resolution, surfaces, margin_cells / resolution)


def _small(scene: Scene, view: int, scale: float | int, most_px: int) -> float:
    camera = scene.views[view].camera
    return usable_scale(scene, view, min(scale, most_px / max(camera.width, camera.height)))


def _in_box(scene: Scene, resolution: int) -> np.ndarray:
    """Cells that the box touches; the cube around a flat box has more."""
    edges = np.arange(resolution + 1) / resolution
    low, high = scene.box_unit
    x, y, z = ((edges[1:] > low[axis]) & (edges[:-1] < high[axis]) for axis in range(3))
    return (z[:, None, None] & y[:, None] & x).ravel()
