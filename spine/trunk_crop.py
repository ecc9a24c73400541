"""The trunk of a person who stands before a camera from head to thighs: the skin that a scan of a back holds.

Rows of the outline are followed from the middle up past the neck, where it is narrowest under the head, and
down to where it parts into two legs. Arms that hang free are left out. Where head or legs are not seen the
trunk goes on to the end. Lengths in mm, axes of the body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import uniform_filter1d

from spine.anchors import end_features, ends
from spine.heightmap import rasterize
from spine.landmark_model import load_landmark_model

CELL_MM = 8.0
_GAP_CELLS = 2  # that part an arm or a leg from the trunk
_LEG_MM, _LEGS_LONG_MM = 50.0, 40.0
_SHOULDER = 0.75  # of the widest row: above the last such row begins the neck
_NECK_REACH_MM = 220.0
_HEAD_WIDER = 1.12  # than the neck under it
OVER_NECK_MM = 48.0
"""The nape is kept so far above the narrowest row, which lies 0 to 20 mm above VP."""
BASE_OVER_CROTCH = 0.18
"""Height of the lower end above the crotch, as a share of that of the neck: about 50 mm below the base."""
NECK_TO_END_MM = 640.0
"""Below the neck no more than this belongs to a trunk whose legs do not part."""
ABOVE_VP_MM, BELOW_BASE_MM = 42.0, 52.0
"""Where the ends are cut once VP and base are about known: as in the scans their model was learned on."""
_SPARE_MM = 12.0


@dataclass(frozen=True)
class _Row:
    """The run of cells that is the trunk in one row."""

    first: int
    last: int

    @property
    def width_mm(self) -> float:
        return (self.last - self.first + 1) * CELL_MM


def on_trunk(points_mm: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Whether each point of an upright person belongs to the trunk; all True where it cannot be told."""
    cell = np.floor((points_mm[:, :2] - points_mm[:, :2].min(0)) / CELL_MM).astype(np.int64)
    nx, ny = (int(n) + 1 for n in cell.max(0))
    filled = np.zeros((ny, nx), bool)
    filled[cell[:, 1], cell[:, 0]] = True
    middle = ny // 2
    central = cell[np.abs(cell[:, 1] - middle) < 0.15 * ny, 0]
    if not len(central):
        return np.ones(len(points_mm), bool)
    start = _nearest(_runs(filled[middle]), float(np.median(central)))
    if start is None:
        return np.ones(len(points_mm), bool)
    rows, crotch = {middle: start}, None
    for step, end in ((1, ny), (-1, -1)):
        run = start
        for y in range(middle + step, end, step):
            below = [r for r in _runs(filled[y]) if r.first <= run.last and r.last >= run.first]
            if not below:
                break
            if step < 0 and _parts(filled, y, run):
                crotch = y + 1
                break
            run = max(below, key=lambda r, was=run: min(r.last, was.last) - max(r.first, was.first))
            rows[y] = run
    low, high = _ends(rows, crotch)
    first, last = np.full(ny, nx), np.full(ny, -1)
    for y, run in rows.items():
        if low <= y <= high:
            first[y], last[y] = run.first, run.last
    return (cell[:, 0] >= first[cell[:, 1]]) & (cell[:, 0] <= last[cell[:, 1]])


def between_landmarks(points_mm: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Whether each point lies between ABOVE_VP_MM over VP and BELOW_BASE_MM under the base, as the model of
    their heights sees them: it is surest where a scan ends there."""
    model, y = load_landmark_model(), points_mm[:, 1]
    keep = np.ones(len(points_mm), bool)
    for _ in range(3):
        height = rasterize(points_mm[keep], 2.0)
        back = ends(height)
        top = back.top_mm - model.vp.distance_mm(end_features(height, at_top=True)) + ABOVE_VP_MM
        bottom = back.bottom_mm + model.base.distance_mm(end_features(height, at_top=False)) - BELOW_BASE_MM
        if top - bottom < 250 or max(back.top_mm - top, bottom - back.bottom_mm) < _SPARE_MM:
            break
        keep &= (y <= max(top, back.top_mm - 60)) & (y >= min(bottom, back.bottom_mm + 60))
    return keep


def _ends(rows: dict[int, _Row], crotch: int | None) -> tuple[int, int]:
    """Lowest and highest row of the trunk."""
    at = np.array(sorted(rows))
    low, high = int(at[0]), int(at[-1])
    width = uniform_filter1d(np.array([rows[y].width_mm for y in at]), 3)
    upper = width[len(at) // 2 :]
    shoulder = at[len(at) // 2 :][np.nonzero(upper >= _SHOULDER * upper.max())[0][-1]]
    above = np.maximum.accumulate(width[::-1])[::-1]  # the widest row from here upwards
    neck = (at > shoulder) & (at <= shoulder + _NECK_REACH_MM / CELL_MM) & (above > _HEAD_WIDER * width)
    if neck.any():
        high = int(at[neck][width[neck].argmin()])
    if crotch is not None:
        low = max(low, crotch + round(BASE_OVER_CROTCH * (high - crotch)))
    low = max(low, high - round(NECK_TO_END_MM / CELL_MM))
    return low, min(int(at[-1]), high + round(OVER_NECK_MM / CELL_MM)) if neck.any() else high


def _parts(filled: Bool[np.ndarray, "ny nx"], y: int, run: _Row) -> bool:
    """Whether the run over row y comes apart into two legs, and not only at a frayed lower end."""
    rows = round(_LEGS_LONG_MM / CELL_MM)
    if y + 1 < rows:
        return False
    for row in filled[y + 1 - rows : y + 1]:
        legs = [
            r for r in _runs(row) if r.width_mm >= _LEG_MM and r.first <= run.last and r.last >= run.first
        ]
        if len(legs) < 2:
            return False
        gap = (legs[0].last + legs[1].first) / 2
        if abs(gap - (run.first + run.last) / 2) >= 0.25 * (run.last - run.first):
            return False
    return True


def _runs(row: Bool[np.ndarray, " nx"]) -> list[_Row]:
    """Filled stretches of a row, from left to right; short gaps do not part them."""
    filled = np.flatnonzero(row)
    if not len(filled):
        return []
    cuts = np.flatnonzero(np.diff(filled) > _GAP_CELLS) + 1
    return [_Row(int(part[0]), int(part[-1])) for part in np.split(filled, cuts)]


def _nearest(runs: list[_Row], column: float) -> _Row | None:
    if not runs:
        return None
    return min(runs, key=lambda r: max(r.first - column, column - r.last, 0.0))
