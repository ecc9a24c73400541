"""Coloured markers stuck or drawn on the skin, read from the colours of a scan.

Skin has one hue; a marker is a small spot whose chroma (a, b of CIELAB) is far from that of the skin around.
Two spots to both sides, level with the base, are the dimples, their mid-point is the base. Others near
the spinous line are marks of it: the highest is VP and the lowest the base if they lie about where these were
found. Five marks or more along the line draw it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.interpolate import PchipInterpolator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from spine.observations import LineObservation
from spine.surface import BackSurface

LEAST_CHROMA = 22.0
"""Distance in the a-b plane of CIELAB from the skin; skin itself varies by about 8."""
DARK_LIGHTNESS, DARK_CHROMA = 30.0, 15.0
"""Darker than this and with less chroma it is hair or shadow."""
LEAST_POINTS, WIDEST_MM, GAP_MM = 4, 26.0, 5.0
BESIDE_LINE_MM = 30.0
DIMPLE_ASIDE_MM, DIMPLE_SHARE, DIMPLES_UNLIKE_MM = (20.0, 70.0), 0.15, 25.0
BASE_SHARE, VP_SHARE = (-0.12, 0.12), (0.85, 1.15)
"""Where marks of base and VP lie on the way from base to VP as found."""
LINE_MARKS, LINE_SHARE = 5, 0.6


@dataclass(frozen=True)
class Markers:
    """What coloured markers show, body frame, mm; None where there is none."""

    vp_mm: Float[np.ndarray, " 3"] | None
    base_mm: Float[np.ndarray, " 3"] | None
    dimple_left_mm: Float[np.ndarray, " 3"] | None
    dimple_right_mm: Float[np.ndarray, " 3"] | None
    line_mm: Float[np.ndarray, "k 3"] | None


def find_markers(surface: BackSurface, line: LineObservation) -> Markers | None:
    """Markers of a coloured scan, told apart by where they lie to the line that was found; None without
    any."""
    if surface.colors is None:
        return None
    spots = _spots(surface.points_mm, _coloured(surface.colors))
    if not len(spots):
        return None
    low, high = line.y_mm[0], line.y_mm[-1]
    aside = spots[:, 0] - np.interp(spots[:, 1], line.y_mm, line.x_mm)
    level = (spots[:, 1] - low) / (high - low)
    near_line = (np.abs(aside) <= BESIDE_LINE_MM) & (level > BASE_SHARE[0]) & (level < VP_SHARE[1])
    left = right = None
    if (pair := _dimples(spots[:, 1] - low, aside, high - low)) is not None:
        left, right = spots[pair]
        near_line[pair] = False
    on_line, level = (values[near_line][np.argsort(level[near_line])] for values in (spots, level))
    vp = on_line[-1] if len(on_line) and level[-1] > VP_SHARE[0] else None
    base = on_line[0] if len(on_line) and level[0] < BASE_SHARE[1] else None
    if left is not None and right is not None:
        base = (left + right) / 2
    drawn = None
    if len(on_line) >= LINE_MARKS and np.ptp(level) > LINE_SHARE:
        y = np.arange(on_line[0, 1], on_line[-1, 1], 6.0)
        drawn = np.stack([PchipInterpolator(on_line[:, 1], on_line[:, k])(y) for k in range(3)], axis=1)
    if vp is None and base is None and drawn is None:
        return None
    return Markers(vp, base, left, right, drawn)


def _coloured(colors: UInt8[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Points whose chroma is far from that of most points, less what is only dark."""
    lab = _lab(colors)
    lightness, ab = lab[:, 0], lab[:, 1:]
    dark = (lightness < DARK_LIGHTNESS) & (np.linalg.norm(ab, axis=1) < DARK_CHROMA)
    return (np.linalg.norm(ab - np.median(ab, axis=0), axis=1) > LEAST_CHROMA) & ~dark


def _spots(points: Float[np.ndarray, "n 3"], coloured: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "k 3"]:
    """Centres of small clusters of coloured points."""
    chosen = points[coloured]
    if len(chosen) < LEAST_POINTS:
        return np.empty((0, 3))
    i, j = KDTree(chosen).query_pairs(GAP_MM, output_type="ndarray").T
    links = coo_array((np.ones(len(i), bool), (i, j)), shape=(len(chosen), len(chosen)))
    count, label = connected_components(links, directed=False)
    groups = (chosen[label == k] for k in range(count))
    return np.array(
        [g.mean(0) for g in groups if len(g) >= LEAST_POINTS and np.ptp(g, axis=0).max() <= WIDEST_MM]
    ).reshape(-1, 3)


def _dimples(
    above_base: Float[np.ndarray, " k"], aside: Float[np.ndarray, " k"], trunk: float
) -> list[int] | None:
    """Which spots are left and right dimple: the nearest in height to the base on either side of the line."""
    near = np.abs(above_base) < DIMPLE_SHARE * trunk
    least, most = DIMPLE_ASIDE_MM
    sides = [np.flatnonzero(near & (s * aside >= least) & (s * aside <= most)) for s in (-1, 1)]
    if not all(len(side) for side in sides):
        return None
    pair = [int(side[np.argmin(np.abs(above_base[side]))]) for side in sides]
    return pair if abs(above_base[pair[0]] - above_base[pair[1]]) < DIMPLES_UNLIKE_MM else None


def _lab(colors: UInt8[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """CIELAB (D65) of sRGB colours; IEC 61966-2-1 and CIE 15."""
    srgb = colors / 255.0
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / [0.9505, 1.0, 1.0890]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
