"""Errors of a reconstructed spine against the truth, and the guesses a chain of vertebrae has to beat.

Errors are found minus true, over T1 ... L5, and pooled over people: the root mean square of all vertebrae of
all people. Chains are `T_body_vertebra` (25, 4, 4) in the truth's own body frame, mm.

The guesses are lines of centres x(y), z(y) without levels, so they are compared at the true heights:

    chord    straight from VP to the base mid-point
    line     the spinous line itself
    offset   the line moved inwards along the surface rotation (Drerup & Hierholzer, Clin Biomech 1994;9:28)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import PchipInterpolator

from spine.fit_options import FitOptions
from spine.measure import curve_cobb_deg
from spine.measure.angles import C7, L5, S1, T1, axial_rotation_deg
from spine.measure.transverse import wrapped_deg
from spine.observations import Observations

TRUNK = slice(T1, L5 + 1)
"""The levels that are compared."""
COVERED = 0.9
_BELOW = slice(S1, C7 - 1, -1)  # upwards, as interpolation wants heights
_Item = TypeVar("_Item")


@dataclass(frozen=True, eq=False)
class CentreGuess:
    """A line of vertebral centres, from below upwards (mm)."""

    y_mm: Float[np.ndarray, " n"]
    x_mm: Float[np.ndarray, " n"]
    z_mm: Float[np.ndarray, " n"]

    def at(self, y_mm: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k 3"]:
        """Points at these heights; straight on beyond the ends."""
        columns = [_straight_on(y_mm, self.y_mm, values) for values in (self.x_mm, self.z_mm)]
        return np.stack([columns[0], y_mm, columns[1]], axis=1)

    def cobb_deg(self, low_mm: float, high_mm: float) -> float:
        """Cobb angle of the line between two heights, read as from a line drawn on a radiograph."""
        y = np.linspace(low_mm, high_mm, 60)
        return curve_cobb_deg(self.at(y)[:, 0], y)


def guesses(seen: Observations, options: FitOptions | None = None) -> dict[str, CentreGuess]:
    """The guesses from the same line and landmarks, by name; skin depth and gain as in the fit."""
    options, line = options or FitOptions(), seen.line
    good = line.seen
    y, x, z = line.y_mm[good], line.x_mm[good], line.z_mm[good]
    L = options.skin_depth.depth_mm(seen.trunk_mm, seen.vp_mm[1] - y)
    turned = line.rotation_seen
    rotation = np.zeros_like(y)
    if turned.any():
        rotation = options.rotation_gain * np.interp(y, line.y_mm[turned], line.rotation_rad[turned])
    ends = np.stack([seen.base_mm, seen.vp_mm])
    x_chord = np.interp(y, ends[:, 1], ends[:, 0])
    return {
        "chord": CentreGuess(y, x_chord, z - L),
        "line": CentreGuess(y, x, z - L),
        "offset": CentreGuess(y, x - L * np.sin(rotation), z - L * np.cos(rotation)),
    }


def chain_at_heights(
    T: Float[np.ndarray, "25 4 4"], y_mm: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "k 3"]:
    """The line through the chain's centres C7 ... S1 at these heights, as for a guess."""
    c = T[_BELOW, :3, 3]
    smooth = PchipInterpolator(c[:, 1], c[:, [0, 2]])(np.clip(y_mm, c[0, 1], c[-1, 1]))
    return np.stack([smooth[:, 0], y_mm, smooth[:, 1]], axis=1)


def centre_errors_mm(
    T: Float[np.ndarray, "25 4 4"], T_true: Float[np.ndarray, "25 4 4"]
) -> Float[np.ndarray, "17 3"]:
    """Of the centres, vertebra by vertebra, along x, y, z."""
    return T[TRUNK, :3, 3] - T_true[TRUNK, :3, 3]


def axial_errors_deg(
    T: Float[np.ndarray, "25 4 4"], T_true: Float[np.ndarray, "25 4 4"]
) -> Float[np.ndarray, " 17"]:
    """Of the axial rotations."""
    return wrapped_deg(axial_rotation_deg(T) - axial_rotation_deg(T_true))[TRUNK]


def line_errors_mm(
    y_mm: Float[np.ndarray, " m"], x_mm: Float[np.ndarray, " m"], true_mm: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, " k"]:
    """Lateral errors of a spinous line at those of its points that lie between the ends of the true one."""
    true = true_mm[np.argsort(true_mm[:, 1])]
    within = np.isfinite(x_mm) & inside(y_mm, true[0, 1], true[-1, 1])
    return (x_mm - np.interp(y_mm, true[:, 1], true[:, 0]))[within]


def rms(errors: np.ndarray | Sequence[np.ndarray]) -> float:
    """Root mean square of all numbers."""
    return float(np.sqrt(np.mean(np.square(errors))))


def rms_3d(errors: np.ndarray | Sequence[np.ndarray]) -> float:
    """Root mean square length of the vectors (..., 3)."""
    return float(np.sqrt(np.square(errors).sum(-1).mean()))


def centred(errors: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, "k 3"]:
    """One person's errors without their mean: of the shape alone, not of the place."""
    return errors - errors.mean(0)


def mean_abs(errors: np.ndarray | Sequence[float]) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(errors)))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's r; NaN where one of the two does not vary."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def inside(
    truth: np.ndarray | float, low: np.ndarray | float, high: np.ndarray | float
) -> Bool[np.ndarray, ...]:
    """Which intervals hold the truth, ends included."""
    return (np.asarray(low) <= truth) & (truth <= np.asarray(high))


def in_sigmas(
    truth: np.ndarray | float, found: np.ndarray | float, low: np.ndarray | float, high: np.ndarray | float
) -> Float[np.ndarray, ...]:
    """Error over the standard deviation that a 90 % interval states: RMS 1 where intervals are honest."""
    return (np.asarray(found) - truth) / (np.asarray(high) - low) * (2 * 1.6449)


def over_people(
    people: Sequence[_Item], figure: Callable[[Sequence[_Item]], float], draws: int = 400
) -> tuple[float, float]:
    """90 % interval of a figure over people like these: bootstrap of whole persons, seeded."""
    rng = np.random.default_rng(0)
    n = len(people)
    values = [figure([people[i] for i in rng.integers(0, n, n)]) for _ in range(draws)]
    low, high = np.percentile(values, (5, 95))
    return float(low), float(high)


def _straight_on(at: np.ndarray, y: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linear interpolation that goes on beyond the ends with the slope of the outermost fifth."""
    k = max(len(y) // 5, 2)
    low, high = (np.polyfit(y[part], values[part], 1)[0] for part in (slice(0, k), slice(-k, None)))
    beyond = low * np.minimum(at - y[0], 0) + high * np.maximum(at - y[-1], 0)
    return np.interp(at, y, values) + beyond
