"""Posture of the trunk and the pelvis from skin landmarks: imbalance, inclination, pelvic tilt and torsion.

Definitions after rasterstereography (Degenhardt et al., Scoliosis Spinal Disord 2017;12:28, table 1; pelvic
torsion also Lippold et al., BMC Musculoskelet Disord 2012;13:151, fig. 3). The body's y is the vertical, so
gravity matters here. All signs are the subject's: right positive, forward positive, the right dimple higher
positive.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from spine.heightmap import HeightMap

_DIMPLE_RADIUS_MM = 15.0


def imbalance(top_mm: Float[np.ndarray, "*batch 3"], base_mm: Float[np.ndarray, "*batch 3"]) -> tuple:
    """Lateral distance of the upper point from the vertical through the lower one, mm, and its angle, deg."""
    d = np.asarray(top_mm) - base_mm
    return d[..., 0], np.degrees(np.arctan2(d[..., 0], d[..., 1]))


def inclination(top_mm: Float[np.ndarray, "*batch 3"], base_mm: Float[np.ndarray, "*batch 3"]) -> tuple:
    """The same to the front: mm and deg by which the upper point lies before the lower one."""
    d = np.asarray(top_mm) - base_mm
    return -d[..., 2], np.degrees(np.arctan2(-d[..., 2], d[..., 1]))


def pelvic_tilt(left_mm: Float[np.ndarray, " 3"], right_mm: Float[np.ndarray, " 3"]) -> tuple[float, float]:
    """Height of the right dimple over the left one, mm, and the angle of the line between them, deg."""
    d = np.asarray(right_mm, np.float64) - left_mm
    return float(d[1]), float(np.degrees(np.arctan2(d[1], np.hypot(d[0], d[2]))))


def pelvic_torsion_deg(
    surface: HeightMap, left_mm: Float[np.ndarray, " 3"], right_mm: Float[np.ndarray, " 3"]
) -> float | None:
    """Difference of the skin's vertical inclination at the two dimples, deg; None where it was not measured.

    Positive when the right side of the pelvis is turned backwards (its skin faces lower than on the left
    side).
    """
    left, right = (_downward_deg(surface, np.asarray(point)) for point in (left_mm, right_mm))
    return None if left is None or right is None else right - left


def _downward_deg(surface: HeightMap, point: np.ndarray) -> float | None:
    """How far the skin around a point faces downwards, deg: plane through the measured cells of a disc."""
    x, y = np.meshgrid(surface.x_mm - point[0], surface.y_mm - point[1])
    disc = np.hypot(x, y) <= _DIMPLE_RADIUS_MM
    near = disc & surface.observed
    if near.sum() < 12 or near.sum() < 0.8 * np.pi * (_DIMPLE_RADIUS_MM / surface.spacing_mm) ** 2:
        return None
    plane = np.stack([np.ones(near.sum()), x[near], y[near]], axis=1)
    slope = np.linalg.lstsq(plane, surface.z_mm[near], rcond=None)[0]
    return float(np.degrees(np.arctan(slope[2])))
