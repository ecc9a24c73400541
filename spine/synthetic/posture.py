"""A random standing spine: three angles per vertebra, drawn as people's spines vary, on the chain of
`spine.chain`.

Per vertebra i: tilt t_i seen from behind (+ = right side rises), lean s_i (+ = extension) and axial rotation
q_i, the azimuth of its z axis (+ = spinous process to the right), as `spine.measure.angles` reads them; the
frame is

    R_i = Rz(t_i) Rx(s_i) Ry(a_i)        tan a_i = (cos s_i tan q_i - sin t_i sin s_i) / cos t_i

and the pose holds the joint rotations that bring it about. The tilt is a sum of curves, each a smooth step in
tilt over its apex; two compensating curves are solved for so that the upper end stands straight above the
sacrum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from spine.anatomy import LEVELS
from spine.chain import N_JOINTS, SpinePose, SpineTemplate, forward_kinematics, standing_template
from spine.measure.angles import C7, L5, S1, T1, T12
from spine.measure.coronal import cobb_from_tilts
from spine.shape import load_shape_modes
from spine.synthetic.config import CurveType, SubjectConfig
from spine.synthetic.random_curves import draw, smooth_curve
from suite.geometry.rotations import so3_exp, so3_log

_LEVEL = np.arange(len(LEVELS), dtype=np.float64)
_N_SHAPE_MODES = 8
_MILD_DEG = 8.0
_T1_TILT_SD_DEG, _PELVIC_TILT_SD_DEG = 3.2, 1.6
_MOST_AXIAL_RAD = np.radians(28.0)


@dataclass(frozen=True)
class Posture:
    """A spine with its root at the centre of S1 (origin), before it is placed under its skin."""

    template: SpineTemplate
    pose: SpinePose
    T_body_vertebra: Float[np.ndarray, "25 4 4"]
    curve_type: CurveType


def sample_posture(rng: np.random.Generator, config: SubjectConfig, trunk_mm: float) -> Posture:
    """A posture of a person with this height of trunk."""
    shares = config.curves.model_dump()
    weight = np.array([shares[name] for name in get_args(CurveType)])
    curve_type: CurveType = get_args(CurveType)[rng.choice(len(weight), p=weight / weight.sum())]
    cobb_deg = config.cobb_max_deg * rng.beta(1.3, 1.95)
    if curve_type == "straight":
        cobb_deg = min(_MILD_DEG, config.cobb_max_deg) * rng.uniform()

    thoracic_cobb = cobb_deg if curve_type != "thoracolumbar" else 0.3 * cobb_deg
    kyphosis = draw(rng, config.kyphosis_deg) - rng.uniform(*config.hypokyphosis) * thoracic_cobb
    modes = load_shape_modes()
    coefficients = config.shape_sd * rng.normal(size=_N_SHAPE_MODES) * ~modes.lateral[:_N_SHAPE_MODES]
    template = standing_template(
        trunk_mm,
        shape_coefficients=coefficients,
        kyphosis_deg=float(np.clip(kyphosis, 5, 75)),
        lordosis_deg=float(np.clip(draw(rng, config.lordosis_deg), 30, 85)),
    )
    rest = forward_kinematics(template, SpinePose())
    length = np.linalg.norm(np.diff(rest[:, :3, 3], axis=0), axis=1)

    lean_jitter, axial_jitter, tilt_jitter = np.radians(config.jitter_deg)
    lean = np.arctan2(rest[:, 2, 1], rest[:, 1, 1]) + lean_jitter * smooth_curve(rng, _LEVEL, 2.5)
    lean += _lean_to_balance(lean, length, draw(rng, config.sagittal_balance_mm) * trunk_mm / 420)
    tilt = _coronal_tilt(rng, config, curve_type, np.radians(cobb_deg), length * np.cos(lean[:-1]))
    tilt += tilt_jitter * smooth_curve(rng, _LEVEL, 2.5)

    centre_x, height = _centres(tilt, lean, length)
    deviation = centre_x - centre_x[C7] * height / height[C7]
    gain = np.radians(rng.uniform(*config.rotation_deg_per_mm)) * 420 / trunk_mm
    axial = -gain * deviation * np.exp(0.25 * smooth_curve(rng, _LEVEL, 6.0))
    axial = _MOST_AXIAL_RAD * np.tanh(axial / _MOST_AXIAL_RAD) + axial_jitter * smooth_curve(rng, _LEVEL, 3.0)
    axial[:C7] = axial[C7]

    pose = _pose_of(template, tilt, lean, axial)
    return Posture(template, pose, forward_kinematics(template, pose), curve_type)


def moved(posture: Posture, translation_mm: Float[np.ndarray, " 3"]) -> Posture:
    """The same posture with S1 at another place."""
    pose = replace(posture.pose, root_translation_mm=posture.pose.root_translation_mm + translation_mm)
    return replace(posture, pose=pose, T_body_vertebra=forward_kinematics(posture.template, pose))


def _coronal_tilt(
    rng: np.random.Generator, config: SubjectConfig, kind: CurveType, cobb: float, rise: np.ndarray
) -> np.ndarray:
    """Tilts (rad) whose largest curve is about `cobb`; `rise` (24,) is how far each joint rises when
    upright."""
    lumbar = kind == "thoracolumbar" or (kind == "straight" and rng.uniform() < 0.5)
    side = 1.0 if rng.uniform() < config.right_thoracic_share else -1.0
    side = -side if lumbar else side
    apex = rng.normal(*((T12 + 1.7, 0.9) if lumbar else (T1 + 7.3, 0.9)))
    wide = rng.uniform(1.5, 2.5)
    main = side * _step(apex, wide)
    if kind == "double_major":
        second = apex + rng.uniform(5.6, 6.8)
        main -= side * rng.uniform(0.7, 1.05) * _step(second, rng.uniform(1.2, 1.8))
    above = _step(max(apex - wide - rng.uniform(2.6, 4.2), T1 + 0.8), rng.uniform(1.2, 2.0))
    below = _step(min(apex + wide + rng.uniform(2.6, 4.2), S1 - 0.6), rng.uniform(1.0, 1.8))
    if kind == "double_major":
        below = _step(S1 - rng.uniform(0.6, 1.4), 0.9)

    def ends(tilt: np.ndarray) -> np.ndarray:  # tilt of T1, and C7 beside S1
        return np.array([tilt[T1], -(tilt[:-1] * rise)[C7:].sum()])

    response = np.stack([ends(above), ends(below)], axis=1)

    def compensation(wanted: np.ndarray) -> np.ndarray:
        up, down = np.linalg.solve(response, wanted)
        return up * above + down * below

    tilt = main + compensation(-ends(main))
    tilt *= cobb / np.radians(cobb_from_tilts(np.degrees(tilt[T1 : L5 + 1])))
    uneven = np.radians(rng.normal() * _T1_TILT_SD_DEG)
    if kind == "double_thoracic":
        uneven -= side * 0.25 * cobb * rng.uniform(0.6, 1.4)
    aside = rng.normal() * config.coronal_balance_sd_mm
    tilt += compensation((0.4 if kind == "straight" else 1.0) * np.array([uneven, aside]))
    tilt += np.radians(rng.normal() * _PELVIC_TILT_SD_DEG)
    tilt[:T1] = tilt[T1] * (1 + _LEVEL[:T1]) / (1 + T1)  # the head is held upright
    return tilt


def _step(apex: float, width: float) -> np.ndarray:
    """Tilt rising from 0 at S1 to 1 at the top, about the apex: a curve convex to the right."""
    rise = ndtr((apex - _LEVEL) / width)
    return (rise - rise[S1]) / (1 - rise[S1])


def _lean_to_balance(lean: np.ndarray, length: np.ndarray, wanted_z_mm: float) -> float:
    """The lean to add everywhere so that C7 stands at wanted_z_mm over S1."""
    middle = (lean[:-1] + lean[1:])[C7:] / 2
    z, y = (np.sin(middle) * length[C7:]).sum(), (np.cos(middle) * length[C7:]).sum()
    return float(np.arctan2(wanted_z_mm, np.sqrt(max(z**2 + y**2 - wanted_z_mm**2, 1.0))) - np.arctan2(z, y))


def _centres(tilt: np.ndarray, lean: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the centres above S1, near enough to tell deviations by."""
    t, s = (tilt[:-1] + tilt[1:]) / 2, (lean[:-1] + lean[1:]) / 2
    x, y = -np.sin(t) * np.cos(s) * length, np.cos(t) * np.cos(s) * length
    above = np.cumsum(np.stack([x, y])[:, ::-1], axis=1)[:, ::-1]
    return np.append(above[0], 0.0), np.append(above[1], 0.0)


def _pose_of(template: SpineTemplate, tilt: np.ndarray, lean: np.ndarray, axial: np.ndarray) -> SpinePose:
    """The pose with these angles; `axial` is the azimuth."""
    zero = np.zeros_like(tilt)
    own = np.arctan((np.cos(lean) * np.tan(axial) - np.sin(tilt) * np.sin(lean)) / np.cos(tilt))
    R = (
        so3_exp(np.stack([zero, zero, tilt], axis=1))
        @ so3_exp(np.stack([lean, zero, zero], axis=1))
        @ so3_exp(np.stack([zero, own, zero], axis=1))
    )
    E = template.R_rest
    root = so3_log(R[-1] @ E[-1].T)
    joints = so3_log(np.swapaxes(R[1:] @ E[:N_JOINTS], 1, 2) @ R[:-1])
    return SpinePose(root_rotation_rad=root, joint_rotation_rad=joints)
