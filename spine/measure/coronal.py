"""Coronal indices: Cobb angles, the curves they belong to, deviation from the mid-line.

Tilts are positive counter-clockwise seen from behind. Going down a curve convex to the right the tilt falls,
so a signed Cobb angle  tilt(upper end) - tilt(lower end)  is positive for a convexity to the right.

Cobb angle: the angle between the most tilted end plates above and below the apex (Cobb, Instr Course Lect
1948;5:261-275); scoliosis from 10 deg on, apex and region names after the Scoliosis Research Society's
glossary.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy.polynomial import Chebyshev

from spine.measure.angles import C7, L5, S1, T1, T5, T12, coronal_tilt_deg
from spine.measure.centreline import LineOperator, tangent_tilt_deg
from suite.errors import BadInput

SMALLEST_CURVE_DEG = 5.0
SCOLIOSIS_DEG = 10.0
END_PLAY = 2  # levels by which a sample's end vertebrae may lie outside those of the mean


@dataclass(frozen=True)
class TiltCurve:
    """A run of tilts from one turning point to the next: indices of its ends and the signed difference."""

    upper: int
    lower: int
    signed_deg: float


@dataclass(frozen=True)
class CurveIdentity:
    """What makes a curve the same one in every posterior sample: apex, side, and where its ends may lie.

    Levels are indices of `LEVELS`; `side` is +1 for a convexity to the right, -1 to the left. `reach` holds
    the outermost levels in which an upper and a lower end vertebra are sought.
    """

    upper: int
    apex: int
    lower: int
    side: int
    reach: tuple[int, int]

    def cobb_deg(self, T: Float[np.ndarray, "m 25 4 4"]) -> Float[np.ndarray, " m"]:
        """Cobb angle of this curve: most tilted vertebra above against most tilted below its apex."""
        return self._opening(coronal_tilt_deg(T), self.apex, *self.reach)

    def curve_angle_deg(self, line: LineOperator, d1: Float[np.ndarray, "m k 3"]) -> Float[np.ndarray, " m"]:
        """The same between the inflections of the smooth coronal centre line, whose tangent is most tilted
        there.
        """
        first = line.rows(self.reach[0], self.apex).start
        at_apex = line.rows(self.apex, self.apex).start
        last = line.rows(self.apex, self.reach[1]).stop - 1
        return self._opening(tangent_tilt_deg(d1), at_apex, first, last)

    def _opening(self, tilt: np.ndarray, apex: int, first: int, last: int) -> np.ndarray:
        leaning = self.side * tilt
        return leaning[..., first : apex + 1].max(-1) - leaning[..., apex : last + 1].min(-1)

    @property
    def region(self) -> str:
        """After the level of the apex: SRS names; thoracic curves to T5 are proximal (Lenke et al., JBJS
        2001;83-A:1169).
        """
        if self.apex <= T5:
            return "proximal thoracic"
        return "main thoracic" if self.apex < T12 else "thoracolumbar" if self.apex <= T12 + 1 else "lumbar"


def tilt_curves(
    tilt_deg: Float[np.ndarray, " n"], smallest_deg: float = SMALLEST_CURVE_DEG
) -> list[TiltCurve]:
    """Curves of a row of tilts, from above: every swing of over `smallest_deg` between two turning points.

    A reversal smaller than that does not part a curve in two. Empty where the tilts stay within
    `smallest_deg`.
    """
    tilt = np.asarray(tilt_deg, np.float64)
    if tilt.ndim != 1 or len(tilt) < 2 or not np.isfinite(tilt).all():
        raise BadInput(f"tilts must be two or more finite numbers, got shape {tilt.shape}", where="tilt_deg")
    turns, low, high, rising = [], 0, 0, 0
    for i, value in enumerate(tilt):
        if rising >= 0 and value > tilt[high]:
            high = i
        if rising <= 0 and value < tilt[low]:
            low = i
        if rising >= 0 and tilt[high] - value > smallest_deg:
            turns.append(high)
            rising, low = -1, i
        elif rising <= 0 and value - tilt[low] > smallest_deg:
            turns.append(low)
            rising, high = 1, i
    turns.append(high if rising > 0 else low)
    if not rising:
        return []
    return [TiltCurve(a, b, float(tilt[a] - tilt[b])) for a, b in pairwise(turns)]


def cobb_from_tilts(tilt_deg: Float[np.ndarray, " n"]) -> float:
    """Cobb angle (deg, >= 0) of the largest curve in a row of end-plate tilts from above."""
    curves = tilt_curves(tilt_deg)
    return max((abs(c.signed_deg) for c in curves), default=float(np.ptp(tilt_deg)))


def curve_cobb_deg(x_mm: Float[np.ndarray, " n"], y_mm: Float[np.ndarray, " n"], degree: int = 9) -> float:
    """Cobb angle (deg, >= 0) of a smooth coronal line, such as one drawn on a radiograph.

    A polynomial x(y) is fitted; the angle is the largest difference between consecutive extremes of its
    tangent angle, that is between neighbouring inflections (or ends). 5 % at each end, where polynomials
    swing, are left out. The order of the points does not matter. BadInput for too few points or a line
    without height.
    """
    x, y = np.asarray(x_mm, np.float64), np.asarray(y_mm, np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) <= degree:
        raise BadInput(
            f"a line needs more than {degree} points, got x {x.shape} and y {y.shape}", where="curve_cobb_deg"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all() and np.ptp(y) > 0):
        raise BadInput("the line has no height or is not finite", where="curve_cobb_deg")
    low, height = y.min(), np.ptp(y)
    slope = Chebyshev.fit(y, x, degree).deriv()(low + height * np.linspace(0.05, 0.95, 181))
    angle = np.degrees(np.arctan(slope))
    turn = np.flatnonzero(np.diff(np.sign(np.diff(angle))) != 0) + 1
    return float(np.abs(np.diff(angle[np.concatenate([[0], turn, [len(angle) - 1]])])).max())


def find_curves(T: Float[np.ndarray, "25 4 4"]) -> list[CurveIdentity]:
    """Coronal curves of a chain over T1 ... L5: the largest first, then all others above 5 deg, from above.

    There is always a first one; in a straight spine it is the largest tilt difference there is.
    """
    tilt = coronal_tilt_deg(T)[T1 : L5 + 1]
    swings = tilt_curves(tilt)
    if not swings:
        high, low = int(tilt.argmax()), int(tilt.argmin())
        ends = (high, low) if high != low else (0, len(tilt) - 1)
        swings = [TiltCurve(min(ends), max(ends), float(tilt[min(ends)] - tilt[max(ends)]))]
    curves = []
    for i, swing in enumerate(swings):
        upper, lower = swing.upper + T1, swing.lower + T1
        above = swings[i - 1].upper + T1 if i else T1
        below = swings[i + 1].lower + T1 if i + 1 < len(swings) else L5
        side = 1 if swing.signed_deg >= 0 else -1
        reach = (max(upper - END_PLAY, above), min(lower + END_PLAY, below))
        curves.append(CurveIdentity(upper, _apex(T, upper, lower, side), lower, side, reach))
    primary = max(range(len(swings)), key=lambda i: abs(swings[i].signed_deg))
    return [curves[primary], *curves[:primary], *curves[primary + 1 :]]


def _apex(T: np.ndarray, upper: int, lower: int, side: int) -> int:
    """The vertebra farthest to that side of the straight line between the end vertebrae, seen from behind."""
    if lower - upper < 2:
        return upper
    x, y = T[upper : lower + 1, 0, 3], T[upper : lower + 1, 1, 3]
    distance = side * ((x - x[0]) * (y[0] - y[-1]) - (x[-1] - x[0]) * (y[0] - y))
    return upper + 1 + int(distance[1:-1].argmax())


def lateral_deviation_mm(
    T: Float[np.ndarray, "*batch 25 4 4"], top_mm: np.ndarray | None = None, base_mm: np.ndarray | None = None
) -> Float[np.ndarray, "*batch 25"]:
    """Distance along x of every body centre from a straight line seen from behind, to the right positive.

    The line runs from VP (`top_mm`) to the base mid-point (`base_mm`), both (3,), as in rasterstereography
    (Drerup & Hierholzer 1994; Degenhardt et al., Scoliosis Spinal Disord 2017;12:28, table 1), or else from
    C7 to S1.
    """
    x, y = T[..., 0, 3], T[..., 1, 3]
    if top_mm is None or base_mm is None:
        top, base = T[..., C7, None, :3, 3], T[..., S1, None, :3, 3]
    else:
        top, base = np.asarray(top_mm, np.float64), np.asarray(base_mm, np.float64)
    slope = (top[..., 0] - base[..., 0]) / (top[..., 1] - base[..., 1])
    return x - base[..., 0] - slope * (y - base[..., 1])


@dataclass(frozen=True)
class CobbCalibration:
    """Line that turns the Cobb angle of a fit into the radiographic one: slope * cobb + intercept.

    `residual_sd_deg` is the scatter left around it on held-out people; `provenance` says who they were.
    """

    slope: float
    intercept: float
    residual_sd_deg: float
    provenance: str

    def __post_init__(self) -> None:
        numbers = (self.slope, self.intercept, self.residual_sd_deg)
        if not (np.isfinite(numbers).all() and self.slope > 0 and self.residual_sd_deg >= 0):
            raise BadInput(
                f"slope {self.slope:g}, intercept {self.intercept:g}, residual {self.residual_sd_deg:g} deg",
                where="Cobb calibration",
                hint="all finite, the slope above 0, the residual not below 0",
            )

    def __call__(self, cobb_deg: float) -> float:
        """The calibrated angle, never below 0."""
        return max(self.slope * cobb_deg + self.intercept, 0.0)

    def interval(
        self, cobb_deg: float, raw: tuple[float, float] | None, z: float = 1.645
    ) -> tuple[float, float]:
        """90 % interval: the raw interval carried over, widened by the residual scatter in quadrature."""
        center = self.slope * cobb_deg + self.intercept
        low, high = raw if raw is not None else (cobb_deg, cobb_deg)
        down = np.hypot(self.slope * (cobb_deg - low), z * self.residual_sd_deg)
        up = np.hypot(self.slope * (high - cobb_deg), z * self.residual_sd_deg)
        return float(max(center - down, 0)), float(max(center + up, 0))


@lru_cache(maxsize=2)
def load_cobb_calibration(drawn: bool = False) -> CobbCalibration | None:
    """The shipped calibration for automatic lines, or for lines that a person has drawn; None where none is
    shipped.

    Raises BadInput for a file that cannot be read.
    """
    path = files("spine") / "data" / "cobb_calibration.json"
    if not path.is_file():
        return None
    try:
        table = json.loads(path.read_text("utf-8"))
        line = table["drawn" if drawn else "automatic"]
        slope, intercept, residual = (float(line[key]) for key in ("slope", "intercept", "residual_sd_deg"))
        return CobbCalibration(slope, intercept, residual, str(table["provenance"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"no usable Cobb calibration: {error!r}", where=str(path)) from error
