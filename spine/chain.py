"""The chain of vertebrae: template, pose, forward kinematics and its Jacobian.

Letters: vertebra i in the order of `LEVELS` (0 = C1 ... 23 = L5, 24 = S1); the parent of i is i + 1, the
root is S1. `R_i`, `c_i` are the rotation and centre of vertebra i in the body frame, `p_i` the joint (disc)
between i and its parent, `E_i` the rest rotation, `phi_i` the pose's rotation vector and s the logarithm of
the scale:

    R_S1 = exp(root_rotation) E_S1        c_S1 = root_translation
    R_i  = R_{i+1} E_i exp(phi_i)         p_i  = c_{i+1} + e^s R_{i+1} below_i
                                          c_i  = p_i     + e^s R_i above_i

Frames and signs are those of ARCHITECTURE.md: x right, y cranial, z posterior; rotation about +x extends.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from spine import anatomy
from spine.anatomy import LEVELS
from spine.shape import CURVE_LEVELS, load_shape_modes
from suite.errors import BadInput
from suite.geometry.rotations import so3_exp, so3_left_jacobian, so3_log

N_LEVELS = len(LEVELS)
N_JOINTS = N_LEVELS - 1
N_PARAMETERS = 7 + 3 * N_JOINTS
"""Length of a pose vector: root rotation 3, root translation 3, log scale 1, joint rotations 72."""


@dataclass(frozen=True)
class SpineTemplate:
    """Lengths and resting shape of a spine; joint i lies between vertebra i and its parent i + 1.

    `below_mm` goes from the centre of the parent to the joint, in the parent's frame; `above_mm` from the
    joint to the centre of vertebra i, in its own frame; `rest_rotation_rad` is the rotation vector of
    vertebra i in its parent; `root_rest_rad` that of S1 in the body frame (it carries the sacral slope).
    `size` is the ratio of the vertebrae's own dimensions to those of `spine.anatomy` and scales their
    meshes.
    """

    below_mm: Float[np.ndarray, "24 3"]
    above_mm: Float[np.ndarray, "24 3"]
    rest_rotation_rad: Float[np.ndarray, "24 3"]
    root_rest_rad: Float[np.ndarray, " 3"]
    size: float = 1.0

    def __post_init__(self) -> None:
        for name in ("below_mm", "above_mm", "rest_rotation_rad"):
            _own_array(self, name, (N_JOINTS, 3))
        _own_array(self, "root_rest_rad", (3,))
        if not (np.isfinite(self.size) and self.size > 0):
            raise BadInput(f"size must be positive, got {self.size}", where="SpineTemplate.size")

    @cached_property
    def R_rest(self) -> Float[np.ndarray, "25 3 3"]:
        """Rest rotations as matrices, each in its parent; the last is S1 in the body frame."""
        return so3_exp(np.vstack([self.rest_rotation_rad, self.root_rest_rad]))


@dataclass(frozen=True)
class SpinePose:
    """One posture of a template: the change against its rest. All zeros is the template itself."""

    root_rotation_rad: Float[np.ndarray, " 3"] = field(default_factory=lambda: np.zeros(3))
    root_translation_mm: Float[np.ndarray, " 3"] = field(default_factory=lambda: np.zeros(3))
    log_scale: float = 0.0
    joint_rotation_rad: Float[np.ndarray, "24 3"] = field(default_factory=lambda: np.zeros((N_JOINTS, 3)))

    def __post_init__(self) -> None:
        _own_array(self, "root_rotation_rad", (3,))
        _own_array(self, "root_translation_mm", (3,))
        _own_array(self, "joint_rotation_rad", (N_JOINTS, 3))
        if not np.isfinite(self.log_scale):
            raise BadInput(f"log scale must be finite, got {self.log_scale}", where="SpinePose.log_scale")
        object.__setattr__(self, "log_scale", float(self.log_scale))

    def to_vector(self) -> Float[np.ndarray, " 79"]:
        """Root rotation, root translation, log scale, joint rotations (C1 first), in one vector."""
        parts = (self.root_rotation_rad, self.root_translation_mm, [self.log_scale])
        return np.concatenate([*parts, self.joint_rotation_rad.ravel()])

    @staticmethod
    def from_vector(vector: np.ndarray) -> SpinePose:
        """The pose of 79 numbers, the inverse of `to_vector`. Raises BadInput for another length."""
        v = np.asarray(vector, np.float64)
        if v.shape != (N_PARAMETERS,):
            raise BadInput(
                f"a pose vector has {N_PARAMETERS} numbers, got shape {v.shape}", where="SpinePose"
            )
        return SpinePose(v[:3], v[3:6], float(v[6]), v[7:].reshape(N_JOINTS, 3))


def forward_kinematics(template: SpineTemplate, pose: SpinePose) -> Float[np.ndarray, "25 4 4"]:
    """`T_body_vertebra`: the frame of every vertebra in the body frame, mm, in the order of `LEVELS`."""
    return forward_kinematics_of_vectors(template, pose.to_vector())


def forward_kinematics_of_vectors(
    template: SpineTemplate, vectors: Float[np.ndarray, "*batch 79"]
) -> Float[np.ndarray, "*batch 25 4 4"]:
    """`forward_kinematics` of many pose vectors at once."""
    v = np.asarray(vectors, np.float64)
    joint = v[..., 7:].reshape(*v.shape[:-1], N_JOINTS, 3)
    return _chain(template, v, so3_exp(v[..., :3]), so3_exp(joint))[0]


def kinematics_jacobian(
    template: SpineTemplate, pose: SpinePose
) -> tuple[Float[np.ndarray, "25 4 4"], Float[np.ndarray, "25 3 79"], Float[np.ndarray, "25 3 79"]]:
    """`T_body_vertebra` with the analytic derivatives of its centres (mm) and rotations by the pose vector.

    The derivative of the rotations is that of the left, body-frame rotation vector:
    `R_i(x + d) = exp(drotation_i d) R_i(x)` to first order in d.
    """
    v = pose.to_vector()
    joint = pose.joint_rotation_rad
    T, p, R_rest = _chain(template, v, so3_exp(v[:3]), so3_exp(joint))
    c = T[:, :3, 3]
    # Columns: body-frame axes about which each parameter turns all that lies above it.
    turn_root = so3_left_jacobian(v[:3])
    turn_joint = R_rest @ so3_left_jacobian(joint)  # (joint, xyz, k)

    carried = np.arange(N_LEVELS)[:, None] <= np.arange(N_JOINTS)  # joint j carries the levels i <= j
    drotation = np.zeros((N_LEVELS, 3, N_PARAMETERS))
    drotation[:, :, :3] = turn_root
    joints = carried[:, None, :, None] * turn_joint.transpose(1, 0, 2)  # (i, xyz, j, k)
    drotation[:, :, 7:] = joints.reshape(N_LEVELS, 3, -1)

    dcenter = np.zeros_like(drotation)
    dcenter[:, :, :3] = _cross(turn_root[None], (c - c[-1])[:, :, None])
    dcenter[:, :, 3:6] = np.eye(3)
    dcenter[:, :, 6] = c - c[-1]
    arm = c[:, :, None] - p.T  # (i, xyz, j): from joint j to centre i
    dcenter[:, :, 7:] = _cross(joints, arm[..., None]).reshape(N_LEVELS, 3, -1)
    return T, dcenter, drotation


def standing_template(
    trunk_length_mm: float | None = None,
    stature_mm: float | None = None,
    shape_coefficients: Float[np.ndarray, " k"] | None = None,
    *,
    kyphosis_deg: float | None = None,
    lordosis_deg: float | None = None,
    sacral_slope_deg: float = anatomy.SACRAL_SLOPE_DEG,
) -> SpineTemplate:
    """The spine of a standing adult, sized by the trunk (C7's tip to the sacral base point) or the stature.

    Without a size it has the lengths of `spine.anatomy`. Kyphosis is the angle between the frames of T1 and
    T12, lordosis that between T12 and S1's end plate (both > 0); the bends of `STANDING_BEND_DEG` are
    scaled to give them. `shape_coefficients` (SD units, see `spine.shape`) deform T1 ... L5 as people of
    the CT population differ from their mean. Raises BadInput for sizes or angles no person has.
    """
    bend = np.radians(anatomy.STANDING_BEND_DEG)
    t1, t12 = LEVELS.index("T1"), LEVELS.index("T12")
    for joints, angle, sign, name in (
        (slice(t1, t12), kyphosis_deg, -1, "kyphosis_deg"),
        (slice(t12, N_JOINTS), lordosis_deg, 1, "lordosis_deg"),
    ):
        if angle is not None:
            _check_within(name, angle, -30.0, 130.0)
            bend[joints] *= sign * np.radians(angle) / bend[joints].sum()
    _check_within("sacral_slope_deg", sacral_slope_deg, -20.0, 90.0)
    x_axis = np.array([1.0, 0.0, 0.0])
    below, above = _upright_lengths()
    template = SpineTemplate(below, above, bend[:, None] * x_axis, -np.radians(sacral_slope_deg) * x_axis)
    if shape_coefficients is not None:
        template = _deformed(template, np.asarray(shape_coefficients, np.float64))

    if trunk_length_mm is None and stature_mm is not None:
        _check_within("stature_mm", stature_mm, 500.0, 2500.0)
        trunk_length_mm = stature_mm * anatomy.TRUNK_PER_STATURE
    if trunk_length_mm is None:
        return template
    _check_within("trunk_length_mm", trunk_length_mm, 150.0, 800.0)
    size = trunk_length_mm / trunk_length(template)
    return replace(template, below_mm=size * template.below_mm, above_mm=size * template.above_mm, size=size)


def trunk_length(template: SpineTemplate) -> float:
    """Distance (mm) from the tip of C7's spinous process to the median sacral crest at S2, at rest."""
    T = forward_kinematics(template, SpinePose())
    c7, s1 = T[LEVELS.index("C7")], T[-1]
    tip = c7[:3, :3] @ anatomy.VERTEBRAE["C7"].spinous_tip * template.size + c7[:3, 3]
    base = s1[:3, :3] @ anatomy.BASE_POINT_IN_S1_MM * template.size + s1[:3, 3]
    return float(np.linalg.norm(tip - base))


def _upright_lengths() -> tuple[np.ndarray, np.ndarray]:
    """below and above: a joint stands in the middle of its disc, C1-C2 in the dens."""
    sizes = [anatomy.VERTEBRAE[level] for level in LEVELS[:-1]]
    top = np.array([v.body_y + v.mid_height / 2 for v in sizes] + [0.0])
    below = np.zeros((N_JOINTS, 3))
    below[:, 1] = top[1:] + anatomy.mid_disc_height_mm() / 2
    above = np.zeros((N_JOINTS, 3))
    above[:, 1] = anatomy.SPACING_MM - below[:, 1]
    # The atlas turns about the dens; its own centre lies in front of it.
    above[0] = [0, -sizes[0].body_y, -anatomy.ATLAS_BEFORE_DENS_MM]
    below[0, 1] = np.sqrt(anatomy.SPACING_MM[0] ** 2 - anatomy.ATLAS_BEFORE_DENS_MM**2) - above[0, 1]
    return below, above


def _deformed(template: SpineTemplate, coefficients: np.ndarray) -> SpineTemplate:
    """The template with T1 ... L5 turned and stretched as the shape modes turn and stretch their mean
    curve."""
    modes = load_shape_modes()
    steps = [curve[:-1] - curve[1:] for curve in (modes.mean, modes.curve(coefficients))]  # upwards
    lengths = [np.linalg.norm(step, axis=1, keepdims=True) for step in steps]
    mean, own = (step / length for step, length in zip(steps, lengths, strict=True))
    turn = np.cross(mean, own)
    sine = np.linalg.norm(turn, axis=1, keepdims=True)
    turn *= np.arcsin(np.clip(sine, 0, 1)) / np.maximum(sine, 1e-12)
    # A segment follows the mean of its two vertebrae. Which of them turns more is told by smoothness alone.
    # The neck goes with T1, the sacrum stays.
    first, last = LEVELS.index(CURVE_LEVELS[0]), LEVELS.index(CURVE_LEVELS[-1])
    n = len(CURVE_LEVELS)
    halves = (np.eye(n - 1, n) + np.eye(n - 1, n, 1)) / 2
    bend = 0.3 * np.diff(np.eye(n), 2, axis=0)
    target = np.vstack([turn, np.zeros((n - 2, 3))])
    of_vertebra = np.linalg.lstsq(np.vstack([halves, bend]), target, rcond=None)[0]
    R = forward_kinematics(template, SpinePose())[:, :3, :3]
    R[first : last + 1] = so3_exp(of_vertebra) @ R[first : last + 1]
    rest = template.rest_rotation_rad.copy()
    rest[first : last + 1] = so3_log(np.swapaxes(R[first + 1 : last + 2], 1, 2) @ R[first : last + 1])
    stretch = np.ones((N_JOINTS, 1))
    stretch[first:last] = lengths[1] / lengths[0]
    return replace(
        template,
        below_mm=stretch * template.below_mm,
        above_mm=stretch * template.above_mm,
        rest_rotation_rad=rest,
    )


def _chain(
    template: SpineTemplate, v: np.ndarray, R_root: np.ndarray, R_joint: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T_body_vertebra (*batch, 25, 4, 4), joints (*batch, 24, 3), and R_{i+1} E_i (*batch, 24, 3, 3)."""
    batch = v.shape[:-1]
    E = template.R_rest
    R = np.empty((*batch, N_LEVELS, 3, 3))
    R_rest = np.empty((*batch, N_JOINTS, 3, 3))
    R[..., -1, :, :] = R_root @ E[-1]
    for i in reversed(range(N_JOINTS)):
        R_rest[..., i, :, :] = R[..., i + 1, :, :] @ E[i]
        R[..., i, :, :] = R_rest[..., i, :, :] @ R_joint[..., i, :, :]

    scale = np.exp(v[..., 6])[..., None, None]
    below = scale * (R[..., 1:, :, :] @ template.below_mm[..., None])[..., 0]
    above = scale * (R[..., :-1, :, :] @ template.above_mm[..., None])[..., 0]
    T = np.zeros((*batch, N_LEVELS, 4, 4))
    T[..., :3, :3] = R
    T[..., 3, 3] = 1.0
    T[..., -1, :3, 3] = v[..., 3:6]
    T[..., :-1, :3, 3] = v[..., None, 3:6] + np.cumsum((below + above)[..., ::-1, :], axis=-2)[..., ::-1, :]
    return T, T[..., 1:, :3, 3] + below, R_rest


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product along axis 1 of broadcastable arrays (np.cross is several times slower here)."""
    (a0, a1, a2), (b0, b1, b2) = np.moveaxis(a, 1, 0), np.moveaxis(b, 1, 0)
    return np.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0], axis=1)


def _check_within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInput(f"{value} is outside {low} ... {high}", where=name)


def _own_array(owner: object, name: str, shape: tuple[int, ...]) -> None:
    """Keep a read-only float64 copy of a field, checked for shape and finiteness."""
    where = f"{type(owner).__name__}.{name}"
    value = np.array(getattr(owner, name), np.float64)
    if value.shape != shape:
        raise BadInput(f"shape must be {shape}, got {value.shape}", where=where)
    if not np.isfinite(value).all():
        raise BadInput("holds NaN or infinite numbers", where=where)
    value.flags.writeable = False
    object.__setattr__(owner, name, value)
