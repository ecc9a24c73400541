"""A scan of a bare back -> BackSurface: one person's skin, in mm, upright, seen from behind.

load_surface reads as the pipeline: read, units, wall, outliers, islands, upright frame, posterior layer, checks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from spine import cleaning
from spine.heightmap import HeightMap, rasterize
from spine.orientation import Axis, upright
from suite.errors import BadInput

Units = Literal["auto", "m", "cm", "mm"]

MM_PER_UNIT = {"m": 1000.0, "cm": 10.0, "mm": 1.0}
PERSON_MM = (200.0, 2300.0)
"""Longest side of what is seen of a person: from a strip of a child's back to a tall adult from head to foot."""
MIN_POINTS = 2000
MAX_POINTS = 80_000
"""Denser clouds are thinned to this: 2 mm between points on a back, finer than any landmark."""


@dataclass(frozen=True)
class BackSurface:
    """The skin of a back in the body frame (mm; x right, y up, z posterior).

    colors: uint8 RGB per point or None. T_body_input maps input points, scaled by mm_per_unit, into the frame of
    points_mm. noise_mm: standard deviation of single points along z. coverage: observed share of a band of +-110 mm about
    the middle of the back, from its lowest to its highest row. notes say what was detected or assumed; flags, what makes
    the result less certain.
    """

    points_mm: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"] | None
    T_body_input: Float[np.ndarray, "4 4"]
    mm_per_unit: float
    gravity_known: bool
    noise_mm: float
    coverage: float
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    _heights: dict[float, HeightMap] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.points_mm.ndim != 2 or self.points_mm.shape[1] != 3 or not np.isfinite(self.points_mm).all():
            raise ValueError("back surface: points_mm must be finite (n, 3)")
        if self.colors is not None and self.colors.shape != self.points_mm.shape:
            raise ValueError(
                f"back surface: colors {self.colors.shape} must match points {self.points_mm.shape}"
            )
        if self.T_body_input.shape != (4, 4):
            raise ValueError("back surface: T_body_input must be (4, 4)")

    def height(self, spacing_mm: float = 2.0) -> HeightMap:
        """The height map at this spacing; computed once."""
        if spacing_mm not in self._heights:
            self._heights[spacing_mm] = rasterize(self.points_mm, spacing_mm)
        return self._heights[spacing_mm]

    def normals(self) -> Float[np.ndarray, "n 3"]:
        """Unit normals towards the viewer."""
        return cleaning.normals_of(self.points_mm)

    def transformed(self, T_new_body: Float[np.ndarray, "4 4"]) -> BackSurface:
        """The same surface in another frame: points, and T_body_input with them."""
        points = self.points_mm @ T_new_body[:3, :3].T + T_new_body[:3, 3]
        return replace(self, points_mm=points, T_body_input=T_new_body @ self.T_body_input)


def load_surface(
    path: str | Path,
    *,
    units: Units = "auto",
    up: Axis = "auto",
    facing: Axis = "auto",
    intrinsics: Any = None,
) -> BackSurface:
    """Read a scan (PLY, OBJ, PCD, GLB, STL) as a BackSurface. Raises BadInput where it is none."""
    points, colors = _read(Path(path), intrinsics)
    return back_surface(points, colors, units=units, up=up, facing=facing, where=str(path))


def back_surface(
    points: Float[np.ndarray, "n 3"],
    colors: UInt8[np.ndarray, "n 3"] | None = None,
    *,
    units: Units = "auto",
    up: Axis = "auto",
    facing: Axis = "auto",
    where: str | None = None,
) -> BackSurface:
    """A BackSurface from points in file units."""
    points = np.asarray(points, float)
    finite = np.isfinite(points).all(1)
    points, colors = points[finite], None if colors is None else colors[finite]
    if len(points) < MIN_POINTS:
        raise BadInput(
            f"{len(points)} points are too few for a back", where, f"at least {MIN_POINTS} are needed"
        )
    mm_per_unit, note = _mm_per_unit(points, units, where)
    points = points * mm_per_unit
    keep = cleaning.is_inlier(points)
    points, colors = points[keep], None if colors is None else colors[keep]
    keep, _ = cleaning.in_largest_component(points)
    points, colors = points[keep], None if colors is None else colors[keep]
    frame = upright(points, up, facing)
    T = np.eye(4)
    T[:3, :3] = frame.R_body_input
    T[:3, 3] = -frame.R_body_input @ np.median(points, axis=0)
    points = points @ T[:3, :3].T + T[:3, 3]
    return BackSurface(
        points,
        colors,
        T,
        mm_per_unit,
        frame.gravity_known,
        cleaning.point_noise_mm(points),
        _coverage(rasterize(points)),
        (note, *frame.notes),
    )


def _read(path: Path, intrinsics: Any) -> tuple[np.ndarray, np.ndarray | None]:
    from suite.geometry.mesh import Mesh
    from suite.geometry.mesh_io import read_geometry

    geometry = read_geometry(path)
    if isinstance(geometry, Mesh):
        return geometry.vertices, geometry.vertex_colors
    return geometry.points, geometry.colors


def _mm_per_unit(points: np.ndarray, units: Units, where: str | None) -> tuple[float, str]:
    low, high = np.percentile(points, [0.5, 99.5], axis=0)
    extent = float((high - low).max())
    for unit in ("m", "mm", "cm") if units == "auto" else (units,):
        size = extent * MM_PER_UNIT[unit]
        if PERSON_MM[0] <= size <= PERSON_MM[1]:
            said = "stated" if units != "auto" else "detected"
            return MM_PER_UNIT[unit], f"units: {unit} ({said}; extent {size / 1000:.2f} m)"
    size = extent * MM_PER_UNIT["m" if units == "auto" else units] / 1000
    raise BadInput(f"extent {size:.4g} m: no person", where, "pass --units m, cm or mm")


def _coverage(height: HeightMap) -> float:
    middle = np.median(np.broadcast_to(height.x_mm, height.z_mm.shape)[height.observed])
    band = np.abs(height.x_mm - middle) <= 110
    return float(height.observed[:, band].mean())


def align_to_body(
    surface: BackSurface, vp_mm: Float[np.ndarray, " 3"], base_mm: Float[np.ndarray, " 3"]
) -> BackSurface:
    """The surface in the body frame proper: origin at the base, yawed so that the back faces the viewer.

    Yaw about the vertical takes the slope in x from a robust plane z ~ 1 + (x - chord(y)) + y, fitted over 5-75 % of the
    height from base_mm to vp_mm and +-110 mm about the chord between them. Up stays as it was. Both points are in the
    surface's frame; the slope is taken out to within 1e-4.
    """
    base, vp = np.asarray(base_mm, float), np.asarray(vp_mm, float)
    if vp[1] - base[1] < 100:
        raise BadInput(
            f"the vertebra prominens stands {vp[1] - base[1]:.0f} mm above the base",
            "landmarks",
            "it must be at least 100 mm",
        )
    T = np.eye(4)
    T[:3, 3] = -base
    for _ in range(6):
        points = surface.points_mm @ T[:3, :3].T + T[:3, 3]
        slope = _slope_in_x(points, T[:3, :3] @ vp + T[:3, 3])
        yaw = np.arctan(slope)
        c, s = np.cos(yaw), np.sin(yaw)
        T = np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1.0]]) @ T
        if abs(slope) < 1e-5:
            break
    return surface.transformed(T)


def _slope_in_x(points: np.ndarray, vp: np.ndarray) -> float:
    u = points[:, 1] / vp[1]
    x = points[:, 0] - u * vp[0]
    band = (u > 0.05) & (u < 0.75) & (np.abs(x) < 110)
    if band.sum() < 100:
        raise BadInput("there is no skin between the landmarks", "landmarks", "place them on the back")
    A = np.stack([np.ones(band.sum()), x[band], points[band, 1]], axis=1)
    z = points[band, 2]
    weight = np.ones(len(z))
    for _ in range(10):  # Huber, 15 mm
        coefficient = np.linalg.lstsq(A * weight[:, None], z * weight, rcond=None)[0]
        residual = np.abs(z - A @ coefficient)
        weight = np.sqrt(np.minimum(1, 15 / np.maximum(residual, 1e-9)))
    return float(coefficient[1])
