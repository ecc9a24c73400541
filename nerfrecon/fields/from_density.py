"""A signed distance that begins as the surface a density field has found.

A signed distance that begins as a sphere around everything closes openings that are seen only later: a shoe's
interior stays a dark cap. A density field finds such an interior within seconds, so it goes first.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn.functional import grid_sample

from nerfrecon.fields.sdf import SdfField
from nerfrecon.render.random import Draw, torch_uniform
from suite.errors import BadInput
from suite.geometry.raycasting import RayMesh

FIT_BATCH = 4096
FIT_RATE, FIT_LAST_SHARE = 1e-2, 0.02
JUDGED = 1 << 15
NEAR_SHARE = 0.5
"""Share of the points of a fit that lie near the surface."""
NEAR_CELLS = 4.0


def distance_of(level: Float32[np.ndarray, "r r r"]) -> Float32[np.ndarray, "r r r"]:
    """Signed distance of cell centres (z, y, x), in lengths of the unit cube, to where `level` is zero.

    Positive outside; what is shut in is inside. Exact within `NEAR_CELLS` of the surface, to half a cell
    elsewhere. Raises BadInput where all is outside or all inside.
    """
    from scipy.ndimage import distance_transform_edt, label
    from skimage.measure import marching_cubes

    if not (level > 0).any() or not (level < 0).any():
        state = "empty" if not (level < 0).any() else "filled"
        raise BadInput(
            f"the density field is {state}: it has no surface to begin a signed distance from",
            hint="train it longer, give another start.threshold, or begin without it: start=null",
        )
    framed = np.pad(level, 1, constant_values=1.0)
    parts = np.zeros(framed.shape, np.int32)
    label(framed > 0, output=parts)
    framed[(framed > 0) & (parts != parts[0, 0, 0])] = -1.0
    corners, faces, _, _ = marching_cubes(framed, 0.0)
    inside = framed[1:-1, 1:-1, 1:-1] < 0
    # A centre lies half a cell from the wall between it and its neighbour of the other kind.
    distance = np.asarray(distance_transform_edt(~inside)) - np.asarray(distance_transform_edt(inside))
    distance -= np.where(inside, -0.5, 0.5)
    near = np.abs(distance) < NEAR_CELLS
    away = _distance_to(corners - 1, faces, np.argwhere(near))
    distance[near] = np.where(inside[near], -away, away)
    return (distance / len(level)).astype(np.float32)


def _distance_to(
    vertices: Float[np.ndarray, "v 3"], faces: np.ndarray, points: np.ndarray
) -> Float32[np.ndarray, " n"]:
    """Of points to the nearest triangle."""
    places, _ = RayMesh(vertices, faces).nearest(points.astype(np.float32))
    return np.linalg.norm(places - points, axis=1).astype(np.float32)


@runtime_checkable
class Fittable(Protocol):
    """A signed distance that can be moved towards given values."""

    def fit(
        self, points: Float32[np.ndarray, "n 3"], values: Float32[np.ndarray, " n"], rate: float
    ) -> float:
        """One step of Adam down the mean of |f - value|, which it returns."""
        ...

    def sdf(self, points: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, " n"]:
        """Signed distance at points."""
        ...


class TorchFit:
    """An SdfField as a Fittable: its first `levels` levels and its network learn, its colours do not."""

    def __init__(self, field: SdfField, levels: int | None = None) -> None:
        self.field = field
        field.grid.active = len(field.grid.layout.levels) if levels is None else levels
        self._optimiser = torch.optim.Adam([field.grid.table, *field.sdf_mlp.parameters()], eps=1e-15)

    def fit(
        self, points: Float32[np.ndarray, "n 3"], values: Float32[np.ndarray, " n"], rate: float
    ) -> float:
        """One step, as Fittable says."""
        self._optimiser.param_groups[0]["lr"] = rate
        device = self.field.centre.device
        found = self.field.sdf(torch.from_numpy(points).to(device))[0]
        loss = (found - torch.from_numpy(values).to(device)).abs().mean()
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return loss.item()

    def sdf(self, points: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, " n"]:
        """Signed distance at points."""
        with torch.no_grad():
            return self.field.sdf(torch.from_numpy(points).to(self.field.centre.device))[0].cpu().numpy()


def fit_distance(
    field: Fittable, distance: Float32[np.ndarray, "r r r"], steps: int = 300, seed: int = 0
) -> float:
    """Fit `field` to a grid of distances at cell centres (z, y, x); colours are left alone.

    Half of the points lie near the surface, where the error counts most; far from it the fit is to the
    distance all the same, so that sections there stay clear. Returns the share of points on the wrong side of
    the surface, of those further than a cell from it: a mean error hides a closed opening.
    """
    grid = torch.from_numpy(distance)
    band = torch.nonzero((grid.abs() < NEAR_CELLS / len(grid)).reshape(-1))[:, 0]
    draws = (Draw.CELL_X, Draw.CELL_Y, Draw.CELL_Z)
    numbers = torch.arange(FIT_BATCH)
    for step in range(steps):
        points = torch.stack([torch_uniform(seed, step, numbers, which) for which in draws], 1)
        if len(band):
            near = int(NEAR_SHARE * FIT_BATCH)
            chosen = torch_uniform(seed, step, numbers[:near], Draw.CELL_CHOICE).double()
            cells = band[(chosen * len(band)).long()]
            corner = torch.stack(
                [cells % len(grid), cells // len(grid) % len(grid), cells // len(grid) ** 2], 1
            )
            points[:near] = (corner + points[:near]) / len(grid)
        field.fit(points.numpy(), look_up(grid, points).numpy(), FIT_RATE * FIT_LAST_SHARE ** (step / steps))
    numbers = torch.arange(JUDGED)
    points = torch.stack([torch_uniform(seed, steps, numbers, which) for which in draws], 1)
    wanted, found = look_up(grid, points), torch.from_numpy(field.sdf(points.numpy()))
    clear = wanted.abs() > 1 / len(grid)
    return ((wanted > 0) != (found > 0))[clear].double().mean().item()


def look_up(grid: Float[Tensor, "r r r"], points: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    """Trilinear value at points (x, y, z) of the unit cube from values at cell centres (z, y, x)."""
    where = (2 * points - 1)[None, None, None]
    values = grid_sample(grid[None, None], where, padding_mode="border", align_corners=False)
    return values.reshape(-1)
