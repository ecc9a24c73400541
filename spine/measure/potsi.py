"""Posterior trunk symmetry index (POTSI) from the outline of the back.

Eight points seen from behind: C7, the natal cleft (here the base mid-point, which lies above it on the same
mid-line), and on each side the axillary fold, the waist (most indented point of the flank) and the shoulder
(the outline straight above the axillary fold). The vertical through the cleft is the mid-line. POTSI, in
percent, is the sum of three frontal asymmetries, |C7| / (waist widths), |left - right| / (left + right) of
the axillae and of the waist, and of three height differences, of shoulders, axillae and waist, over the
height from the cleft to C7 (Suzuki et al., Stud Health Technol Inform 1999;59:81-84; Minguez et al., Eur
Spine J 2007;16:73-82). 0 is perfect symmetry.

A waist is flat: on a grid of 2 mm its height is known to about 20 mm, 4 % of the index.

The outline must be the body's own and not the edge of the scan: each of the six points has to be found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from spine.heightmap import HeightMap

_ARM_JUMP_MM = 20.0  # the outline leaps outwards where the arm joins the trunk
_INDENT_MM = 4.0  # the waist must be narrower than what lies above and below it by this much
_WAIST_SMOOTHING_MM = 12.0  # the outline comes in steps of one cell
_WAIST_REACH_MM = 50.0
_NECK_MM = 15.0  # the scan must rise this far above a shoulder for the shoulder to be its own top


@dataclass(frozen=True)
class TrunkOutline:
    """The six outline points (x, y) in mm, each (2,), in the body frame."""

    waist_left: Float[np.ndarray, " 2"]
    waist_right: Float[np.ndarray, " 2"]
    axilla_left: Float[np.ndarray, " 2"]
    axilla_right: Float[np.ndarray, " 2"]
    shoulder_left: Float[np.ndarray, " 2"]
    shoulder_right: Float[np.ndarray, " 2"]


def potsi(outline: TrunkOutline, c7_mm: Float[np.ndarray, " 3"], base_mm: Float[np.ndarray, " 3"]) -> float:
    """POTSI in percent; the definition is the module's."""
    middle, height = base_mm[0], c7_mm[1] - base_mm[1]
    waist = abs(outline.waist_left[0] - middle), abs(outline.waist_right[0] - middle)
    axilla = abs(outline.axilla_left[0] - middle), abs(outline.axilla_right[0] - middle)
    frontal = abs(c7_mm[0] - middle) / sum(waist)
    frontal += abs(axilla[0] - axilla[1]) / sum(axilla) + abs(waist[0] - waist[1]) / sum(waist)
    pairs = (
        (outline.shoulder_left, outline.shoulder_right),
        (outline.axilla_left, outline.axilla_right),
        (outline.waist_left, outline.waist_right),
    )
    heights = sum(abs(left[1] - right[1]) for left, right in pairs) / height
    return float(100 * (frontal + heights))


def trunk_outline(
    surface: HeightMap, c7_mm: Float[np.ndarray, " 3"], base_mm: Float[np.ndarray, " 3"]
) -> TrunkOutline | str:
    """The outline points of a back, or one sentence saying which could not be found."""
    points: dict[str, np.ndarray] = {}
    for name, side in (("left", -1), ("right", 1)):
        edge, y = _edge(surface, c7_mm, base_mm, side)
        if len(y) < 10:
            return "the trunk was not measured from the base to C7"
        height = c7_mm[1] - base_mm[1]
        axilla = _axilla(edge, y, base_mm[1] + 0.5 * height)
        if axilla is None:
            return f"no axillary fold on the {name}: the outline is cut off or the arm hides it"
        waist = _waist(edge[: axilla + 1], y[: axilla + 1], base_mm[1] + 0.65 * height)
        if waist is None:
            return f"no waist on the {name}: the flank is cut off, hidden or straight"
        # a little towards the mid-line, where the column above is the shoulder and not the arm
        x = side * edge[axilla]
        top = _top_of_column(surface, x - side * 2 * surface.spacing_mm, y[axilla])
        if top is None or surface.y_mm[surface.observed.any(1)].max() < top + _NECK_MM:
            return f"the {name} shoulder is cut off by the edge of the scan"
        points |= {f"waist_{name}": np.array([side * edge[waist], y[waist]])}
        points |= {f"axilla_{name}": np.array([x, y[axilla]]), f"shoulder_{name}": np.array([x, top])}
    return TrunkOutline(**points)


def _edge(surface: HeightMap, c7: np.ndarray, base: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Outer end (towards `side`, counted that way) of the measured run around the mid-line, for rows base ...

    C7.
    """
    rows = np.flatnonzero((surface.y_mm >= base[1]) & (surface.y_mm <= c7[1]))
    edge = []
    for row in rows:
        middle = base[0] + (c7[0] - base[0]) * (surface.y_mm[row] - base[1]) / (c7[1] - base[1])
        out = side * (surface.x_mm - middle)
        order = np.argsort(out)
        seen = surface.observed[row, order][out[order] >= 0]
        if not seen[:3].any():
            return np.empty(0), np.empty(0)
        gap = np.flatnonzero(~seen[3:])
        last = (gap[0] + 2) if len(gap) else len(seen) - 1
        edge.append(side * surface.x_mm[order][out[order] >= 0][last])
    return np.array(edge), surface.y_mm[rows]


def _axilla(edge: np.ndarray, y: np.ndarray, above: float) -> int | None:
    """The row below the first outward leap of the edge, where the gap between trunk and arm closes."""
    leap = np.flatnonzero((np.diff(edge) > _ARM_JUMP_MM) & (y[:-1] > above))
    return int(leap[0]) if len(leap) else None


def _waist(edge: np.ndarray, y: np.ndarray, below: float) -> int | None:
    """The most indented row of the flank; None where it is not narrower than the outline above and below."""
    cell = y[1] - y[0]
    smooth = gaussian_filter1d(edge, _WAIST_SMOOTHING_MM / cell)
    search = np.flatnonzero(y < below)
    if len(search) < 3:
        return None
    row = int(search[smooth[search].argmin()])
    near = np.abs(y - y[row]) <= _WAIST_REACH_MM  # flat there and in steps: the vertex of a parabola
    bend, slope, _ = np.polyfit(y[near] - y[row], edge[near], 2)
    if bend > 0:
        row = int(np.clip(row - round(slope / (2 * bend * cell)), search[0], search[-1]))
    depth = min(smooth[: row + 1].max(), smooth[row:].max()) - smooth[row]
    return row if depth > _INDENT_MM else None


def _top_of_column(surface: HeightMap, x: float, above: float) -> float | None:
    """The highest measured y reached without a gap from (x, above) upwards."""
    column = int(np.abs(surface.x_mm - x).argmin())
    seen = surface.observed[:, column] & (surface.y_mm >= above - surface.spacing_mm)
    rows = np.flatnonzero(seen)
    if not len(rows):
        return None
    run = np.flatnonzero(np.diff(rows) > 1)
    return float(surface.y_mm[rows[run[0]] if len(run) else rows[-1]])
