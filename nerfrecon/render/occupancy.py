"""Which cells of the unit cube are worth asking: a grid of bits and what switches them.

Cell (x, y, z) has the number (z * resolution + y) * resolution + x. A cell is `occupied` only where it is
`allowed`; carving by masks and dynamic visibility take allowance away for good.

A density field keeps for each cell a `value`: the optical thickness density * step of one smallest step
through it, found at a random point. At an update the cells that are looked at become max(value * decay,
thickness there), and occupied is value > min(threshold, mean value of allowed cells) (Mueller et al. 2022,
appendix E.2). The mean is one of thickness, not of opacity: a few dense cells lift it above the threshold, so
that it decides only while nothing is dense yet; a mean of opacities kept a third of a filmed room as fog.
A signed distance needs no memory: a cell is occupied where |f| at its centre is within a band.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor
from torch.nn.functional import max_pool3d

from nerfrecon.backends.base import RayCamera
from nerfrecon.options import SamplingOptions
from nerfrecon.render.march import cell_number
from nerfrecon.render.random import Draw, torch_uniform
from nerfrecon.render.rays import distort, undistort
from suite.errors import BadInput

CHUNK = 1 << 18
"""Cells whose field values are computed at once."""
COARSEST_HULL = 16
"""Cells a side, at least, of the first grid that masks carve."""
BAND_DIAGONALS = 0.625
BAND_WIDTHS = 4.0
"""The band of a signed distance: 0.625 cell diagonals, so that a surface anywhere in a cell keeps it, plus
4 / s for the width of what is opaque."""

Values = Callable[[Tensor], Tensor]
"""Points (n, 3) to values (n,)."""


class Occupancy(NamedTuple):
    """Values, allowed and occupied cells; functions below give the next one."""

    value: Float32[Tensor, " cells"]
    allowed: Bool[Tensor, " cells"]
    occupied: Bool[Tensor, " cells"]

    @classmethod
    def full(cls, resolution: int, device: torch.device | None = None) -> Occupancy:
        """All cells allowed and occupied: nothing is known."""
        on = torch.ones(resolution**3, dtype=torch.bool, device=device)
        return cls(torch.zeros(resolution**3, device=device), on, on.clone())

    @property
    def resolution(self) -> int:
        return round(len(self.allowed) ** (1 / 3))

    @property
    def share(self) -> float:
        """Share of cells that are occupied."""
        return float(self.occupied.float().mean())

    def packed(self) -> UInt8[np.ndarray, " bytes"]:
        """The occupied cells as bits: cell i is bit i % 8 of byte i // 8."""
        return np.packbits(self.occupied.cpu().numpy(), bitorder="little")

    def restricted(self, allowed: Bool[Tensor, " cells"]) -> Occupancy:
        """Without the cells that are not in `allowed`. Raises BadInput where none is left."""
        left = self.allowed & allowed
        if not bool(left.any()):
            raise BadInput(
                "no cell of the scene's box is left", hint="check the masks, the poses and the box"
            )
        return Occupancy(self.value, left, self.occupied & left)


def updated(
    occupancy: Occupancy, density: Values, options: SamplingOptions, seed: int, step: int
) -> Occupancy:
    """The grid after looking at the density at a random point of all or some allowed cells."""
    allowed = torch.nonzero(occupancy.allowed)[:, 0]
    looked = allowed
    if step >= options.update_all_until:
        full, empty = (torch.tensor(x) for x in (options.update_share, options.update_share_empty))
        share = torch.where(occupancy.occupied[allowed].cpu(), full, empty).to(allowed.device)
        looked = allowed[torch_uniform(seed, step, allowed, Draw.CELL_CHOICE) < share]
    value = occupancy.value.clone()
    for cells in looked.split(CHUNK):
        inside = torch.stack(
            [torch_uniform(seed, step, cells, which) for which in (Draw.CELL_X, Draw.CELL_Y, Draw.CELL_Z)], 1
        )
        points = (corners(cells, occupancy.resolution) + inside) / occupancy.resolution
        with torch.no_grad():
            thickness = density(points) * options.step
        value[cells] = torch.maximum(value[cells] * options.decay, thickness.to(value.dtype))
    from_ = min(options.threshold, float(value[allowed].double().mean()))
    return Occupancy(value, occupancy.allowed, occupancy.allowed & (value > from_))


def updated_by_sdf(occupancy: Occupancy, sdf: Values, sharpness: float | int) -> Occupancy:
    """The grid of cells near the surface f = 0, f found at the cells' centres.

    Cells at the edge of what is allowed also stay where they are inside (f below the band): a field that has
    outgrown its hull would else have no sample left to shrink by.
    """
    resolution = occupancy.resolution
    band = BAND_DIAGONALS * 3**0.5 / resolution + BAND_WIDTHS / sharpness
    shape = (1, 1, resolution, resolution, resolution)
    outside = torch.nn.functional.pad((~occupancy.allowed).float().reshape(shape), (1,) * 6, value=1.0)
    edge = max_pool3d(outside, 3, stride=1).reshape(-1) > 0
    occupied = torch.zeros_like(occupancy.allowed)
    for cells in torch.nonzero(occupancy.allowed)[:, 0].split(CHUNK):
        with torch.no_grad():
            f = sdf((corners(cells, resolution) + 0.5) / resolution)
        occupied[cells] = (f < band) & ((f > -band) | edge[cells])
    return Occupancy(occupancy.value, occupancy.allowed, occupied)


def corners(cells: Int64[Tensor, " n"], resolution: int) -> Float32[Tensor, "n 3"]:
    """Lower corner (x, y, z) of cells, in cells."""
    x, y = cells % resolution, cells // resolution % resolution
    return torch.stack([x, y, cells // resolution**2], 1).float()


def near_points(points: Float[Tensor, "n 3"], resolution: int, reach: int = 1) -> Bool[Tensor, " cells"]:
    """Cells that hold a point of [0, 1]^3, and those up to `reach` cells around."""
    cells = torch.zeros(resolution**3, dtype=torch.bool, device=points.device)
    inside = ((points >= 0) & (points <= 1)).all(1)
    cells[cell_number(points[inside], resolution)] = True
    return grown(cells, reach)


def grown(cells: Bool[Tensor, " cells"], reach: int = 1) -> Bool[Tensor, " cells"]:
    """The cells, and those up to `reach` cells around them, diagonally too."""
    resolution = round(len(cells) ** (1 / 3))
    grid = cells.float().reshape(1, 1, resolution, resolution, resolution)
    for axis in range(3):  # one after another: 3 (2 reach + 1) comparisons a cell, not the cube of that
        size, padding = [1, 1, 1], [0, 0, 0]
        size[axis], padding[axis] = 2 * reach + 1, reach
        grid = max_pool3d(grid, size, stride=1, padding=padding)
    return grid.reshape(-1) > 0


def within_masks(
    cameras: Sequence[RayCamera], masks: Sequence[Bool[np.ndarray, "_h _w"]], resolution: int
) -> Bool[Tensor, " cells"]:
    """The visual hull: cells that no view shows to lie beside its mask (Laurentini 1994).

    A cell is given up where the circle around its projected sphere holds no pixel of the mask. A view says
    nothing of cells that are not wholly in front of the camera or whose circle leaves the picture. Coarse
    cells are looked at first: those beside a mask are given up whole, those within all masks kept whole.
    """
    coarse = resolution
    while coarse % 2 == 0 and coarse > COARSEST_HULL:
        coarse //= 2
    alive = np.arange(coarse**3)
    open_ = np.ones(len(alive), bool)
    views = [_MaskView(camera, mask) for camera, mask in zip(cameras, masks, strict=True)]
    while True:
        unsure, sure = alive[open_], alive[~open_]
        whole = np.ones(len(unsure), bool)
        for view in views:
            beside, within = view.look(unsure, coarse)
            unsure, whole = unsure[~beside], (whole & within)[~beside]
        if coarse == resolution:
            break
        alive, open_ = np.concatenate([sure, unsure]), np.concatenate([np.zeros(len(sure), bool), ~whole])
        alive, open_ = _halved(alive, coarse), np.repeat(open_, 8)
        coarse *= 2
    cells = torch.zeros(resolution**3, dtype=torch.bool)
    cells[torch.from_numpy(np.concatenate([sure, unsure]))] = True
    return cells


class _MaskView:
    """What one view's mask says of cells."""

    def __init__(self, camera: RayCamera, mask: np.ndarray) -> None:
        import cv2

        def away(shown: np.ndarray) -> np.ndarray:
            """Distance in pixels to the nearest pixel that is not `shown`; far away where all are."""
            distance = cv2.distanceTransform(shown.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            return np.asarray(distance)

        self.camera, self.widest = camera, _widest(camera)
        self.to_mask_px, self.to_edge_px = away(~mask), away(mask)

    def look(self, cells: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
        """Which cells lie wholly beside the mask, and which say nothing against any part of them."""
        camera, radius = self.camera, 3**0.5 / 2 / resolution
        x, y, z = _local(cells, resolution, camera.T_unit_camera)
        in_front = z > 2 * radius
        z = np.where(in_front, z, np.float32(1))
        plane = np.stack([x / z, y / z], 1)
        off_axis2 = plane[:, 0] ** 2 + plane[:, 1] ** 2
        in_front &= off_axis2 <= self.widest  # far out a lens model folds back
        # A sphere's outline reaches further out than its radius over its depth where it is seen aslant.
        reach_px = np.float32(max(camera.fx, camera.fy) * radius) * (1 + off_axis2)
        reach_px = reach_px / np.where(in_front, z - np.float32(radius), np.float32(1)) + 1
        u, v = (distort(plane, camera.distortion) * [camera.fx, camera.fy] + [camera.cx, camera.cy]).T
        w, h = camera.width, camera.height
        seen = in_front & (np.abs(u - (w - 1) / 2) <= w / 2 - 0.5 - reach_px)
        seen &= np.abs(v - (h - 1) / 2) <= h / 2 - 0.5 - reach_px
        column, row = np.rint(u[seen]).astype(np.int32), np.rint(v[seen]).astype(np.int32)
        beside, within = np.zeros(len(cells), bool), np.zeros(len(cells), bool)
        beside[seen] = self.to_mask_px[row, column] > reach_px[seen] + 1
        within[seen] = self.to_edge_px[row, column] > reach_px[seen] + 1
        return beside, within


def _local(cells: np.ndarray, resolution: int, T_unit_camera: np.ndarray) -> tuple[np.ndarray, ...]:
    """Cells' centres in the camera's axes, single precision: half a pixel in a million does not matter."""
    corner = (cells % resolution, cells // resolution % resolution, cells // resolution**2)
    R = (T_unit_camera[:3, :3] / resolution).astype(np.float32)
    first = ((0.5 / resolution - T_unit_camera[:3, 3]) @ T_unit_camera[:3, :3]).astype(np.float32)
    a, b, c = (part.astype(np.float32) for part in corner)
    return tuple(a * R[0, axis] + b * R[1, axis] + c * R[2, axis] + first[axis] for axis in range(3))


def _halved(cells: np.ndarray, resolution: int) -> np.ndarray:
    """The 8 cells of twice the resolution in each cell, one cell's after another's."""
    x, y, z = (
        2 * part for part in (cells % resolution, cells // resolution % resolution, cells // resolution**2)
    )
    corners = [(x + dx, y + dy, z + dz) for dz in (0, 1) for dy in (0, 1) for dx in (0, 1)]
    fine = 2 * resolution
    return np.stack([(c * fine + b) * fine + a for a, b, c in corners], 1).ravel()


def _widest(camera: RayCamera) -> float:
    """Largest x^2 + y^2 of normalised coordinates at the picture's corners, before the lens."""
    right, below = camera.width - 1, camera.height - 1
    pixels = np.array([[0, 0], [right, 0], [0, below], [right, below]], np.float64)
    plane = undistort((pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy], camera.distortion)
    return float(np.square(plane).sum(1).max())


def cells_along(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    ends: Float[Tensor, " rays"],
    resolution: int,
) -> Bool[Tensor, " cells"]:
    """Cells that rays pass before `ends` (lengths along them): what they can see.

    Between two neighbouring crossings of the planes of all three axes a ray is in one cell: the middle's.
    """
    planes = torch.arange(resolution + 1, device=origins.device, dtype=torch.float64) / resolution
    reached = torch.zeros(resolution**3, dtype=torch.bool, device=origins.device)
    rays_at_once = max(1, CHUNK * 4 // resolution)
    parts = (x.split(rays_at_once) for x in (origins.double(), directions.double(), ends.double()))
    for o, d, end in zip(*parts, strict=True):
        safe = torch.where(d.abs() < 1e-12, 1e-12, d)
        crossings = ((planes - o[..., None]) / safe[..., None]).flatten(1)
        crossings = torch.minimum(crossings.clamp(min=0), end[:, None]).sort(1).values
        middle = (crossings[:, 1:] + crossings[:, :-1]) / 2
        points = o[:, None] + middle[..., None] * d[:, None]
        passed = (crossings.diff(dim=1) > 0) & ((points >= 0) & (points <= 1)).all(-1)
        reached[cell_number(points[passed], resolution)] = True
    return reached
