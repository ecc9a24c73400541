"""Landmarks as a file that a person can read, correct and pass back.

    {"version": 1, "unit": "mm", "edited": true, "vp": [x, y, z], "base": [x, y, z],
     "dimple_left": [x, y, z] or null, "dimple_right": ..., "spinous_line": [[x, y, z], ...]}

Points are in the coordinates of the scan, in the unit the file names (m, cm or mm), so that any viewer of the
scan shows them. VP is required, and the base or both dimples; without a spinous line of at least four points
it is found. What a person passes back counts as edited: its points are trusted more than found ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from scipy.spatial import KDTree

from spine.heightmap import HeightMap
from spine.observations import LineObservation
from spine.surface import MM_PER_UNIT, BackSurface
from suite.errors import BadInput, did_you_mean
from suite.files import atomic_write
from suite.geometry.rotations import transform_points

if TYPE_CHECKING:
    from spine.landmarks import LandmarkOptions, Landmarks

VERSION = 1
OFF_SKIN_MM = 40.0
"""A landmark farther from every point of the scan than this does not belong to it."""
EDITED_SIGMA_MM = 1.5
EDITED_HEIGHT_SIGMA_MM = 3.0
FEWEST_LINE_POINTS = 4
KEYS = ("version", "unit", "edited", "vp", "base", "dimple_left", "dimple_right", "spinous_line")

Point = Float[np.ndarray, " 3"]


@dataclass(frozen=True)
class GivenLandmarks:
    """Landmarks somebody gave, in the frame of the surface (mm)."""

    vp_mm: Point
    base_mm: Point
    dimple_left_mm: Point | None = None
    dimple_right_mm: Point | None = None
    line_mm: Float[np.ndarray, "k 3"] | None = None


def write_landmarks(path: str | Path, landmarks: Landmarks, surface: BackSurface) -> None:
    """The landmarks in the coordinates of the scan, with `edited: false`; atomic."""
    T_input_body = np.linalg.inv(surface.T_body_input)

    def in_scan(points: np.ndarray) -> list:
        return np.round(transform_points(T_input_body, points) / surface.mm_per_unit, 6).tolist()

    line = landmarks.line
    seen = line.seen
    content = {
        "version": VERSION,
        "unit": _unit(surface.mm_per_unit),
        "edited": landmarks.source == "edited",
        "vp": in_scan(landmarks.vp_mm),
        "base": in_scan(landmarks.base_mm),
        "dimple_left": None if landmarks.dimple_left_mm is None else in_scan(landmarks.dimple_left_mm),
        "dimple_right": None if landmarks.dimple_right_mm is None else in_scan(landmarks.dimple_right_mm),
        "spinous_line": in_scan(np.stack([line.x_mm[seen], line.y_mm[seen], line.z_mm[seen]], axis=1)),
    }
    rows = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    with atomic_write(Path(path), "w") as out:
        out.write("{\n" + rows.replace("], [", "],\n    [") + "\n}\n")


def read_landmarks(
    path: str | Path, surface: BackSurface, options: LandmarkOptions | None = None
) -> tuple[BackSurface, Landmarks]:
    """A person's landmarks on this surface, which comes back in the body frame they define.

    Raises BadInput for a file that is not one, and for points that do not lie on the scan.
    """
    from spine.landmarks import LandmarkOptions, find_landmarks

    path, options = Path(path), options or LandmarkOptions()
    given = _read(path, surface)
    found_on = None
    if given.line_mm is None:
        found_on = find_landmarks(surface, options)
        T = found_on[0].T_body_input @ np.linalg.inv(surface.T_body_input)
        given, surface = _transformed(given, T), found_on[0]
    return placed(given, surface, None if found_on is None else found_on[1], "edited", options)


def placed(
    given: GivenLandmarks,
    surface: BackSurface,
    found: Landmarks | None,
    source: Literal["edited", "markers"],
    options: LandmarkOptions,
) -> tuple[BackSurface, Landmarks]:
    """Given landmarks in the body frame they define, with the found line where none is given."""
    from spine.dimples import find_dimples
    from spine.landmarks import Landmarks, aligned, observe_line

    turned, vp, base = aligned(surface, given.vp_mm, given.base_mm)
    T = turned.T_body_input @ np.linalg.inv(surface.T_body_input)
    given = _transformed(given, T)
    height = turned.height()
    if given.line_mm is not None:
        order = np.argsort(given.line_mm[:, 1])
        y, x = given.line_mm[order, 1], given.line_mm[order, 0]
        keep = np.concatenate([[True], np.diff(y) > 1e-6])
        rows = np.arange(y[0], y[-1] + 1e-9, 6.0)
        line = observe_line(
            height,
            PchipInterpolator(y[keep], x[keep])(rows),
            rows,
            np.full(len(rows), EDITED_SIGMA_MM),
            options,
        )
        line_confidence = 1.0
    else:
        assert found is not None
        line = _carried(found.line, T, height, options)
        line_confidence = found.confidence["line"]
    dimples = (given.dimple_left_mm, given.dimple_right_mm)
    dimple_confidence = 1.0
    if dimples[0] is None or dimples[1] is None:
        seen, dimple_confidence = find_dimples(height)
        dimples = (None, None) if seen is None else (seen[0], seen[1])
    confidence = {"vp": 1.0, "base": 1.0, "line": line_confidence, "dimples": dimple_confidence}
    sigma = EDITED_HEIGHT_SIGMA_MM
    return turned, Landmarks(vp, base, sigma, sigma, *dimples, line, source, confidence, ())


def _carried(
    line: LineObservation, T: np.ndarray, height: HeightMap, options: LandmarkOptions
) -> LineObservation:
    """A found line in the frame that T leads to, measured there."""
    from spine.landmarks import observe_line

    points = transform_points(T, np.stack([line.x_mm, line.y_mm, np.nan_to_num(line.z_mm)], axis=1))
    return observe_line(height, points[:, 0], points[:, 1], line.sigma_mm, options)


def _read(path: Path, surface: BackSurface) -> GivenLandmarks:
    where = str(path)
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"the landmarks cannot be read: {error.strerror or error}", where) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        line = f":{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInput(
            f"not a JSON file: {error}", where + line, "take landmarks.json of a run as a pattern"
        ) from error
    if not isinstance(content, dict):
        raise BadInput(
            "the file must hold one JSON object", where, "take landmarks.json of a run as a pattern"
        )
    for key in content:
        if key not in KEYS:
            meant = did_you_mean(key, KEYS)
            raise BadInput(
                f"unknown key {key!r}",
                where,
                f"did you mean {meant!r}?" if meant else f"allowed: {', '.join(KEYS)}",
            )
    unit = content.get("unit", _unit(surface.mm_per_unit))
    if unit not in MM_PER_UNIT:
        raise BadInput(f"unit {unit!r} is not known", where, f"use one of {', '.join(MM_PER_UNIT)}")

    def points(key: str, shape: tuple[int, ...]) -> np.ndarray | None:
        value: Any = content.get(key)
        if value is None:
            return None
        try:
            array = np.array(value, float).reshape(shape)
        except (ValueError, TypeError) as error:
            raise BadInput(
                f"{key} must be {'[x, y, z]' if shape == (3,) else 'a list of [x, y, z]'}", where
            ) from error
        if not np.isfinite(array).all():
            raise BadInput(f"{key} holds a value that is not finite", where)
        return transform_points(surface.T_body_input, array * MM_PER_UNIT[unit])

    vp, base = points("vp", (3,)), points("base", (3,))
    left, right = points("dimple_left", (3,)), points("dimple_right", (3,))
    line = points("spinous_line", (-1, 3))
    if line is not None and len(line) < FEWEST_LINE_POINTS:
        line = None
    if base is None and left is not None and right is not None:
        base = (left + right) / 2
    if vp is None or base is None:
        missing = "vp" if vp is None else "base"
        raise BadInput(f"{missing} is missing", where, "give vp, and base or both dimples, as [x, y, z]")
    _check_on_skin(surface, where, vp=vp, base=base, dimple_left=left, dimple_right=right, spinous_line=line)
    return GivenLandmarks(vp, base, left, right, line)


def _check_on_skin(surface: BackSurface, where: str, **landmarks: np.ndarray | None) -> None:
    tree = KDTree(surface.points_mm)
    for name, points in landmarks.items():
        if points is None:
            continue
        distance = np.atleast_1d(tree.query(np.atleast_2d(points))[0])
        worst = int(distance.argmax())
        if distance[worst] > OFF_SKIN_MM:
            what = name if points.ndim == 1 else f"point {worst + 1} of {name}"
            raise BadInput(
                f"{what} lies {distance[worst]:.0f} mm outside the surface",
                where,
                "it is in the coordinates of the scan: check the unit, and that it belongs to this scan",
            )


def _transformed(given: GivenLandmarks, T: np.ndarray) -> GivenLandmarks:
    def moved(points: np.ndarray | None) -> np.ndarray | None:
        return None if points is None else transform_points(T, points)

    vp, base = transform_points(T, given.vp_mm), transform_points(T, given.base_mm)
    return GivenLandmarks(
        vp, base, moved(given.dimple_left_mm), moved(given.dimple_right_mm), moved(given.line_mm)
    )


def _unit(mm_per_unit: float) -> str:
    return min(MM_PER_UNIT, key=lambda unit: abs(MM_PER_UNIT[unit] - mm_per_unit))
