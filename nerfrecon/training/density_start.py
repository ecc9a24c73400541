"""From a density field that has been trained for a while to the signed distance that goes on from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool

from nerfrecon.backends.base import Backend
from nerfrecon.config import DensityStart
from nerfrecon.fields.from_density import distance_of, fit_distance, solid_cells
from nerfrecon.fields.sdf import SdfField
from nerfrecon.options import SdfFieldOptions
from nerfrecon.render.occupancy import corners, grown
from nerfrecon.scene import Scene
from nerfrecon.training.carving import visible_cells

SEEN_MARGIN_CELLS = 1.0
AROUND_CELLS = 4
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
    occupancy_resolution: int,
) -> Begun:
    """Fit a new signed distance to the surface that `backend`, a density field, has found."""
    n = options.resolution
    cells = torch.arange(n**3)
    density = np.concatenate(
        [
            backend.density(((corners(part, n) + 0.5) / n).numpy()).astype(np.float32)
            for part in cells.split(CELLS_AT_ONCE)
        ]
    )
    seen = visible_cells(backend, scene, views, n, scale, SEEN_MARGIN_CELLS)
    solid = solid_cells(density.reshape(n, n, n), seen.reshape(n, n, n), options.threshold)
    sdf = SdfField(field, seed)
    wrong = fit_distance(sdf, distance_of(solid), options.fit_steps, seed)
    state = {name: value.detach().numpy().copy() for name, value in sdf.state_dict().items()}
    around = grown(torch.from_numpy(solid.ravel()), AROUND_CELLS).reshape(1, 1, n, n, n).float()
    size = (occupancy_resolution,) * 3
    resized = torch.nn.functional.adaptive_max_pool3d(around, size)
    return Begun(state, resized.reshape(-1).numpy() > 0, wrong)
