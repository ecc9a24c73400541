"""A signed distance that begins as the surface a density field has found.

A signed distance that begins as a sphere around everything closes openings that are seen only later: a shoe's
interior stays a dark cap. A density field finds such an interior within seconds, so it goes first.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor
from torch.nn.functional import grid_sample

from nerfrecon.fields.sdf import SdfField
from nerfrecon.render.random import Draw, torch_uniform
from suite.errors import BadInput

FIT_BATCH = 4096
FIT_RATE = 1e-2
JUDGED = 1 << 15
NEAR_SHARE = 0.5
"""Share of the points of a fit that lie near the surface."""
NEAR_CELLS = 4.0


def solid_cells(
    density: Float32[np.ndarray, "r r r"], seen: Bool[np.ndarray, "r r r"], threshold: float | int
) -> Bool[np.ndarray, "r r r"]:
    """Cells (z, y, x) that are filled: dense ones, and those that are shut in.

    What was never seen inside an object is taken as filled; what was never seen and touches the cube's sides
    is space that no camera looked at, and empty. What seems empty but is shut in by filled cells was not seen
    either: renderings that say what is seen are coarse.
    """
    dense = density > threshold
    hidden = ~seen & ~dense
    solid = dense | (hidden & ~_reaching_out(hidden))
    return ~_reaching_out(~solid)


def _reaching_out(cells: Bool[np.ndarray, "r r r"]) -> Bool[np.ndarray, "r r r"]:
    """Those of the cells that hang together, over faces, with one at the cube's sides."""
    from scipy.ndimage import label

    parts = np.zeros(cells.shape, np.int32)
    label(cells, output=parts)
    sides = [parts.take(end, axis) for axis in range(3) for end in (0, -1)]
    return cells & np.isin(parts, np.unique(np.concatenate([side.ravel() for side in sides])))


def distance_of(solid: Bool[np.ndarray, "r r r"]) -> Float32[np.ndarray, "r r r"]:
    """Signed distance of cell centres (z, y, x), in lengths of the unit cube, positive where it is empty.

    Exact to about half a cell. Raises BadInput where all is empty or all is filled.
    """
    from scipy.ndimage import distance_transform_edt

    if not solid.any() or solid.all():
        state = "empty" if not solid.any() else "filled"
        raise BadInput(
            f"the density field is {state}: it has no surface to begin a signed distance from",
            hint="train it longer, give another start.threshold, or begin without it: start=null",
        )
    # A centre lies half a cell from the wall between it and its neighbour of the other kind.
    outside, inside = np.asarray(distance_transform_edt(~solid)), np.asarray(distance_transform_edt(solid))
    distance = np.where(solid, 0.5 - inside, outside - 0.5)
    return (distance / len(solid)).astype(np.float32)


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
        field.fit(points.numpy(), look_up(grid, points).numpy(), FIT_RATE * 0.05 ** (step / steps))
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
