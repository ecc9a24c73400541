"""The back as a height map z(x, y), and what is read from it: curvature and left-right asymmetry.

x runs to the subject's right, y up, z towards the viewer behind the subject, all in mm; arrays are indexed
[row, column] = [y, x] with y rising. Curvature is positive where the skin bulges towards the viewer: a sphere
of radius R has k1 = k2 = 1/R, the furrow over the spine has k2 < 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_erosion, gaussian_filter, gaussian_filter1d, map_coordinates

from suite.errors import BadInput

LAYER_GAP_MM = 40.0
"""Skin this far in front of the posterior-most skin of the same small cell belongs to another layer (an arm,
the chest)."""


@dataclass(frozen=True)
class HeightMap:
    """A back seen by a viewer behind it, on a regular grid.

    x_mm (nx,), y_mm (ny,) rise evenly with the same step; z_mm (ny, nx) is finite everywhere: measured where
    `observed`, interpolated along the row or continued from the nearest measured value elsewhere, so that
    filters run.
    """

    x_mm: Float[np.ndarray, " nx"]
    y_mm: Float[np.ndarray, " ny"]
    z_mm: Float[np.ndarray, "ny nx"]
    observed: Bool[np.ndarray, "ny nx"]

    def __post_init__(self) -> None:
        shape = (len(self.y_mm), len(self.x_mm))
        if self.z_mm.shape != shape or self.observed.shape != shape:
            raise ValueError(
                f"height map: z {self.z_mm.shape} and observed {self.observed.shape} must be {shape}"
            )
        if min(shape) < 2:
            raise ValueError(f"height map: at least 2 x 2 cells, not {shape}")
        if not np.isfinite(self.z_mm).all():
            raise ValueError("height map: z has values that are not finite")

    @property
    def spacing_mm(self) -> float:
        return float(self.x_mm[1] - self.x_mm[0])

    def sample(self, x_mm: np.ndarray | float, y_mm: np.ndarray | float) -> np.ndarray:
        """z at (x, y), bilinear; beyond the grid the value of its edge. x and y broadcast together."""
        cells = self._cells(x_mm, y_mm)
        z = map_coordinates(self.z_mm, cells.reshape(2, -1), order=1, mode="nearest")
        return z.reshape(cells.shape[1:])

    def is_observed(self, x_mm: np.ndarray | float, y_mm: np.ndarray | float) -> np.ndarray:
        """Whether the cell nearest to (x, y) was measured; False beyond the grid. They broadcast together."""
        row, column = np.rint(self._cells(x_mm, y_mm)).astype(int)
        inside = (row >= 0) & (row < len(self.y_mm)) & (column >= 0) & (column < len(self.x_mm))
        return np.asarray(inside & self.observed[np.where(inside, row, 0), np.where(inside, column, 0)])

    def _cells(self, x_mm: np.ndarray | float, y_mm: np.ndarray | float) -> np.ndarray:
        x, y = np.broadcast_arrays(x_mm, y_mm)
        return np.stack([(y - self.y_mm[0]) / self.spacing_mm, (x - self.x_mm[0]) / self.spacing_mm])


@dataclass(frozen=True)
class CurvatureMaps:
    """Curvature of a height map's skin, each (ny, nx); positive = convex towards the viewer, k1 >= k2.

    shape_index: Koenderink & van Doorn 1992 (Image and Vision Computing 10): 1 dome, .5 ridge, 0 saddle, -.5
    rut, -1 cup. valid: measured, and at least two smoothing lengths away from anything that was not.
    """

    mean_per_mm: Float[np.ndarray, "ny nx"]
    gaussian_per_mm2: Float[np.ndarray, "ny nx"]
    k1_per_mm: Float[np.ndarray, "ny nx"]
    k2_per_mm: Float[np.ndarray, "ny nx"]
    shape_index: Float[np.ndarray, "ny nx"]
    valid: Bool[np.ndarray, "ny nx"]


def rasterize(
    points_mm: Float[np.ndarray, "n 3"], spacing_mm: float = 2.0, *, sigma_mm: float | None = None
) -> HeightMap:
    """Height map of points in the body frame, by splatting and normalised Gaussian filtering.

    sigma_mm defaults to one cell, or .8 of the mean distance between points where they are sparser than the
    grid. A cell counts as observed when a point lies within about 1.5 sigma. Where layers overlap the
    posterior-most is kept.
    """
    points = np.asarray(points_mm, float)
    points = points[np.isfinite(points).all(1)]
    if len(points) < 3:
        raise BadInput(
            f"{len(points)} finite points make no surface", hint="check that the scan was read whole"
        )
    points = points[posterior_layer(points)]

    low = np.floor(points[:, :2].min(0) / spacing_mm) - 1
    nx, ny = (int(n) for n in np.ceil(points[:, :2].max(0) / spacing_mm) - low + 2)
    if nx * ny > 25_000_000:
        raise BadInput(
            f"points spread over {nx * spacing_mm:.0f} x {ny * spacing_mm:.0f} mm: too wide for a back",
            hint="check the units, or crop the scan to the person",
        )
    x_mm, y_mm = (low[0] + np.arange(nx)) * spacing_mm, (low[1] + np.arange(ny)) * spacing_mm

    sigma = (sigma_mm or max(spacing_mm, 0.8 * mean_point_distance(points))) / spacing_mm
    weight, total = _splat(
        points[:, 0] / spacing_mm - low[0], points[:, 1] / spacing_mm - low[1], points[:, 2], ny, nx
    )
    weight, total = gaussian_filter(weight, sigma, truncate=3.5), gaussian_filter(total, sigma, truncate=3.5)
    observed = weight > np.exp(-0.5 * 1.5**2) / (2 * np.pi * sigma**2)
    if not observed.any():
        raise BadInput("the points are too sparse for a surface", hint="use a denser scan")
    z_mm = filled(np.where(observed, total / np.maximum(weight, 1e-12), np.nan))
    return HeightMap(x_mm, y_mm, z_mm, observed)


def posterior_layer(points_mm: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """False for points well in front of the posterior-most skin seen in the same small cell of (x, y).

    Cells are so large that skin leaves hardly any empty (8 mm, or 4 distances between points), and the gap so
    large that steep flanks stay whole (LAYER_GAP_MM, or 3 cells).
    """
    cell_mm = max(8.0, 4 * mean_point_distance(points_mm))
    key, z = _cell_keys(points_mm, cell_mm), points_mm[:, 2] - points_mm[:, 2].min()
    order = np.argsort(key * (z.max() + 1.0) + z)
    first = np.flatnonzero(np.diff(key[order], prepend=-1))
    count = np.diff(first, append=len(order))
    # the third point from the top where there are enough: one flying pixel must not hide the skin below it
    top = points_mm[order[first + count - 1 - np.where(count >= 8, 2, 0)], 2]
    keep = np.empty(len(points_mm), bool)
    keep[order] = points_mm[order, 2] > np.repeat(top, count) - max(LAYER_GAP_MM, 3 * cell_mm)
    return keep


def mean_point_distance(points_mm: Float[np.ndarray, "n 3"]) -> float:
    """Square root of the area per point seen along z, mm; the area is counted in cells of 10 mm."""
    cells = len(np.unique(_cell_keys(points_mm, 10.0)))
    return float(np.sqrt(100.0 * cells / max(len(points_mm), 1)))


def curvature_maps(height: HeightMap, sigma_mm: float = 8.0) -> CurvatureMaps:
    """Principal curvatures of the skin after Gaussian smoothing with sigma_mm (do Carmo, Differential
    Geometry, 3.3)."""
    step = height.spacing_mm
    sigma = sigma_mm / step

    def derivative(order_y: int, order_x: int) -> np.ndarray:
        # cut later than by default: the kernels of the second derivative must sum to zero
        smooth = gaussian_filter1d(height.z_mm, sigma, axis=0, order=order_y, mode="nearest", truncate=6)
        smooth = gaussian_filter1d(smooth, sigma, axis=1, order=order_x, mode="nearest", truncate=6)
        return smooth / step ** (order_y + order_x)

    zx, zy = derivative(0, 1), derivative(1, 0)
    zxx, zxy, zyy = derivative(0, 2), derivative(1, 1), derivative(2, 0)
    g = 1 + zx**2 + zy**2
    mean = -((1 + zy**2) * zxx - 2 * zx * zy * zxy + (1 + zx**2) * zyy) / (2 * g**1.5)
    gaussian = (zxx * zyy - zxy**2) / g**2
    root = np.sqrt(np.maximum(mean**2 - gaussian, 0))
    k1, k2 = mean + root, mean - root
    shape_index = 2 / np.pi * np.arctan2(k1 + k2, k1 - k2)
    reach = max(1, round(2 * sigma))
    padded = np.pad(height.observed, reach)
    valid = binary_erosion(padded, np.ones((3, 3), bool), iterations=reach)[reach:-reach, reach:-reach]
    return CurvatureMaps(mean, gaussian, k1, k2, shape_index, valid)


def asymmetry_map(
    height: HeightMap, line_x_mm: Float[np.ndarray, " ny"], half_width_mm: float = 150.0
) -> HeightMap:
    """Left-right asymmetry about a line: (z(x0 + o) - z(x0 - o)) / 2 over offsets o, row by row; odd in o.

    line_x_mm gives x0 on every row of `height`. The result's x_mm are the offsets, positive to the subject's
    right, where a positive value is a right-sided prominence. observed where both sides were.
    """
    line = np.asarray(line_x_mm, float)
    if line.shape != height.y_mm.shape:
        raise ValueError(f"asymmetry map: the line has {line.shape}, the height map {height.y_mm.shape} rows")
    n = max(1, int(half_width_mm / height.spacing_mm))
    offset = np.arange(-n, n + 1) * height.spacing_mm
    x, y = line[:, None] + offset, height.y_mm[:, None]
    z, seen = height.sample(x, y), height.is_observed(x, y)
    return HeightMap(offset, height.y_mm, (z - z[:, ::-1]) / 2, seen & seen[:, ::-1])


def smoothed(height: HeightMap, sigma_x_mm: float, sigma_y_mm: float) -> HeightMap:
    """The same map with z filtered by a Gaussian. Along y the back is smooth: sigma_y of 8-10 mm with sigma_x
    of 2-4 mm takes most of the noise away and keeps the furrow, which runs along y."""
    z = gaussian_filter1d(height.z_mm, sigma_y_mm / height.spacing_mm, axis=0, mode="nearest")
    z = gaussian_filter1d(z, sigma_x_mm / height.spacing_mm, axis=1, mode="nearest")
    return HeightMap(height.x_mm, height.y_mm, z, height.observed)


def _cell_keys(points_mm: np.ndarray, cell_mm: float) -> np.ndarray:
    """One number for each cell of (x, y)."""
    column, row = np.floor((points_mm[:, :2] - points_mm[:, :2].min(0)) / cell_mm).astype(np.int64).T
    return row * (column.max() + 1) + column


def _splat(
    column: np.ndarray, row: np.ndarray, z: np.ndarray, ny: int, nx: int
) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear weights and weighted heights of the points, summed per cell."""
    c0, r0 = np.floor(column).astype(int), np.floor(row).astype(int)
    fc, fr = column - c0, row - r0
    rows = np.concatenate([r0, r0, r0 + 1, r0 + 1])
    columns = np.concatenate([c0, c0 + 1, c0, c0 + 1])
    w = np.concatenate([(1 - fr) * (1 - fc), (1 - fr) * fc, fr * (1 - fc), fr * fc])
    flat = rows * nx + columns
    weight = np.bincount(flat, w, minlength=ny * nx)
    total = np.bincount(flat, w * np.tile(z, 4), minlength=ny * nx)
    return weight.reshape(ny, nx), total.reshape(ny, nx)


def filled(z: np.ndarray) -> np.ndarray:
    """NaN runs interpolated along the row, continued to its sides; empty rows between the nearest rows that
    are not."""
    z = z.copy()
    column = np.arange(z.shape[1])
    known = np.isfinite(z)
    rows = np.flatnonzero(known.any(1))
    for row in rows:
        z[row] = np.interp(column, column[known[row]], z[row, known[row]])
    row = np.arange(len(z))
    above = np.clip(np.searchsorted(rows, row), 0, len(rows) - 1)
    below = np.clip(np.searchsorted(rows, row, side="right") - 1, 0, len(rows) - 1)
    lower, upper = rows[below], rows[above]
    share = ((row - lower) / np.maximum(upper - lower, 1)).clip(0, 1)[:, None]
    return (1 - share) * z[lower] + share * z[upper]
