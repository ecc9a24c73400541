"""The smooth line through the vertebral bodies: its tangent, curvature and torsion.

r(s) is the quintic smoothing spline that minimises  sum_i |r(s_i) - c_i|^2 + lambda int |r'''|^2 ds  through
the body centres c_i of C7 ... S1, with s the cumulative chord length of the measured chain. lambda halves a
wave of `HALF_POWER_MM`; waves of a spine's curves (250 mm and longer) lose under 1 %. For given s the spline
is linear in the centres: one matrix per derivative serves all posterior samples.

curvature = |r' x r''| / |r'|^3 and torsion = det(r', r'', r''') / |r' x r''|^2 (do Carmo, Differential
Geometry of Curves and Surfaces, 1-5; torsion as a local property of the vertebral body line: Stokes et al.,
Spine 1994;19:236-248). Both hold for any parameter s. Torsion diverges at inflections of the line, a known
artefact ("torsion spike"); averages here weigh it by the squared curvature, which cancels the singular
denominator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline

from spine.measure.angles import C7
from suite.errors import BadInput

HALF_POWER_MM = 100.0
STEPS_PER_LEVEL = 8
STRAIGHT_PER_M = 0.5  # below this curvature (radius above 2 m) torsion is not shown


@dataclass(frozen=True)
class LineOperator:
    """Matrices (k, 19) that turn values at C7 ... S1 into the smooth line and its derivatives by s (mm).

    Row `STEPS_PER_LEVEL * i` stands at level C7 + i; `place` counts levels as `level_name` does.
    """

    value: Float[np.ndarray, "k 19"]
    first: Float[np.ndarray, "k 19"]
    second: Float[np.ndarray, "k 19"]
    third: Float[np.ndarray, "k 19"]
    place: Float[np.ndarray, " k"]

    def rows(self, upper: int, lower: int) -> slice:
        """The rows from one level (index of `LEVELS`) down to another, both included."""
        first, last = (round((place - C7) * STEPS_PER_LEVEL) for place in (upper, lower))
        return slice(max(first, 0), last + 1)

    def derivatives(self, T: Float[np.ndarray, "*batch 25 4 4"]) -> tuple[np.ndarray, ...]:
        """r', r'', r''' of the centre line, each (*batch, k, 3)."""
        centers = T[..., C7:, :3, 3]
        return self.first @ centers, self.second @ centers, self.third @ centers


def line_operator(T: Float[np.ndarray, "25 4 4"]) -> LineOperator:
    """The operator for the spacing of this chain. BadInput where two neighbouring centres coincide."""
    centers = T[C7:, :3, 3]
    step = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    if step.min() < 1:
        raise BadInput(f"neighbouring vertebrae lie {step.min():.2g} mm apart", where="T_body_vertebra")
    length = step.sum()
    s = np.append(0, np.cumsum(step)) / length  # in units of the whole line, for the conditioning
    knots = np.concatenate([np.repeat(s[0], 5), s, np.repeat(s[-1], 5)])
    n = len(knots) - 6

    def basis(at: np.ndarray, order: int) -> np.ndarray:
        return (
            BSpline(knots, np.eye(n), 5).derivative(order)(at) if order else BSpline(knots, np.eye(n), 5)(at)
        )

    node, weight = np.polynomial.legendre.leggauss(3)  # exact: r''' is quadratic between knots
    half = np.diff(s)[:, None] / 2
    third = basis((s[:-1, None] + half * (1 + node)).ravel(), 3)
    penalty = third.T @ (third * (half * weight).reshape(-1, 1))
    at_levels = basis(s, 0)
    strength = len(step) * (HALF_POWER_MM / (2 * np.pi * length)) ** 6
    fit = np.linalg.solve(at_levels.T @ at_levels + strength * penalty, at_levels.T)

    index = np.arange(len(step) * STEPS_PER_LEVEL + 1) / STEPS_PER_LEVEL
    fine = np.interp(index, np.arange(len(s)), s)
    value, d1, d2, d3 = (basis(fine, order) @ fit / length**order for order in range(4))
    return LineOperator(value, d1, d2, d3, C7 + index)


def tangent_tilt_deg(d1: Float[np.ndarray, "*batch k 3"]) -> Float[np.ndarray, "*batch k"]:
    """Tilt of the line seen from behind, with the sign of a vertebra's tilt (s runs downwards)."""
    return np.degrees(np.arctan2(d1[..., 0], -d1[..., 1]))


def curvature_per_m(d1: np.ndarray, d2: np.ndarray) -> Float[np.ndarray, "*batch k"]:
    """Frenet curvature of the line, 1/m, from its first two derivatives (*batch, k, 3) by mm."""
    speed = np.linalg.norm(d1, axis=-1)
    return 1000 * np.linalg.norm(np.cross(d1, d2), axis=-1) / speed**3


def torsion_per_m(d1: np.ndarray, d2: np.ndarray, d3: np.ndarray) -> Float[np.ndarray, "*batch k"]:
    """Frenet torsion, 1/m, right-handed positive; NaN where the line is nearly straight."""
    binormal = np.cross(d1, d2)
    size = np.maximum((binormal**2).sum(-1), 1e-30)
    torsion = 1000 * (binormal * d3).sum(-1) / size
    return np.where(curvature_per_m(d1, d2) < STRAIGHT_PER_M, np.nan, torsion)


def mean_torsion_per_m(
    d1: np.ndarray, d2: np.ndarray, d3: np.ndarray, *, absolute: bool = False
) -> Float[np.ndarray, " m"]:
    """Mean torsion, 1/m, weighted by the squared curvature; `absolute` averages its magnitude."""
    binormal = np.cross(d1, d2)
    speed = np.linalg.norm(d1, axis=-1)
    weighted = 1000 * (binormal * d3).sum(-1) / speed**6
    weight = (binormal**2).sum(-1) / speed**6
    top = (np.abs(weighted) if absolute else weighted) * speed
    # A straight line has no torsion: the floor is the square of a curvature of 0.05 / m.
    return top.sum(-1) / np.maximum((weight * speed).sum(-1), speed.sum(-1) * (0.05 / 1000) ** 2)
