"""The chain of vertebrae: laws of the forward kinematics and its Jacobian against finite differences."""

import timeit
from types import SimpleNamespace

import numpy as np
import pytest

from spine.anatomy import LEVELS, SPACING_MM
from spine.chain import (
    SpinePose,
    SpineTemplate,
    _own_array,
    forward_kinematics,
    forward_kinematics_of_vectors,
    kinematics_jacobian,
    standing_template,
    trunk_length,
)
from suite.errors import BadInput
from suite.geometry.rotations import so3_exp, so3_log


def _random_template(seed: int) -> SpineTemplate:
    rng = np.random.default_rng(seed)
    up = np.array([0.0, 1.0, 0.0])
    return SpineTemplate(
        below_mm=15 * up + rng.normal(0, 3, (24, 3)),
        above_mm=15 * up + rng.normal(0, 3, (24, 3)),
        rest_rotation_rad=rng.normal(0, 0.2, (24, 3)),
        root_rest_rad=rng.normal(0, 0.5, 3),
    )


def _random_vector(seed: int, spread_rad: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    parts = (
        rng.normal(0, spread_rad, 3),
        rng.normal(0, 50, 3),
        rng.normal(0, 0.2, 1),
        rng.normal(0, spread_rad, 72),
    )
    return np.concatenate(parts)


# At 0 every series is used; at 1.5 rad many joints turn by more than half a turn.
@pytest.mark.parametrize("spread_rad", [0.0, 1e-7, 0.1, 0.5, 1.5])
def test_jacobian_meets_finite_differences(spread_rad):
    template, x = _random_template(1), _random_vector(2, spread_rad)
    T, dcenter, drotation = kinematics_jacobian(template, SpinePose.from_vector(x))
    h = 1e-6
    steps = h * np.eye(79)
    plus, minus = (forward_kinematics_of_vectors(template, x + sign * steps) for sign in (1, -1))
    numeric_center = (plus[..., :3, 3] - minus[..., :3, 3]) / (2 * h)  # (79, 25, 3)
    relative = plus[..., :3, :3] @ np.swapaxes(minus[..., :3, :3], -1, -2)
    numeric_rotation = so3_log(relative) / (2 * h)
    np.testing.assert_allclose(dcenter, numeric_center.transpose(1, 2, 0), atol=2e-5)
    np.testing.assert_allclose(drotation, numeric_rotation.transpose(1, 2, 0), atol=1e-8)
    np.testing.assert_array_equal(T, forward_kinematics(template, SpinePose.from_vector(x)))


def test_recurrence_is_the_definition():
    template, x = _random_template(3), _random_vector(4, 0.4)
    pose = SpinePose.from_vector(x)
    T = forward_kinematics(template, pose)
    R = so3_exp(pose.root_rotation_rad) @ so3_exp(template.root_rest_rad)
    c = pose.root_translation_mm
    np.testing.assert_allclose(T[24, :3, :3], R)
    np.testing.assert_allclose(T[24, :3, 3], c)
    for i in range(23, -1, -1):
        parent = R
        R = parent @ so3_exp(template.rest_rotation_rad[i]) @ so3_exp(pose.joint_rotation_rad[i])
        c = c + np.exp(pose.log_scale) * (parent @ template.below_mm[i] + R @ template.above_mm[i])
        np.testing.assert_allclose(T[i, :3, :3], R, atol=1e-12)
        np.testing.assert_allclose(T[i, :3, 3], c, atol=1e-9)


def test_every_frame_is_rigid():
    T = forward_kinematics(_random_template(5), SpinePose.from_vector(_random_vector(6, 2.0)))
    R = T[:, :3, :3]
    np.testing.assert_allclose(R @ np.swapaxes(R, 1, 2), np.tile(np.eye(3), (25, 1, 1)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1.0)
    np.testing.assert_array_equal(T[:, 3], np.tile([0, 0, 0, 1], (25, 1)))


def test_batch_is_one_by_one():
    template = _random_template(7)
    vectors = np.stack([_random_vector(seed, 0.5) for seed in range(6)]).reshape(2, 3, 79)
    batch = forward_kinematics_of_vectors(template, vectors)
    assert batch.shape == (2, 3, 25, 4, 4)
    for i, j in np.ndindex(2, 3):
        single = forward_kinematics(template, SpinePose.from_vector(vectors[i, j]))
        np.testing.assert_allclose(batch[i, j], single, atol=1e-12)


def test_scale_law():
    """A log scale s stretches all distances from S1 by e^s and turns nothing."""
    template, x = _random_template(8), _random_vector(9, 0.5)
    grown = x.copy()
    grown[6] += 0.3
    T, G = forward_kinematics_of_vectors(template, np.stack([x, grown]))
    np.testing.assert_allclose(G[:, :3, :3], T[:, :3, :3])
    np.testing.assert_allclose(
        G[:, :3, 3] - G[24, :3, 3], np.exp(0.3) * (T[:, :3, 3] - T[24, :3, 3]), atol=1e-9
    )


def test_rigid_motion_law():
    """Moving the root moves the whole spine as one body."""
    template, x = _random_template(10), _random_vector(11, 0.5)
    T = forward_kinematics_of_vectors(template, x)
    Q, t = so3_exp(np.array([0.4, -1.0, 0.3])), np.array([5.0, -3.0, 80.0])
    moved = x.copy()
    moved[:3] = so3_log(Q @ so3_exp(x[:3]))
    moved[3:6] = Q @ x[3:6] + t
    M = forward_kinematics_of_vectors(template, moved)
    np.testing.assert_allclose(M[:, :3, :3], Q @ T[:, :3, :3], atol=1e-12)
    np.testing.assert_allclose(M[:, :3, 3], T[:, :3, 3] @ Q.T + t, atol=1e-9)


def test_a_joint_moves_only_what_lies_above():
    template, x = _random_template(12), _random_vector(13, 0.3)
    bent = x.copy()
    j = LEVELS.index("T8")
    bent[7 + 3 * j + 2] += 0.2
    T, B = forward_kinematics_of_vectors(template, np.stack([x, bent]))
    np.testing.assert_array_equal(B[j + 1 :], T[j + 1 :])
    assert (np.linalg.norm(B[:j, :3, 3] - T[:j, :3, 3], axis=1) > 1).all()


def test_vector_round_trip_and_order():
    x = np.arange(79.0)
    pose = SpinePose.from_vector(x)
    np.testing.assert_array_equal(pose.to_vector(), x)
    np.testing.assert_array_equal(pose.root_translation_mm, [3, 4, 5])
    np.testing.assert_array_equal(pose.joint_rotation_rad[LEVELS.index("L5")], [76, 77, 78])


def test_bad_poses_and_templates_are_refused():
    with pytest.raises(BadInput, match="79 numbers"):
        SpinePose.from_vector(np.zeros(78))
    with pytest.raises(BadInput, match=r"joint_rotation_rad.*NaN"):
        SpinePose(joint_rotation_rad=np.full((24, 3), np.nan))
    with pytest.raises(BadInput, match=r"SpinePose\.log_scale"):
        SpinePose(log_scale=np.inf)
    with pytest.raises(BadInput, match=r"SimpleNamespace\.below_mm: shape must be \(24, 3\), got \(23, 3\)"):
        _own_array(SimpleNamespace(below_mm=np.zeros((23, 3))), "below_mm", (24, 3))
    good = _random_template(14)
    with pytest.raises(BadInput, match="size must be positive"):
        SpineTemplate(good.below_mm, good.above_mm, good.rest_rotation_rad, good.root_rest_rad, size=0.0)


def _angle_deg(T, upper: str, lower: str) -> float:
    """Extension of one frame on another, about x."""
    R = T[LEVELS.index(lower), :3, :3].T @ T[LEVELS.index(upper), :3, :3]
    return float(np.degrees(np.arctan2(R[2, 1], R[1, 1])))


@pytest.mark.parametrize(
    ("kyphosis", "lordosis", "slope"),
    [(40.0, 55.0, 40.0), (55.0, 70.0, 50.0), (20.0, 35.0, 25.0), (0.0, 0.0, 0.0)],
)
def test_template_has_the_sagittal_angles_asked_for(kyphosis, lordosis, slope):
    template = standing_template(kyphosis_deg=kyphosis, lordosis_deg=lordosis, sacral_slope_deg=slope)
    T = forward_kinematics(template, SpinePose())
    assert _angle_deg(T, "T1", "T12") == pytest.approx(-kyphosis)
    assert _angle_deg(T, "T12", "S1") == pytest.approx(lordosis)
    up = T[24, :3, 1]  # normal of the end plate, leaning forward by the slope
    np.testing.assert_allclose(up, [0, np.cos(np.radians(slope)), -np.sin(np.radians(slope))], atol=1e-12)
    assert np.abs(T[:, 0, 3]).max() == 0


def test_template_spacing_is_the_anatomy():
    c = forward_kinematics(standing_template(), SpinePose())[:, :3, 3]
    spacing = np.linalg.norm(np.diff(c, axis=0), axis=1)
    # Bends shorten the chord a little.
    np.testing.assert_allclose(spacing, SPACING_MM, atol=0.4)
    assert (np.diff(c[:, 1]) < 0).all()


def test_template_size_by_trunk_and_stature():
    for trunk in (380.0, 520.0):
        template = standing_template(trunk)
        assert trunk_length(template) == pytest.approx(trunk)
        assert template.size == pytest.approx(trunk / trunk_length(standing_template()))
    by_stature = standing_template(stature_mm=1650.0)
    assert trunk_length(by_stature) == pytest.approx(452, abs=1)  # VP-DM of women, Formetric
    shaped = standing_template(450.0, shape_coefficients=np.array([2.0, -1, 0.5]))
    assert trunk_length(shaped) == pytest.approx(450)


def test_template_without_deformation_is_unchanged_by_zero_coefficients():
    plain, zero = standing_template(), standing_template(shape_coefficients=np.zeros(10))
    np.testing.assert_allclose(zero.rest_rotation_rad, plain.rest_rotation_rad, atol=1e-12)
    np.testing.assert_allclose(zero.below_mm, plain.below_mm, atol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [{"trunk_length_mm": 0.45}, {"stature_mm": 1.7}, {"kyphosis_deg": 200.0}, {"lordosis_deg": float("nan")}],
)
def test_template_refuses_what_no_person_has(arguments):
    with pytest.raises(BadInput, match=next(iter(arguments))):
        standing_template(**arguments)


def test_jacobian_costs_a_few_forward_passes():
    """Not the 80 passes of finite differences: about 0.7 ms on an idle core without run-time type checks."""
    template, pose = standing_template(), SpinePose.from_vector(_random_vector(15, 0.1))
    once, jacobian = (
        min(timeit.repeat(lambda f=f: f(template, pose), number=5, repeat=10))
        for f in (forward_kinematics, kinematics_jacobian)
    )
    assert jacobian < 12 * once
