"""Which of the points are the object's, and the box around them.

All in an upright frame: y up, the ground (where it is known) at y = 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from nerfrecon.object.frame import boxed
from nerfrecon.scene import View

FEWEST_POINTS = 20
_AGREED = 0.6
"""Share of the pictures that a point of the object lies in."""
_ABOVE = 0.006
"""In distances of the cameras: lower points are the ground's."""
_REACH = 0.6
_CELL = 0.03
_GAP = 2
"""Cells between parts of one object."""


def object_points(
    positions: Float[np.ndarray, "n 3"],
    views: Sequence[View],
    centre: Float[np.ndarray, " 3"],
    grounded: bool,
    thickness: float | int = 0.0,
) -> Bool[np.ndarray, " n"]:
    """Points above the ground, in the place that most pictures show, that hang together."""
    from scipy.ndimage import binary_dilation, label

    cameras = np.stack([view.position for view in views])
    distance = float(np.median(np.linalg.norm(cameras - centre, axis=1)))
    offset = positions - centre
    here = np.linalg.norm(offset, axis=1) < _REACH * distance
    if grounded:
        here &= positions[:, 1] > max(_ABOVE * distance, 3.5 * thickness)
    rows = np.flatnonzero(here)
    if not len(rows):
        return here
    shown = np.mean([view.camera.contains(view.project(positions[rows])) for view in views], axis=0)
    rows = rows[shown >= _AGREED]
    rows = rows[~_lonely(positions[rows])]
    here[:] = False
    if not len(rows):
        return here
    cell = _CELL * distance
    place = np.floor(offset[rows] / cell).astype(np.int64)
    place -= place.min(0) - _GAP
    grid = np.zeros(place.max(0) + _GAP + 1, bool)
    grid[tuple(place.T)] = True
    thick = binary_dilation(grid, np.ones((3, 3, 3)), iterations=_GAP // 2)
    parts = np.zeros(grid.shape, np.int32)
    label(thick, output=parts)
    part = parts[tuple(place.T)]
    across = offset[rows][:, [0, 2]] if grounded else offset[rows]
    weight = np.exp(-((across**2).sum(1)) / (0.2 * distance) ** 2)
    here[rows[part == np.bincount(part, weight).argmax()]] = True
    return here


def points_box(positions: Float[np.ndarray, "n 3"], grounded: bool) -> Float[np.ndarray, "2 3"]:
    """Around all but the outermost of points: half a percent on every side."""
    box = np.quantile(positions, [0.005, 0.995], axis=0)
    if grounded:
        box[0, 1] = 0.0
    return box


def tightest_turn(flat: Float[np.ndarray, "n 2"]) -> float:
    """Angle (radians, within 45 degrees) about y by which points (x, z) fill the smallest rectangle along the
    axes; 0 where turning gains less than 2 %."""
    import cv2

    hull = cv2.convexHull(flat.astype(np.float32))[:, 0].astype(np.float64)

    def area(angle: float) -> float:
        c, s = np.cos(angle), np.sin(angle)
        low, high = boxed(np.column_stack([hull @ [c, s], hull @ [-s, c], 0 * hull[:, 0]]))
        return float((high - low)[0] * (high - low)[1])

    angles = np.deg2rad(np.linspace(-45, 45, 181))
    areas = [area(angle) for angle in angles]
    best = float(angles[int(np.argmin(areas))])
    return best if min(areas) < 0.98 * area(0.0) else 0.0


def _lonely(points: np.ndarray) -> np.ndarray:
    """Points whose neighbours are far, as points go: mostly mistakes."""
    from scipy.spatial import KDTree

    if len(points) < 12:
        return np.zeros(len(points), bool)
    far = KDTree(points).query(points, k=7)[0][:, 1:].mean(1)
    return far > 6 * np.median(far)
