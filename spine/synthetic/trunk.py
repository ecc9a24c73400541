"""A resting person bent by a spine: every vertex of the skin follows the vertebrae of its height, by weights
of our own.

Letters: (x, y, z) a vertex at rest, o = x its distance from the mid-line there; X(h), Z(h) the spinous line
of the posed spine at height h; m(y) the mid-line of the resting back; theta(h) the axial rotation of the
vertebrae, by which the skin turns with a share r. A vertex goes to

    h  = s y - tau(h) o                                   sections tilt with the trunk
    x' = o + (1 - b) A(h) + b X(h) + (z - m) sin(r theta)     the skin over the spine follows it, flanks less
    z' = z + D(h) - o' tan(r theta(h + slope |o|))        ribs slope: a hump lies lower than its vertebra

with b = exp(-(o / w)^2 / 2) how far the vertex belongs to the line, A(h) the course of the trunk as a whole,
D = Z - m what the sagittal profile differs by, and o' = o levelling out to the sides. On the mid-line at rest
(o = 0) this is the spinous line, exactly. Arms move with their shoulder, head and legs with what is next to
them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from spine.measure.angles import C7, S1, axial_rotation_deg
from spine.synthetic.config import SubjectConfig
from spine.synthetic.person import RestingPerson
from spine.synthetic.posture import Posture
from spine.synthetic.random_curves import course, smooth_curve
from spine.synthetic.skin_line import SkinLine

STEP_MM = 4.0
_LOWEST_MM, _HIGHEST_MM = 1100.0, 650.0  # of the courses, below the base and above VP
_LINE_BELOW_MM, _LINE_ABOVE_MM = 12.0, 42.0  # beyond base and VP the skin goes on from there by itself
_MOST_TURN_RAD = 0.6


@dataclass(frozen=True, eq=False)
class TrunkCourse:
    """Courses along the posed trunk, at the heights y_mm (body frame, mm, rad).

    line: x and z of the spinous line, going on into neck and buttocks; trunk_x: the trunk's own middle; turn:
    azimuth of the vertebrae; tilt: slope of the trunk's sections.
    """

    y_mm: Float[np.ndarray, " n"]
    line: Float[np.ndarray, "n 2"]
    trunk_x: Float[np.ndarray, " n"]
    turn: Float[np.ndarray, " n"]
    tilt: Float[np.ndarray, " n"]
    depth: Float[np.ndarray, " n"]
    trunk_mm: float
    stretch: float

    @property
    def scale(self) -> float:
        return self.trunk_mm / 420

    def at(self, y: Float[np.ndarray, " k"], values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
        """Values of a course at other heights."""
        return np.interp(y, self.y_mm, values)


def trunk_course(
    rng: np.random.Generator, config: SubjectConfig, person: RestingPerson, posture: Posture, line: SkinLine
) -> TrunkCourse:
    """The courses of this person in this posture; `line` starts at the origin."""
    trunk = float(line.vp_mm[1])
    scale = trunk / 420
    y = np.arange(-_LOWEST_MM, trunk + _HIGHEST_MM, STEP_MM)
    stretch = trunk / person.trunk_mm
    rest_y = np.where(y < 0, y, np.minimum(y, trunk) / stretch + np.maximum(y - trunk, 0))
    low, high = -_LINE_BELOW_MM * scale, trunk + _LINE_ABOVE_MM * scale
    on_line = line.at(np.clip(y, low, high))
    x = _going_on(y, on_line[:, 0], low, high, 22 * scale)
    at_rest = np.interp(rest_y, *person.midline_mm.T)
    depth = _going_on(y, on_line[:, 2] - at_rest, low, trunk + 18 * scale, 45 * scale)

    upwards = slice(S1, C7 - 1, -1)
    T = posture.T_body_vertebra[upwards]
    azimuth = np.radians(axial_rotation_deg(posture.T_body_vertebra)[upwards])
    height, u = T[:, 1, 3], y / trunk
    turn = gaussian_filter1d(np.interp(y, height, azimuth), 14 / STEP_MM, mode="nearest")
    turn *= course((-0.2, 0.0), (0.02, 1.0), (1.0, 1.0), (1.3, 0.0))(u)

    between = (np.interp(y, height, T[:, 0, 3]) + x) / 2
    centre = gaussian_filter1d(between, 30 * scale / STEP_MM, mode="nearest")
    follow = rng.uniform(*config.trunk_follows_spine)
    share = course((-0.1, 0.0), (0.15, 0.9 * follow), (0.4, follow), (0.85, follow), (1.05, 1.0))(u)
    sway = (
        smooth_curve(rng, u, 0.3) * 3.0 * scale * course((-0.2, 0.0), (0.1, 1.0), (0.8, 1.0), (1.1, 0.0))(u)
    )
    upright = centre[np.abs(u).argmin()]
    above = course((0.95, 0.0), (1.15, 1.0))(u)
    trunk_x = (1 - above) * (upright + share * (centre - upright) + sway) + above * x

    lean = gaussian_filter1d(np.gradient(centre, STEP_MM), 25 * scale / STEP_MM, mode="nearest")
    tilt = lean * course((-0.15, 0.0), (0.1, 0.25), (0.5, 0.4), (0.85, 0.55), (1.0, 0.6), (1.2, 0.2))(u)
    tilt = tilt * rng.uniform(*config.trunk_tilts_with_spine)
    tilt += np.tan(np.radians(rng.normal() * 1.2)) * course((0.6, 0.0), (0.9, 1.0), (1.1, 0.0))(u)
    line_xz = np.stack([x, at_rest + depth], axis=1)
    return TrunkCourse(y, line_xz, trunk_x, turn, tilt, depth, trunk, stretch)


def bent(
    rng: np.random.Generator, config: SubjectConfig, person: RestingPerson, course_: TrunkCourse
) -> Float[np.ndarray, "n 3"]:
    """All vertices of the person, following the spine."""
    follows = _Followers.drawn(rng, config, course_)
    skin, rest = person.skin, person.vertices_mm
    posed = follows(rest, person.midline_mm)
    shoulders = follows(person.shoulders_mm, person.midline_mm) - person.shoulders_mm
    arms = np.clip(skin.arms, 0, 1)
    carried = arms.sum(1, keepdims=True)
    return (1 - carried) * posed + carried * rest + arms @ shoulders


@dataclass(frozen=True, eq=False)
class _Followers:
    """How the skin of one person follows."""

    course: TrunkCourse
    ratio: float
    slope: float
    decay: float
    reach_mm: tuple[tuple[float, float], ...]
    at_line: float
    uneven: float
    near_mm: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, config: SubjectConfig, course_: TrunkCourse) -> _Followers:
        bounds = ((0.0, 30, 80), (0.25, 35, 90), (0.5, 60, 140), (1.0, 50, 120))
        return cls(
            course=course_,
            ratio=rng.uniform(*config.surface_rotation_ratio),
            slope=rng.uniform(*config.rib_slope),
            decay=rng.uniform(*config.hump_decay),
            reach_mm=tuple((u, rng.uniform(low, high) * course_.scale) for u, low, high in bounds),
            at_line=rng.uniform(*config.hump_at_line),
            uneven=0.15 * rng.normal(),
            near_mm=rng.uniform(30, 48) * course_.scale,
        )

    def __call__(
        self, rest: Float[np.ndarray, "n 3"], midline: Float[np.ndarray, "k 2"]
    ) -> Float[np.ndarray, "n 3"]:
        c = self.course
        o, y, z = rest.T
        behind = z - np.interp(y, *midline.T)
        h = np.where(
            y < 0, y, np.minimum(y * c.stretch, c.trunk_mm) + np.maximum(y - c.trunk_mm / c.stretch, 0)
        )
        h = h - c.at(h, c.tilt) * o
        on_line = np.exp(-0.5 * (o / self.near_mm) ** 2)
        turn = self.ratio * c.at(h, c.turn)
        x = o + (1 - on_line) * c.at(h, c.trunk_x) + on_line * c.at(h, c.line[:, 0]) + behind * np.sin(turn)
        smooth = gaussian_filter1d(c.depth, 22 / STEP_MM, mode="nearest")
        depth = c.at(h, smooth) + np.exp(-0.5 * (o / (38 * c.scale)) ** 2) * c.at(h, c.depth - smooth)
        return np.stack([x, h, z + depth + self._hump(o, h)], axis=1)

    def _hump(self, o: np.ndarray, h: np.ndarray) -> np.ndarray:
        """How far the skin beside the line is turned backwards or forwards."""
        c = self.course
        u = h / c.trunk_mm
        ribs = self.slope * course((0.1, 0.0), (0.35, 1.0), (0.85, 1.0), (1.0, 0.5))(u)
        raised_by = h + ribs * np.clip(np.abs(o) - 15 * c.scale, 0, 110 * c.scale)
        turn = -np.tan(np.clip(self.ratio * c.at(raised_by, c.turn), -_MOST_TURN_RAD, _MOST_TURN_RAD))
        reach, near = course(*self.reach_mm)(u), 25.0 * c.scale
        arm = o / (1 + (o / reach) ** 2) ** self.decay + self.at_line * near * np.tanh(o / near)
        return turn * arm * (1 + self.uneven * np.tanh(turn * arm / 5))


def _going_on(
    y: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"], low: float, high: float, fade_mm: float
) -> Float[np.ndarray, " n"]:
    """Values between low and high; beyond, what they come to as their slope fades."""
    out = values.copy()
    inside = np.flatnonzero((y >= low) & (y <= high))
    for first, second, beyond in (
        (inside[0], inside[3], y < y[inside[0]]),
        (inside[-1], inside[-4], y > y[inside[-1]]),
    ):
        slope = (values[first] - values[second]) / (y[first] - y[second])
        away = y[beyond] - y[first]
        out[beyond] = values[first] + slope * np.sign(away) * fade_mm * (1 - np.exp(-np.abs(away) / fade_mm))
    return out
