"""The spinous line: the curve on the skin over the spinous processes, exactly through the skin point of every
vertebra.

Skin point of vertebra i: s_i = c_i + L_i d_i, with L_i the skin-to-centre distance and d_i the direction in
which the vertebra points backwards: level (the azimuth of R_i e_z) or R_i e_z itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline

from spine.anatomy import BASE_POINT_IN_S1_MM, LEVELS, VERTEBRAE
from spine.measure.angles import C7, L5, S1
from spine.skin_depth import SkinDepth
from spine.synthetic.config import SubjectConfig
from spine.synthetic.posture import Posture
from spine.synthetic.random_curves import draw, smooth_curve

HIGHEST = LEVELS.index("C4")
"""The line is drawn up to here, into the neck."""
THINNEST_MM = 3.0
"""Least skin over a spinous process, about."""
_NAPE_MM = 6.0  # more than that over C4 ... C7
CLOSEST_MM = 5.0
"""Skin points of neighbouring vertebrae are at least this far apart in height."""


@dataclass(frozen=True)
class SkinLine:
    """x and z of the line as functions of y (mm), with the skin points it goes through.

    `skin_points_mm` holds s_i for every level; the line passes through those of C7 ... L5 (of S1 too where
    skin points are level with centres). VP is the line at the height of the tip of C7's spinous process,
    the base mid-point the line at that of the sacral crest (both points: `spine.anatomy`).
    """

    skin_to_centre_mm: Float[np.ndarray, " 25"]
    skin_points_mm: Float[np.ndarray, "25 3"]
    base_mm: Float[np.ndarray, " 3"]
    vp_mm: Float[np.ndarray, " 3"]
    xz: Callable[[np.ndarray], np.ndarray]

    def at(self, y_mm: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        x, z = self.xz(y_mm).T
        return np.stack([x, np.asarray(y_mm, np.float64), z], axis=1)

    def moved(self, by_mm: Float[np.ndarray, " 3"]) -> SkinLine:
        """The same line at another place."""
        return SkinLine(
            self.skin_to_centre_mm,
            self.skin_points_mm + by_mm,
            self.base_mm + by_mm,
            self.vp_mm + by_mm,
            lambda y: self.xz(y - by_mm[1]) + by_mm[[0, 2]],
        )


def backwards(T_body_vertebra: Float[np.ndarray, "25 4 4"], direction: str) -> Float[np.ndarray, "25 3"]:
    """Unit vectors from the centres to the skin."""
    d = T_body_vertebra[:, :3, 2].copy()
    if direction == "horizontal":
        d[:, 1] = 0
    return d / np.linalg.norm(d, axis=1, keepdims=True)


def lay_skin_line(rng: np.random.Generator, config: SubjectConfig, posture: Posture) -> SkinLine | None:
    """A person's skin over a posture; None where the skin points of this posture would crowd."""
    T = posture.T_body_vertebra
    centre, size = T[:, :3, 3], posture.template.size
    tip = T[C7] @ np.append(size * VERTEBRAE["C7"].spinous_tip, 1)
    crest = T[S1] @ np.append(size * BASE_POINT_IN_S1_MM, 1)
    trunk = tip[1] - crest[1]

    L = SkinDepth().depth_mm(trunk, tip[1] - centre[:, 1]) * np.exp(
        config.skin_to_centre_sd * np.clip(rng.normal(), -2.5, 2.5)
        + config.skin_to_centre_wave * smooth_curve(rng, np.arange(len(T), dtype=float), 3.5)
    )
    scale = trunk / 420
    prominence = np.array([-7.0, -5.0, -2.5, 0.6, 2.6, 2.0, 1.0]) * rng.uniform(0.3, 1.3) * scale
    L[HIGHEST - 1 : HIGHEST - 1 + len(prominence)] += prominence  # C7 and T1 stand out over the nape
    L[: HIGHEST - 1] += prominence[0]
    L[L5:] -= np.array([2.0, 6.0]) * scale  # little flesh over the sacrum
    d = backwards(T, config.skin_direction)
    bone = (d * _spinous_arms(posture)).sum(1)
    bone[HIGHEST : C7 + 1] += _NAPE_MM  # the nape leans forward over the tips
    L = _over_bone(L, bone)
    s = centre + L[:, None] * d

    upright = config.skin_direction == "horizontal"
    levels = np.arange(S1 if upright else L5, HIGHEST - 1, -1)
    knots = s[levels]
    if not upright:  # along its axis S1 points far up the loins: the base itself holds the line there
        flesh = np.array([0.0, 0.0, draw(rng, (17.0, 4.0)) * scale])
        knots = np.vstack([crest[:3] + flesh, knots])
    if (np.diff(knots[:, 1]) < CLOSEST_MM).any():
        return None
    # Below, the skin follows the sacrum into the gluteal cleft.
    lean = T[S1, 0, 1] / T[S1, 1, 1]
    drop, depth = np.array([100.0, 50.0]) * scale, rng.uniform(-3, 6) * scale
    below = np.stack([-0.5 * lean * drop, -drop, [-depth - rng.uniform(4, 14) * scale, -depth]], axis=1)
    start = np.array([knots[0, 0], crest[1], knots[0, 2]])
    knots = np.vstack([start + below, knots])
    xz = CubicSpline(knots[:, 1], knots[:, [0, 2]])
    base_x, base_z = xz(crest[1])
    base = np.array([base_x, crest[1], base_z])
    x, z = xz(tip[1])
    return SkinLine(L, s, base, np.array([x, tip[1], z]), xz)


def _spinous_arms(posture: Posture) -> Float[np.ndarray, "25 3"]:
    """From each centre to the tip of its spinous process, in the body frame; none for S1."""
    tips = [VERTEBRAE[level].spinous_tip for level in LEVELS[:-1]]
    own = posture.template.size * np.array([*tips, np.zeros(3)])
    return (posture.T_body_vertebra[:, :3, :3] @ own[:, :, None])[:, :, 0]


def _over_bone(L: Float[np.ndarray, " 25"], bone: Float[np.ndarray, " 25"]) -> Float[np.ndarray, " 25"]:
    """Distances that keep about THINNEST_MM over the bone: a soft maximum."""
    return bone + THINNEST_MM * (1 + np.logaddexp(0, (L - bone) / THINNEST_MM - 1))
