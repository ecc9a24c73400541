"""A scan of a bare back -> BackSurface: one person's skin, in mm, upright, seen from behind.

back_surface reads as the pipeline: units, wall, islands, upright frame, posterior layer, strays, checks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float, UInt8

from spine import cleaning
from spine.evidence import completeness_flags
from spine.heightmap import HeightMap, mean_point_distance, posterior_layer, rasterize
from spine.orientation import COARSE_MM, Axis, crop_to_trunk, upright
from spine.scan import Intrinsics, RawScan, read_scan
from spine.trunk_crop import between_landmarks, on_trunk
from suite.errors import BadInput

if TYPE_CHECKING:
    from spine.recorded import CaptureQuality

Units = Literal["auto", "m", "cm", "mm"]

MM_PER_UNIT = {"m": 1000.0, "cm": 10.0, "mm": 1.0}
PERSON_MM = (240.0, 2300.0)
"""Longest side of what is seen of a person: from a child's back to a tall adult from head to foot."""
ROOM_MM = 8000.0
"""Longest side of a person with the room around."""
MIN_POINTS = 2000
MAX_POINTS = 80_000
"""Denser clouds are thinned to about this: under 2 mm between points on a back, finer than any landmark."""
NOISY_MM, SPARSE_MM, HOLEY = 2.0, 4.0, 0.9
"""Noise above, distance between points above and coverage below which the surface carries a flag."""


@dataclass(frozen=True)
class BackSurface:
    """The skin of a back in the body frame (mm; x right, y up, z posterior).

    colors: uint8 RGB per point or None. T_body_input maps input points, scaled by mm_per_unit, into the frame
    of points_mm. noise_mm: standard deviation of single points along z, of a recording at least what
    averaging leaves. coverage: observed share of a band of +-110 mm about the middle of the back, from its
    lowest to its highest row. notes say what was detected or assumed; flags, what makes the result less
    certain. capture: how good the recording is, if it is one.
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
    capture: CaptureQuality | None = None
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
    intrinsics: Intrinsics | None = None,
    depth_unit_m: float = 0.001,
) -> BackSurface:
    """The back in a scan file, a depth image with intrinsics, or the folder of an RGB-D recording (see
    read_scan).

    units, up and facing (from the person to the viewer behind) are found where they are not stated, and said
    in the notes. Raises BadInput where there is no back to be found.
    """
    return back_surface(
        read_scan(path, intrinsics, depth_unit_m), units=units, up=up, facing=facing, where=str(path)
    )


def back_surface(
    scan: RawScan | Float[np.ndarray, "n 3"],
    *,
    units: Units = "auto",
    up: Axis = "auto",
    facing: Axis = "auto",
    where: str | None = None,
) -> BackSurface:
    """The back in a raw scan, or in points in file units; `where` names it in errors. Raises as
    load_surface."""
    raw = scan if isinstance(scan, RawScan) else RawScan(np.asarray(scan, float))
    points, colors, notes = raw.points, raw.colors, list(raw.notes)

    def keep(which: np.ndarray, what: str | None = None) -> None:
        nonlocal points, colors
        lost = int(len(points) - (which.sum() if which.dtype == bool else len(which)))
        if what and lost:
            notes.append(f"{lost} points left out: {what}")
        points, colors = points[which], None if colors is None else colors[which]

    keep(np.isfinite(points).all(1) & (points != 0).any(1), "not finite, or zero")
    _check_count(len(points), where)
    mm_per_unit, note = _mm_per_unit(points, units if units != "auto" else raw.unit or "auto", units, where)
    notes.append(note)
    points = points * mm_per_unit

    for _ in range(3):  # a wall, a floor, another wall
        wall = cleaning.on_wall(points)
        if not wall.any():
            break
        keep(~wall, "a wall or a floor")
    _check_count(len(points), where)
    largest, islands = cleaning.in_largest_component(points, max(12.0, 2.5 * mean_point_distance(points)))
    keep(largest, f"{islands - 1} islands apart from the person")
    _check_count(len(points), where)
    _check_size(points, where)

    if raw.capture is not None:  # a camera sees head, arms and legs as well
        keep(on_trunk(points @ _seen_from(raw, points, up, facing, where).T), "head, legs and arms")
        _check_count(len(points), where)
    frame = upright(points, up, facing, raw.down, where, from_camera=raw.capture is not None)
    T = np.eye(4)
    T[:3, :3] = frame.R_body_input
    points = points @ T[:3, :3].T
    keep(crop_to_trunk(points), "head, legs and arms")
    keep(posterior_layer(points), "hidden behind other skin")
    if len(points) > MAX_POINTS:
        n = len(points)
        points, first = cleaning.thin_out(points, _voxel_for(points, MAX_POINTS))
        colors = None if colors is None else colors[first]
        notes.append(f"thinned from {n} to {len(points)} points")
    keep(cleaning.is_inlier(points), "strays")
    if raw.capture is not None:
        keep(between_landmarks(points), "beyond the ends of the back")
    _check_count(len(points), where)
    T[:3, 3] = -np.median(points, axis=0)
    points = points + T[:3, 3]

    coarse = rasterize(points, COARSE_MM)
    flags = [*frame.flags, *completeness_flags(coarse, frame.evidence, where)]
    noise, coverage, distance = (
        cleaning.point_noise_mm(points),
        _coverage(coarse),
        mean_point_distance(points),
    )
    if raw.capture is not None:  # neighbouring pixels of a camera share errors
        noise = float(np.fmax(noise, raw.capture.merged_noise_mm))
    if noise > NOISY_MM:
        flags.append(f"noisy: points scatter by {noise:.1f} mm")
    if distance > SPARSE_MM:
        flags.append(f"sparse: {distance:.1f} mm between points")
    if coverage < HOLEY:
        flags.append(f"holes: {coverage:.0%} of the back is seen")
    notes += frame.notes
    return BackSurface(
        points,
        colors,
        T,
        mm_per_unit,
        frame.gravity_known,
        noise,
        coverage,
        tuple(notes),
        tuple(flags),
        raw.capture,
    )


def _seen_from(
    raw: RawScan, points: np.ndarray, up: Axis, facing: Axis, where: str | None
) -> Float[np.ndarray, "3 3"]:
    """Body axes as rows, as far as a camera tells them: gravity and where it looks from, else the shape."""
    if raw.down is None or up != "auto" or facing != "auto":
        return upright(points, up, facing, raw.down, where, on_trunk, from_camera=True).R_body_input
    y = -raw.down / np.linalg.norm(raw.down)
    z = np.array([0.0, 0.0, -1.0]) + y[2] * y
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z])


def align_to_body(
    surface: BackSurface, vp_mm: Float[np.ndarray, " 3"], base_mm: Float[np.ndarray, " 3"]
) -> BackSurface:
    """The surface in the body frame proper: origin at the base, yawed so that the back faces the viewer.

    Yaw about the vertical takes the slope in x from a robust plane z ~ 1 + (x - chord(y)) + y, fitted over
    5-75 % of the height from base_mm to vp_mm and +-110 mm about the chord between them. Up stays as it was.
    Both points are in the surface's frame; the slope is taken out to within 1e-4.
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
    coefficient = np.linalg.lstsq(A, z, rcond=None)[0]
    for _ in range(10):  # Huber, 15 mm
        residual = np.abs(z - A @ coefficient)
        weight = np.sqrt(np.minimum(1, 15 / np.maximum(residual, 1e-9)))
        coefficient = np.linalg.lstsq(A * weight[:, None], z * weight, rcond=None)[0]
    return float(coefficient[1])


def _check_count(n: int, where: str | None) -> None:
    if n < MIN_POINTS:
        raise BadInput(
            f"{n} points are too few for a back" if n else "holds no point of a person",
            where,
            f"at least {MIN_POINTS} are needed; export the scan again, less thinned",
        )


def _check_size(points: np.ndarray, where: str | None) -> None:
    size = np.ptp(np.percentile(points, [0.5, 99.5], axis=0), axis=0).max()
    if not PERSON_MM[0] <= size <= PERSON_MM[1]:
        raise BadInput(
            f"the largest thing in it is {size / 1000:.3g} m across: no back found",
            where,
            "crop the scan to the person, or state the units (m, cm or mm)",
        )


def _mm_per_unit(points: np.ndarray, unit: str, asked: str, where: str | None) -> tuple[float, str]:
    """The unit given, or the one in which the cloud has the size of a person, else of a room."""
    extent = float(np.ptp(np.percentile(points, [0.5, 99.5], axis=0), axis=0).max())
    fits = [u for u, scale in MM_PER_UNIT.items() if PERSON_MM[0] <= extent * scale <= PERSON_MM[1]]
    fits += [u for u, scale in MM_PER_UNIT.items() if PERSON_MM[1] < extent * scale <= ROOM_MM]
    if unit == "auto" and fits:
        return MM_PER_UNIT[
            fits[0]
        ], f"units: {fits[0]} (detected; extent {extent * MM_PER_UNIT[fits[0]] / 1000:.2f} m)"
    said = unit if unit != "auto" else "m"
    size = extent * MM_PER_UNIT[said] / 1000
    if unit != "auto" and PERSON_MM[0] <= 1000 * size <= ROOM_MM:
        return MM_PER_UNIT[
            unit
        ], f"units: {unit} ({'stated' if asked != 'auto' else 'of the format'}; extent {size:.2f} m)"
    text = f"{size:.3g} m" if size >= 0.01 else f"{1000 * size:.2g} mm"
    hint = (
        f"the file looks to be in {fits[0]}: pass --units {fits[0]}"
        if fits
        else "state the units (m, cm or mm)"
    )
    raise BadInput(f"extent {text} (read in {said}): no person", where, hint)


def _voxel_for(points: np.ndarray, target: int) -> float:
    """Voxel edge at which a surface keeps about `target` points: its area is counted in cells of 10 mm."""
    cells = len(np.unique(np.floor(points / 10.0).astype(np.int64) @ np.array([1, 10_000, 100_000_000])))
    return float(np.sqrt(100.0 * cells / target))


def _coverage(height: HeightMap) -> float:
    rows = height.observed.sum(1) * height.spacing_mm > 80
    middle = np.median(np.broadcast_to(height.x_mm, height.z_mm.shape)[height.observed])
    band = np.abs(height.x_mm - middle) <= 110
    first, last = np.flatnonzero(rows)[[0, -1]] if rows.any() else (0, len(rows) - 1)
    return float(height.observed[first : last + 1, band].mean())
