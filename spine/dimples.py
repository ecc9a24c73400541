"""Lumbar dimples: two small hollows over the posterior superior iliac spines, where they show.

A dimple is a spot where the skin curves away from the viewer in every direction (cup: both principal
curvatures negative; Drerup & Hierholzer, J Biomech 1987;20:961 find them by Gaussian and mean curvature). The
deepest cup on either side is taken if both are clear, of like height and at a like distance from the line.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from spine.heightmap import HeightMap, curvature_maps

ASIDE_MM = (22.0, 62.0)
HEIGHT_MM = (-35.0, 45.0)
SMOOTHING_MM = 6.0
CUP_PER_MM = 0.006
"""Curvature of a clear dimple (radius under 170 mm in its flattest direction)."""
UNLIKE_MM = 18.0

Dimples = tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]] | tuple[None, None]


def find_dimples(height: HeightMap) -> tuple[Dimples, float]:
    """Left and right dimple in the body frame (mm) and a confidence of 0 to 1; both None, 0 where they do not
    show."""
    curvature = curvature_maps(height, SMOOTHING_MM)
    x, y = np.meshgrid(height.x_mm, height.y_mm)
    cup = np.where(curvature.valid, -curvature.k1_per_mm, -np.inf)
    here = (y >= HEIGHT_MM[0]) & (y <= HEIGHT_MM[1])
    sides = [here & (side * x >= ASIDE_MM[0]) & (side * x <= ASIDE_MM[1]) for side in (-1, 1)]
    on_left, on_right = (_deepest(height, cup, side) for side in sides)
    if on_left is None or on_right is None:
        return (None, None), 0.0
    (left, left_cup), (right, right_cup) = on_left, on_right
    unlike = np.hypot(left[1] - right[1], left[0] + right[0])
    if unlike > UNLIKE_MM:
        return (None, None), 0.0
    clear = min(left_cup, right_cup) / CUP_PER_MM
    return (left, right), float(np.clip(0.5 * clear * (1 - unlike / (2 * UNLIKE_MM)), 0, 1))


def _deepest(
    height: HeightMap, cup: Float[np.ndarray, "ny nx"], where: Bool[np.ndarray, "ny nx"]
) -> tuple[Float[np.ndarray, " 3"], float] | None:
    """The spot that is most of a cup, if it is one and not just the edge of what was searched."""
    searched = np.where(where, cup, -np.inf)
    row, column = np.unravel_index(np.argmax(searched), cup.shape)
    value = float(searched[row, column])
    if not value >= CUP_PER_MM:
        return None
    around = cup[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    if value < around.max():
        return None
    return np.array([height.x_mm[column], height.y_mm[row], height.z_mm[row, column]]), value
