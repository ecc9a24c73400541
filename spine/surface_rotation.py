"""Rotation of the skin across the spinous line: the azimuth of its outward normal.

Around each point of the line z = a + b (x - x0) + c (y - y0) + d (x - x0)^2 is fitted by least squares to the
seen skin within a window; the rotation is atan(-b), positive where the normal points to the subject's right.
Windows of +-35 to +-65 mm carry the rotation of the vertebrae best (Drerup & Hierholzer, J Biomech
1994;27:1217 use the local symmetry of curvature for the same purpose).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from spine.heightmap import HeightMap

HALF_HEIGHT_MM = 15.0
STEP_MM = 3.0
LEAST_SHARE = 0.4
"""Share of a window's either side that must be seen."""


def surface_rotation_rad(
    height: HeightMap,
    x_mm: Float[np.ndarray, " m"],
    y_mm: Float[np.ndarray, " m"],
    half_width_mm: float,
) -> Float[np.ndarray, " m"]:
    """Rotation at the points (x, y) of the line; NaN where too little skin is seen on either side."""
    dx, dy = (grid.ravel() for grid in np.meshgrid(_even(half_width_mm), _even(HALF_HEIGHT_MM)))
    x, y = x_mm[:, None] + dx, y_mm[:, None] + dy
    seen = height.is_observed(x, y)
    design = np.stack([np.ones_like(dx), dx, dy, dx**2], axis=1) / [
        1.0,
        half_width_mm,
        HALF_HEIGHT_MM,
        half_width_mm**2,
    ]
    weighted = seen[:, :, None] * design
    gram = np.einsum("nki,kj->nij", weighted, design) + 1e-9 * np.eye(4)
    z = height.sample(x, y)
    slope = np.linalg.solve(gram, np.einsum("nki,nk->ni", weighted, z)[..., None])[:, 1, 0] / half_width_mm
    sides = [seen[:, side].mean(1) for side in (dx < 0, dx > 0)]
    return np.where(np.minimum(*sides) >= LEAST_SHARE, np.arctan(-slope), np.nan)


def mean_rotation_rad(
    height: HeightMap,
    x_mm: Float[np.ndarray, " m"],
    y_mm: Float[np.ndarray, " m"],
    half_widths_mm: Sequence[float],
) -> Float[np.ndarray, " m"]:
    """Mean over several windows, which is steadier than any one; NaN where one of them sees too little."""
    return np.mean([surface_rotation_rad(height, x_mm, y_mm, width) for width in half_widths_mm], axis=0)


def _even(half_mm: float) -> Float[np.ndarray, " n"]:
    """Places from -half to half about STEP_MM apart: as many on either side, or a mirrored back would not
    turn the other way by as much."""
    return np.linspace(-half_mm, half_mm, 2 * max(1, round(half_mm / STEP_MM)) + 1)
