"""What on a height map speaks for a back, and what of the back is missing from it.

A back is S-shaped from neck to sacrum (convex over the thorax, hollow over the loins) and furrowed along its
middle; a belly is neither. The weights were fitted on MakeHuman bodies (CC0) of both sexes, three ages and
nine builds, never on patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from spine.heightmap import HeightMap
from suite.errors import BadInput

HALF, NARROW = 0.44, 0.52
"""Width over height of what is seen, below which half a back is missing, or may be. Whole backs: .6 to .9."""


@dataclass(frozen=True)
class BackEvidence:
    """What speaks for a back on a height map, in mm.

    x0_mm: mid-line of best left-right symmetry; yaw_deg: slope across it; asymmetry: RMS of the odd part, yaw
    taken out. s_profile: cubic part of the sagittal profile over half the visible height, positive as in an
    upright back. hollow: quadratic part of the profile's lower 60 %, positive if hollow. furrow: skin 20-45
    mm beside the deepest line above the skin on it, lower half. bulge: skin on the mid-line above the skin
    40-60 mm beside it, lower half.
    """

    x0_mm: float
    yaw_deg: float
    asymmetry_mm: float
    s_profile_mm: float
    hollow_mm: float
    furrow_mm: float
    bulge_mm: float

    @property
    def score(self) -> float:
        """Linear discriminant of backs (positive) from fronts (negative), for an upright frame."""
        hollow, furrow = np.clip(self.hollow_mm, -50, 50), np.clip(self.furrow_mm, -8, 8)
        return float(0.12 * hollow + 0.12 * furrow - 0.3 * np.clip(self.bulge_mm, -12, 12) - 0.65)

    def __str__(self) -> str:
        return (
            f"lumbar hollow {self.hollow_mm:.0f} mm, furrow {self.furrow_mm:.1f} mm, "
            f"bulge across {self.bulge_mm:.1f} mm"
        )


def back_evidence(height: HeightMap) -> BackEvidence | None:
    """The evidence on a height map; None where too little is seen on both sides of any mid-line."""
    step = height.spacing_mm
    height = HeightMap(height.x_mm, height.y_mm, gaussian_filter(height.z_mm, 7.0 / step), height.observed)
    rows = np.flatnonzero(height.observed.sum(1) * step > 120)
    if len(rows) * step < 120:
        return None
    y = height.y_mm[rows]
    offset = np.arange(5.0, 111.0, max(step, 5.0))
    middle = float(np.median(np.broadcast_to(height.x_mm, height.z_mm.shape)[height.observed]))
    best: tuple[float, float, float, float] | None = None
    for shift in np.arange(-30.0, 31.0, 5.0):
        x0 = middle + shift
        right, left = height.sample(x0 + offset, y[:, None]), height.sample(x0 - offset, y[:, None])
        seen = height.is_observed(x0 + offset, y[:, None]) & height.is_observed(x0 - offset, y[:, None])
        if seen.mean() < 0.5:
            continue
        odd = (right - left) / 2
        slope = float((odd * offset * seen).sum() / (offset**2 * seen).sum())
        asymmetry = float(np.sqrt(((odd - slope * offset)[seen] ** 2).mean()))
        cost = asymmetry + (shift / 30) ** 2
        if best is None or cost < best[0]:
            best = cost, asymmetry, x0, slope
    if best is None:
        return None
    _, asymmetry, x0, slope = best

    levels = np.linspace(y[0], y[-1], 24)[:, None]

    def beside(low: float, high: float, centre: float = float(x0)) -> np.ndarray:
        o = np.arange(low, high + 0.1, 2.5)
        return height.sample(centre + np.concatenate([-o, o]), levels).mean(1)

    profile = beside(0.0, 50.0)
    depth = [
        beside(20.0, 45.0, float(x0 + shift)) - beside(0.0, 6.0, float(x0 + shift))
        for shift in np.arange(-25.0, 26.0, 5.0)
    ]
    return BackEvidence(
        x0_mm=float(x0),
        yaw_deg=float(np.degrees(np.arctan(slope))),
        asymmetry_mm=asymmetry,
        s_profile_mm=-float(np.polyfit(np.linspace(-1, 1, 24), profile, 3)[0]),
        hollow_mm=float(np.polyfit(np.linspace(-1, 1, 15), profile[:15], 2)[0]),
        furrow_mm=float(gaussian_filter1d(np.stack(depth, axis=1), 1.5, axis=0).max(1)[:12].mean()),
        bulge_mm=float((beside(0.0, 20.0) - beside(40.0, 60.0))[:12].mean()),
    )


def completeness_flags(
    height: HeightMap, evidence: BackEvidence, where: str | None = None
) -> tuple[str, ...]:
    """What of the back is missing from a height map. Raises BadInput where half of it is, or hardly any is
    there."""
    step = height.spacing_mm
    width = height.observed.sum(1) * step
    rows = np.flatnonzero(width > 80)
    tall = len(rows) * step
    if tall < 200:
        raise BadInput(
            f"only {tall:.0f} mm of back are seen from top to bottom",
            where,
            "the back from neck to sacrum is needed (300 mm in a child, 500 in an adult)",
        )
    wide = float(np.percentile([_longest_run(height.observed[row]) for row in rows], 85) * step)
    seen = f"{wide:.0f} mm wide and {tall:.0f} mm high"
    if wide < HALF * tall:
        raise BadInput(
            f"half of the back is missing: what is seen is {seen}", where, "scan both sides of the mid-line"
        )
    flags = []
    if wide < NARROW * tall:
        flags.append(f"narrow: what is seen is {seen}; one side may be missing")
    if tall < 330:
        flags.append(f"short: {tall:.0f} mm from top to bottom; neck or sacrum may be missing")
    if width[rows[-max(2, len(rows) // 20) :]].mean() > 0.93 * width.max():
        flags.append("the upper end does not narrow to a neck: the vertebra prominens may be missing")
    if evidence.hollow_mm < 5:
        flags.append("no lumbar hollow: the lower back may be missing")
    return tuple(flags)


def _longest_run(row: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
