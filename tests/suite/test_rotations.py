"""Laws of SO(3) and SE(3), drawn near the singularities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from suite.geometry.rotations import (
    is_rigid,
    se3_exp,
    se3_inverse,
    se3_log,
    so3_exp,
    so3_hat,
    so3_left_jacobian,
    so3_left_jacobian_inverse,
    so3_log,
    so3_right_jacobian,
    so3_right_jacobian_inverse,
    transform_points,
)

ANGLES_RAD = st.one_of(
    st.sampled_from([0.0, 1e-300, 1e-160, 1e-12, 1e-9, 1e-7, 1e-4, 0.19999, 0.2, 0.20001, 1.0]),
    st.sampled_from([np.pi - 1e-3, np.pi - 1e-7, np.pi - 1e-9, np.pi - 1e-12]),
    st.floats(0.0, 3.14),
)
AXES = st.one_of(
    st.sampled_from(
        [(1.0, 0, 0), (0, -1.0, 0), (0, 0, 1.0), (1.0, 1.0, 0), (-1.0, 1.0, -1.0), (1.0, 1e-9, 0)]
    ),
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 1e-3),
)
ROTATION_VECTORS = st.builds(lambda a, t: np.asarray(a) / np.linalg.norm(a) * t, AXES, ANGLES_RAD)
TRANSLATIONS = st.tuples(*[st.floats(-10, 10)] * 3).map(np.array)
TWISTS = st.builds(lambda t, p: np.concatenate([t, p]), TRANSLATIONS, ROTATION_VECTORS)


@given(ROTATION_VECTORS)
def test_exp_is_a_rotation_and_agrees_with_scipy(phi):
    R = so3_exp(phi)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=4e-15)
    assert np.linalg.det(R) == pytest.approx(1, abs=4e-15)
    np.testing.assert_allclose(R, Rotation.from_rotvec(phi).as_matrix(), atol=4e-15)


@given(ROTATION_VECTORS)
def test_log_undoes_exp_below_pi_with_full_relative_precision(phi):
    np.testing.assert_allclose(so3_log(so3_exp(phi)), phi, rtol=0, atol=3e-15 * max(1, np.linalg.norm(phi)))


@pytest.mark.parametrize("angle", [1e-12, 1e-9, 1e-7, 1e-5])
def test_tiny_angles_keep_their_digits(angle):
    phi = angle * np.array([0.6, -0.48, 0.64])
    np.testing.assert_allclose(so3_log(so3_exp(phi)), phi, rtol=1e-14)


@given(AXES)
def test_log_at_exactly_pi_gives_one_of_the_two_axes(axis):
    axis = np.asarray(axis) / np.linalg.norm(axis)
    R = 2 * np.outer(axis, axis) - np.eye(3)
    phi = so3_log(R)
    assert np.linalg.norm(phi) == pytest.approx(np.pi, abs=1e-14)
    assert abs(phi @ axis) == pytest.approx(np.pi, abs=1e-14)
    np.testing.assert_allclose(so3_exp(phi), R, atol=1e-14)


@given(ROTATION_VECTORS, ROTATION_VECTORS)
def test_log_agrees_with_scipy_on_products(a, b):
    R = so3_exp(a) @ so3_exp(b)
    np.testing.assert_allclose(so3_exp(so3_log(R)), R, atol=1e-14)
    assert np.linalg.norm(so3_log(R)) == pytest.approx(Rotation.from_matrix(R).magnitude(), abs=1e-7)


@given(ROTATION_VECTORS, ROTATION_VECTORS)
def test_adjoint_of_so3(a, b):
    R = so3_exp(a)
    np.testing.assert_allclose(R @ so3_exp(b) @ R.T, so3_exp(R @ b), atol=2e-14)
    np.testing.assert_allclose(so3_hat(a) @ b, np.cross(a, b), atol=1e-14)


@given(ROTATION_VECTORS, st.sampled_from(["left", "right"]))
def test_jacobians_meet_finite_differences(phi, side):
    h = 1e-6
    columns = []
    for e in np.eye(3) * h:
        plus, minus = so3_exp(phi + e), so3_exp(phi - e)
        step = plus @ minus.T if side == "left" else minus.T @ plus
        columns.append(so3_log(step) / (2 * h))
    J = (so3_left_jacobian if side == "left" else so3_right_jacobian)(phi)
    np.testing.assert_allclose(J, np.stack(columns, axis=-1), atol=1e-9)


@given(ROTATION_VECTORS)
def test_jacobians_fit_together(phi):
    Jl, Jr = so3_left_jacobian(phi), so3_right_jacobian(phi)
    np.testing.assert_allclose(Jl @ so3_left_jacobian_inverse(phi), np.eye(3), atol=1e-13)
    np.testing.assert_allclose(so3_right_jacobian_inverse(phi) @ Jr, np.eye(3), atol=1e-13)
    np.testing.assert_allclose(Jl, so3_exp(phi) @ Jr, atol=1e-13)


@pytest.mark.parametrize("function", [so3_left_jacobian, so3_left_jacobian_inverse, so3_exp])
def test_series_and_closed_form_meet(function):
    axis = np.array([0.6, -0.48, 0.64])
    below, above = function(axis * (0.2 - 1e-13)), function(axis * (0.2 + 1e-13))
    np.testing.assert_allclose(below, above, atol=1e-12)


@given(TWISTS)
def test_se3_exp_is_the_matrix_exponential(xi):
    generator = np.zeros((4, 4))
    generator[:3, :3], generator[:3, 3] = so3_hat(xi[3:]), xi[:3]
    np.testing.assert_allclose(se3_exp(xi), expm(generator), atol=1e-12)


@given(TWISTS)
def test_se3_log_undoes_exp(xi):
    np.testing.assert_allclose(se3_log(se3_exp(xi)), xi, atol=2e-13)


@given(TWISTS, TWISTS, TWISTS, TRANSLATIONS)
def test_se3_is_a_group(a, b, c, p):
    A, B, C = se3_exp(a), se3_exp(b), se3_exp(c)
    np.testing.assert_allclose((A @ B) @ C, A @ (B @ C), atol=1e-12)
    np.testing.assert_allclose(A @ se3_inverse(A), np.eye(4), atol=1e-13)
    np.testing.assert_allclose(se3_inverse(A), se3_exp(-a), atol=1e-12)
    np.testing.assert_allclose(
        transform_points(A, transform_points(B, p[None])), transform_points(A @ B, p[None]), atol=1e-12
    )
    assert is_rigid(A @ B @ C)


def test_leading_axes_are_independent():
    rng = np.random.default_rng(0)
    xi = rng.normal(size=(4, 5, 6))
    T, points = se3_exp(xi), rng.normal(size=(4, 5, 7, 3))
    assert T.shape == (4, 5, 4, 4)
    np.testing.assert_array_equal(T[2, 3], se3_exp(xi[2, 3]))
    np.testing.assert_allclose(se3_log(T)[1, 4], se3_log(T[1, 4]), rtol=1e-15)
    np.testing.assert_allclose(
        transform_points(T, points)[3, 2], transform_points(T[3, 2], points[3, 2]), atol=1e-15
    )
    # One transform over a grid of points, and one point under a batch of transforms.
    assert transform_points(T[0, 0], points).shape == (4, 5, 7, 3)
    assert transform_points(T, np.zeros(3)).shape == (4, 5, 3)
    assert so3_exp(np.zeros((0, 3))).shape == (0, 3, 3)
    assert so3_log(np.zeros((0, 3, 3))).shape == (0, 3)


def test_float32_is_taken_in_float64():
    assert so3_exp(np.ones(3, np.float32)).dtype == np.float64
    assert se3_inverse(np.eye(4, dtype=np.float32)).dtype == np.float64


@pytest.mark.parametrize(
    "spoil",
    [
        lambda T: np.diag([1.0, 1.0, -1.0, 1.0]) @ T,
        lambda T: T * 1.01,
        lambda T: np.where(np.arange(16).reshape(4, 4) == 7, np.nan, T),
        lambda T: np.where(np.arange(16).reshape(4, 4) == 3, np.inf, T),
        lambda T: np.where(np.arange(16).reshape(4, 4) == 12, 0.1, T),
        lambda T: np.where(np.arange(16).reshape(4, 4) == 0, np.nan, T),
    ],
)
def test_is_rigid_refuses(spoil):
    T = se3_exp(np.array([1.0, 2, 3, 0.3, -0.2, 0.5]))
    assert is_rigid(T)
    assert not is_rigid(spoil(T))
