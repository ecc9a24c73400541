"""Humps of the back and the rotation of its surface.

A hump is the difference of height between two points of the skin at the same distance to the right and to the
left of the spinous line. Suzuki's hump sum (Suzuki et al., Stud Health Technol Inform 1999;59:81-84) adds the
humps of the curves; here the largest thoracic and the largest lumbar difference, in mm, without further
scaling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import uniform_filter

from spine.heightmap import HeightMap, asymmetry_map

_OFFSET_MM = (20.0, 120.0)  # from the spinous line; nearer lies the furrow, farther the flank
_PATCH_MM = 20.0


@dataclass(frozen=True)
class Hump:
    """Height difference in mm, positive when the right side is the higher one; where: y and distance from the
    line.
    """

    height_mm: float
    y_mm: float
    offset_mm: float


def hump(
    surface: HeightMap,
    line_y_mm: Float[np.ndarray, " n"],
    line_x_mm: Float[np.ndarray, " n"],
    low_mm: float,
    high_mm: float,
) -> Hump | None:
    """The largest hump between two heights y, averaged over patches of 20 mm; None where nothing was seen on
    both sides.
    """
    order = np.argsort(line_y_mm)
    y, x = np.asarray(line_y_mm, np.float64)[order], np.asarray(line_x_mm, np.float64)[order]
    odd = asymmetry_map(surface, np.interp(surface.y_mm, y, x), _OFFSET_MM[1])
    right = odd.x_mm >= _OFFSET_MM[0]
    rows = (odd.y_mm >= max(low_mm, y[0])) & (odd.y_mm <= min(high_mm, y[-1]))
    if not rows.any():
        return None
    difference, seen = 2 * odd.z_mm[np.ix_(rows, right)], odd.observed[np.ix_(rows, right)]
    width = max(1, round(_PATCH_MM / odd.spacing_mm))
    share = uniform_filter(seen.astype(float), width, mode="constant")
    mean = uniform_filter(np.where(seen, difference, 0), width, mode="constant") / np.maximum(share, 1e-9)
    mean = np.where(share > 0.6, mean, 0)
    if not (share > 0.6).any():
        return None
    row, column = np.unravel_index(np.abs(mean).argmax(), mean.shape)
    return Hump(float(mean[row, column]), float(odd.y_mm[rows][row]), float(odd.x_mm[right][column]))
