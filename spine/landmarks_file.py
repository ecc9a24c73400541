"""Landmarks as a file that a person can read, correct and pass back.

    {"version": 1, "unit": "mm", "edited": true, "vp": [x, y, z], "base": [x, y, z],
     "dimple_left": [x, y, z] or null, "dimple_right": ..., "spinous_line": [[x, y, z], ...]}

Points are in the coordinates of the scan, in the unit the file names (m, cm or mm), so that any viewer of the
scan shows them. VP is required, and the base or both dimples; without a spinous line of at least four points
it is found. What a person passes back counts as edited, whatever `edited` says: its points are trusted more
than found ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial import KDTree

from spine.landmarks import GivenLandmarks, LandmarkOptions, Landmarks, placed
from spine.skin_markers import find_markers
from spine.surface import MM_PER_UNIT, BackSurface
from suite.errors import BadInput, did_you_mean
from suite.files import atomic_write
from suite.geometry.rotations import se3_inverse, transform_points

VERSION = 1
OFF_SKIN_MM = 40.0
"""A landmark farther from every point of the scan than this does not belong to it."""
FEWEST_LINE_POINTS = 4
POINTS = ("vp", "base", "dimple_left", "dimple_right", "spinous_line")
KEYS = ("version", "unit", "edited", *POINTS)


def write_landmarks(path: str | Path, landmarks: Landmarks, surface: BackSurface) -> None:
    """The landmarks in the coordinates of the scan, with the points of the line that were seen; atomic."""
    T_input_body = se3_inverse(surface.T_body_input)

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
    write_content(path, content)


def write_content(path: str | Path, content: Mapping[str, Any]) -> None:
    """What such a file holds, a line for each point; atomic."""
    rows = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    with atomic_write(Path(path), "w") as out:
        out.write("{\n" + rows.replace("], [", "],\n    [") + "\n}\n")


def read_landmarks(
    path: str | Path, surface: BackSurface, options: LandmarkOptions | None = None
) -> tuple[BackSurface, Landmarks]:
    """A person's landmarks on this surface, which comes back in the body frame they define.

    Raises BadInput for a file that is not one, and for points that do not lie on the scan.
    """
    options = options or LandmarkOptions()
    given, flags = _given(Path(path), surface)
    turned, landmarks = placed(given, surface, None, "edited", options)
    if given.line_mm is None and options.markers:
        markers = find_markers(turned, landmarks.line)
        if markers is not None and markers.line_mm is not None:
            T = turned.T_body_input @ se3_inverse(surface.T_body_input)
            given = replace(given.transformed(T), line_mm=markers.line_mm)
            turned, landmarks = placed(given, turned, None, "edited", options)
    return turned, replace(landmarks, flags=flags + landmarks.flags)


def _given(path: Path, surface: BackSurface) -> tuple[GivenLandmarks, tuple[str, ...]]:
    """What the file says, in the frame of the surface, and what of it is left out."""
    content = _content(path)
    unit = content.get("unit", _unit(surface.mm_per_unit))
    if unit not in list(MM_PER_UNIT):
        raise BadInput(f"unit {unit!r} is not known", path, f"use one of {', '.join(MM_PER_UNIT)}")

    def points(key: str) -> np.ndarray | None:
        value = content.get(key)
        if value is None or value == []:
            return None
        array = _numbers(value, key, path)
        return transform_points(surface.T_body_input, array * MM_PER_UNIT[unit])

    vp, base, left, right, line = (points(key) for key in POINTS)
    if (left is None) != (right is None):
        lacking = "dimple_left" if left is None else "dimple_right"
        raise BadInput(f"{lacking} is missing", path, "give both dimples or none")
    if base is None and left is not None and right is not None:
        base = (left + right) / 2
    if vp is None or base is None:
        missing = "vp" if vp is None else "base"
        raise BadInput(f"{missing} is missing", path, "give vp, and base or both dimples, as [x, y, z]")
    _check_on_skin(surface, path, zip(POINTS, (vp, base, left, right, line), strict=True))
    if vp[1] <= base[1]:
        raise BadInput(
            f"vp lies {base[1] - vp[1]:.0f} mm below the base", path, "vp is at the neck, base at the sacrum"
        )
    if left is not None and right is not None and left[0] >= right[0]:
        raise BadInput("dimple_left lies to the right of dimple_right", path, "sides are those of the person")
    flags = ()
    if line is not None and len(np.unique(line[:, 1])) < FEWEST_LINE_POINTS:
        flags = (f"{len(line)} points of the spinous line in {path.name} are too few: the line was found",)
        line = None
    return GivenLandmarks(vp, base, left, right, line), flags


def _content(path: Path) -> dict[str, Any]:
    """The object in the file, with no key that is not known."""
    pattern = "take landmarks.json of a run as a pattern"
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise BadInput(f"the landmarks cannot be read: {error.strerror or error}", path) from error
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise BadInput(f"this is not JSON: {error.msg}", where, pattern) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise BadInput("this is not JSON", path, pattern) from error
    if not isinstance(content, dict):
        raise BadInput("the file must hold one JSON object", path, pattern)
    for key in content:
        if key not in KEYS:
            meant = did_you_mean(key, KEYS)
            hint = f"did you mean {meant!r}?" if meant else f"allowed: {', '.join(KEYS)}"
            raise BadInput(f"unknown key {key!r}", path, hint)
    if content.get("version", VERSION) != VERSION:
        raise BadInput(f"version {content['version']!r} is not known", path, f"this suite reads {VERSION}")
    return content


def _numbers(value: Any, key: str, path: Path) -> Float[np.ndarray, "*k 3"]:
    """[x, y, z], or a list of such for the line."""
    a_list = key == "spinous_line"
    try:
        array = np.array(value, float)
    except (ValueError, TypeError, OverflowError):
        array = np.empty(0)
    if array.ndim != 1 + a_list or array.shape[-1] != 3:
        raise BadInput(f"{key} must be {'a list of [x, y, z]' if a_list else '[x, y, z]'}", path)
    if not np.isfinite(array).all():
        raise BadInput(f"{key} holds a value that is not finite", path)
    return array


def _check_on_skin(
    surface: BackSurface, path: Path, landmarks: Iterable[tuple[str, np.ndarray | None]]
) -> None:
    tree = KDTree(surface.points_mm)
    for name, points in landmarks:
        if points is None:
            continue
        distance = np.atleast_1d(tree.query(points)[0])
        worst = int(distance.argmax())
        if distance[worst] > OFF_SKIN_MM:
            what = name if points.ndim == 1 else f"point {worst + 1} of {name}"
            raise BadInput(
                f"{what} lies {distance[worst]:.0f} mm outside the surface",
                path,
                "it is in the coordinates of the scan: check the unit, and that it belongs to this scan",
            )


def _unit(mm_per_unit: float) -> str:
    return min(MM_PER_UNIT, key=lambda unit: abs(MM_PER_UNIT[unit] - mm_per_unit))
