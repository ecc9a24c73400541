"""What pulls on the chain: one term of the energy, one pure function giving whitened residuals and Jacobian.

State x (80 numbers): the pose vector of `spine.chain` (79) and f, the logarithm of the person's skin
factor. With c_i the centre of vertebra i, a_i the azimuth of its posterior axis R_i e_z (positive: it
points to the right) and L the form of `spine.skin_depth`, the skin point over a vertebra lies level with
its centre:

    s_i = c_i + e^f L(y_i) (sin a_i, 0, cos a_i)          y_i = y_VP - c_i.y

which is the offset of Drerup & Hierholzer (Clin Biomech 1994;9:28) with the vertebra's own rotation in it.
Residuals are in standard deviations; a term without a unit in its arguments takes sigmas in the unit of its
residuals.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from spine.anatomy import BASE_POINT_IN_S1_MM, LEVELS, RANGE_OF_MOTION_DEG, VERTEBRAE
from spine.chain import (
    N_JOINTS,
    N_LEVELS,
    N_PARAMETERS,
    SpinePose,
    SpineTemplate,
    forward_kinematics,
    forward_kinematics_of_vectors,
    kinematics_jacobian,
)
from spine.observations import Curve
from spine.skin_depth import SkinDepth

N_STATE = N_PARAMETERS + 1
SKIN = N_PARAMETERS
SCALE = 6
C7, S1 = LEVELS.index("C7"), N_LEVELS - 1
Term = tuple[np.ndarray, np.ndarray]  # whitened residuals (m,), their Jacobian (m, 80)


@dataclass(frozen=True)
class ChainState:
    """The chain at one state x, with the derivatives of its centres and rotations; body frame, mm."""

    template: SpineTemplate
    x: Float[np.ndarray, " 80"]
    T_body_vertebra: Float[np.ndarray, "25 4 4"]
    dcenter: Float[np.ndarray, "25 3 80"]
    drotation: Float[np.ndarray, "25 3 80"]
    skin_depth: SkinDepth
    trunk_mm: float
    vp_y_mm: float

    @property
    def center(self) -> Float[np.ndarray, "25 3"]:
        return self.T_body_vertebra[:, :3, 3]

    @cached_property
    def azimuth(self) -> Term:
        """a_i in rad (25,) and its derivative (25, 80)."""
        d = self.T_body_vertebra[:, :3, 2]
        lean = (d[:, 1] / (d[:, 0] ** 2 + d[:, 2] ** 2))[:, None]
        w = self.drotation
        da = w[:, 1] - lean * (d[:, :1] * w[:, 0] + d[:, 2:] * w[:, 2])
        return np.arctan2(d[:, 0], d[:, 2]), da

    @cached_property
    def skin(self) -> tuple[Float[np.ndarray, "25 3"], Float[np.ndarray, "25 3 80"]]:
        """s_i in mm and its derivative."""
        (a, da), factor = self.azimuth, np.exp(self.x[SKIN])
        L = factor * self.skin_depth.depth_mm(self.trunk_mm, self.vp_y_mm - self.center[:, 1])
        dL = -factor * self.skin_depth.b * self.dcenter[:, 1]
        dL[:, SKIN] += L
        out, across = (
            np.stack(v, axis=1) for v in ((np.sin(a), 0 * a, np.cos(a)), (np.cos(a), 0 * a, -np.sin(a)))
        )
        ds = self.dcenter + out[:, :, None] * dL[:, None] + (L[:, None] * across)[:, :, None] * da[:, None]
        return self.center + L[:, None] * out, ds


def chain_state(
    template: SpineTemplate,
    x: Float[np.ndarray, " 80"],
    skin_depth: SkinDepth,
    trunk_mm: float,
    vp_y_mm: float,
) -> ChainState:
    """Forward kinematics with derivatives; `trunk_mm` and `vp_y_mm` are what the skin depth is measured
    by."""
    T, dc, dr = kinematics_jacobian(template, SpinePose.from_vector(x[:N_PARAMETERS]))
    dcenter, drotation = (np.concatenate([d, np.zeros((N_LEVELS, 3, 1))], axis=2) for d in (dc, dr))
    return ChainState(template, x, T, dcenter, drotation, skin_depth, trunk_mm, vp_y_mm)


def skin_points(
    template: SpineTemplate,
    states: Float[np.ndarray, "*batch 80"],
    skin_depth: SkinDepth,
    trunk_mm: float,
    vp_y_mm: float,
) -> tuple[Float[np.ndarray, "*batch 25 4 4"], Float[np.ndarray, "*batch 25 3"]]:
    """`T_body_vertebra` and the skin point over every vertebra, of many states at once."""
    T = forward_kinematics_of_vectors(template, states[..., :N_PARAMETERS])
    a, c = np.arctan2(T[..., 0, 2], T[..., 2, 2]), T[..., :3, 3]
    L = np.exp(states[..., SKIN, None]) * skin_depth.depth_mm(trunk_mm, vp_y_mm - c[..., 1])
    return T, c + L[..., None] * np.stack([np.sin(a), np.zeros_like(a), np.cos(a)], axis=-1)


def line_term(
    state: ChainState, levels: Int[np.ndarray, " k"], x_of_y: Curve, sigma_mm: Float[np.ndarray, " k"]
) -> Term:
    """How far the skin point of each level lies to the side of the spinous line at its height."""
    return _against_curve(state, 0, levels, x_of_y, sigma_mm)


def depth_term(
    state: ChainState, levels: Int[np.ndarray, " k"], z_of_y: Curve, sigma_mm: Float[np.ndarray, " k"]
) -> Term:
    """How far it lies behind the skin at that height of the line."""
    return _against_curve(state, 2, levels, z_of_y, sigma_mm)


def rotation_term(
    state: ChainState,
    levels: Int[np.ndarray, " k"],
    rotation_of_y: Curve,
    gain: float,
    sigma_rad: Float[np.ndarray, " k"],
) -> Term:
    """Azimuth of each vertebra against `gain` times the rotation of the skin over it."""
    a, da = state.azimuth
    rotation, slope = rotation_of_y(state.center[levels, 1])
    r = a[levels] - gain * rotation[:, 0]
    J = da[levels] - gain * slope * state.dcenter[levels, 1]
    return r / sigma_rad, J / sigma_rad[:, None]


def height_term(
    state: ChainState, vp_y_mm: float, base_y_mm: float, sigma_mm: Float[np.ndarray, " 2"]
) -> Term:
    """VP is level with the tip of C7's spinous process, the base mid-point with the sacral crest at S2.

    The points are those of `spine.anatomy` (`BASE_POINT_IN_S1_MM` puts the base below and behind the end
    plate).
    """
    size = state.template.size * np.exp(state.x[SCALE])
    levels = [C7, S1]
    own = size * np.stack([VERTEBRAE["C7"].spinous_tip, BASE_POINT_IN_S1_MM])
    arm = (state.T_body_vertebra[levels, :3, :3] @ own[:, :, None])[:, :, 0]
    w = state.drotation[levels]
    J = state.dcenter[levels, 1] + w[:, 2] * arm[:, :1] - w[:, 0] * arm[:, 2:]
    J[:, SCALE] += arm[:, 1]
    r = state.center[levels, 1] + arm[:, 1] - np.array([vp_y_mm, base_y_mm])
    return r / sigma_mm, J / sigma_mm[:, None]


def skin_factor_term(state: ChainState, sigma: float) -> Term:
    """Logarithm of the person's skin factor."""
    return state.x[[SKIN]] / sigma, _unit_rows(SKIN, 1) / sigma


def scale_term(state: ChainState, expected: float, sigma: float) -> Term:
    """Logarithm of the scale against the one expected: that which gives the template the person's trunk."""
    return (state.x[[SCALE]] - expected) / sigma, _unit_rows(SCALE, 1) / sigma


def root_term(state: ChainState, sigma_rad: Float[np.ndarray, " 3"]) -> Term:
    """Rotation of the sacrum (about x, y, z) against the template's."""
    return state.x[:3] / sigma_rad, _unit_rows(0, 3) / sigma_rad[:, None]


def level_prior_term(state: ChainState, whitening: Float[np.ndarray, "72 72"]) -> Term:
    """Gaussian process over levels of the joint rotations; `whitening` comes from `level_whitening`."""
    J = np.zeros((len(whitening), N_STATE))
    J[:, 7:SKIN] = whitening
    return whitening @ state.x[7:SKIN], J


def coupling_term(state: ChainState, ratio: float, sigma_rad: float) -> Term:
    """Axial rotation T2 ... L4 against `ratio` times the coronal bend of the chain between two levels up
    and down.

    The bend is positive where the curve is convex to the left; spinous processes turn to the concave side,
    so a positive ratio describes a scoliotic spine.
    """
    i = np.arange(C7 + 2, S1 - 1)
    (a, da), c, dc = state.azimuth, state.center, state.dcenter
    tilt, dtilt = _coronal_tilt(c[i - 2] - c[i], dc[i - 2] - dc[i])
    below, dbelow = _coronal_tilt(c[i] - c[i + 2], dc[i] - dc[i + 2])
    r, J = a[i] - ratio * (tilt - below), da[i] - ratio * (dtilt - dbelow)
    return r / sigma_rad, J / sigma_rad


def motion_term(state: ChainState, reference: SpinePose, sigma_rad: float) -> Term:
    """What a change of pose exceeds the range of motion by: 0 within, growing beyond (a barrier for x >= 0).

    Flexion and extension each have half of the whole range of `RANGE_OF_MOTION_DEG`. Only changes are
    bounded: a resting scoliotic spine lies outside of it.
    """
    limit = np.radians(RANGE_OF_MOTION_DEG * np.array([0.5, 1.0, 1.0])).ravel()
    change = state.x[7:SKIN] - reference.joint_rotation_rad.ravel()
    excess = np.abs(change) - limit
    J = np.zeros((len(limit), N_STATE))
    J[:, 7:SKIN] = np.diag(np.sign(change) * (excess > 0)) / sigma_rad
    return np.maximum(excess, 0) / sigma_rad, J


def level_covariance(sd: float, white: float, length_levels: float, n: int) -> Float[np.ndarray, "n n"]:
    """Squared exponential over n neighbouring levels, plus white noise."""
    step = np.arange(n)[:, None] - np.arange(n)
    return sd**2 * np.exp(-((step / length_levels) ** 2) / 2) + white**2 * np.eye(n)


def level_cholesky(
    sd_rad: Float[np.ndarray, " 3"], white_rad: Float[np.ndarray, " 3"], length_levels: float
) -> Float[np.ndarray, "72 72"]:
    """Square root K = G G' of the prior covariance of the joint rotations, in the order of the pose
    vector."""
    G = np.zeros((N_JOINTS, 3, N_JOINTS, 3))
    for axis in range(3):
        K = level_covariance(float(sd_rad[axis]), float(white_rad[axis]), length_levels, N_JOINTS)
        G[:, axis, :, axis] = np.linalg.cholesky(K)
    return G.reshape(3 * N_JOINTS, -1)


def level_whitening(
    sd_rad: Float[np.ndarray, " 3"], white_rad: Float[np.ndarray, " 3"], length_levels: float
) -> Float[np.ndarray, "72 72"]:
    """W = G^-1 with W' W = K^-1."""
    return np.linalg.inv(level_cholesky(sd_rad, white_rad, length_levels))


def template_trunk_mm(template: SpineTemplate) -> float:
    """Height of the tip of C7's spinous process above the sacral crest at S2, at rest."""
    c7, s1 = forward_kinematics(template, SpinePose())[[C7, S1]]
    tip, base = template.size * VERTEBRAE["C7"].spinous_tip, template.size * BASE_POINT_IN_S1_MM
    return float(c7[1, 3] + c7[1, :3] @ tip - s1[1, 3] - s1[1, :3] @ base)


def _against_curve(
    state: ChainState, axis: int, levels: np.ndarray, curve: Curve, sigma_mm: np.ndarray
) -> Term:
    s, ds = state.skin
    value, slope = curve(s[levels, 1])
    r = s[levels, axis] - value[:, 0]
    J = ds[levels, axis] - slope * ds[levels, 1]
    return r / sigma_mm, J / sigma_mm[:, None]


def _coronal_tilt(d: np.ndarray, dd: np.ndarray) -> Term:
    """Lean to the right (rad) of segments that go up, and its derivative."""
    square = (d[:, 0] ** 2 + d[:, 1] ** 2)[:, None]
    return np.arctan2(d[:, 0], d[:, 1]), (d[:, 1:2] * dd[:, 0] - d[:, :1] * dd[:, 1]) / square


def _unit_rows(first: int, count: int) -> np.ndarray:
    rows = np.zeros((count, N_STATE))
    rows[np.arange(count), first + np.arange(count)] = 1.0
    return rows
