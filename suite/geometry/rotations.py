"""SO(3) and SE(3): exponential, logarithm and Jacobians, batched over leading axes, in float64.

Letters: `phi` is a rotation vector (axis times angle, rad), `theta` its length, `R = exp(hat(phi))`. A twist
is `(rho, phi)`, translation first; `T` is a 4 x 4 rigid transform. The conventions are those of J. Sola,
J. Deray, D. Atchuthan, "A micro Lie theory for state estimation in robotics", 2018 (arXiv:1812.01537),
appendices B and D.

Every function holds its precision at theta = 0 (series) and, for the logarithms, at theta = pi (the rotation
goes through its unit quaternion, whose largest component is never small).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

# Below this angle the closed forms lose digits to cancellation; the series, cut after theta^8, do not.
_SERIES_BELOW_RAD = 0.2


def so3_hat(phi: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Skew-symmetric matrix of a vector: `so3_hat(a) @ b == cross(a, b)`."""
    phi = np.asarray(phi, np.float64)
    K = np.zeros((*phi.shape, 3))
    K[..., 0, 1], K[..., 0, 2], K[..., 1, 2] = -phi[..., 2], phi[..., 1], -phi[..., 0]
    K[..., 1, 0], K[..., 2, 0], K[..., 2, 1] = phi[..., 2], -phi[..., 1], phi[..., 0]
    return K


def so3_exp(phi: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Rotation matrix of a rotation vector (rad), Rodrigues' formula."""
    K, theta = _hat_and_angle(phi)
    return np.eye(3) + _sin_ratio(theta) * K + _cos_ratio(theta) * (K @ K)


def so3_log(R: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Rotation vector (rad) with an angle in [0, pi] of rotation matrices.

    At exactly pi the two axes are equally right; one of them is returned.
    """
    w, v = _quaternion(np.asarray(R, np.float64))
    n = np.linalg.norm(v, axis=-1)
    # 2 atan2(n, w) / n tends to 2 / w; w is then 1 but for rounding.
    angle_over_n = np.where(n < 1e-150, 2.0, 2.0 * np.arctan2(n, w) / np.maximum(n, 1e-150))
    return angle_over_n[..., None] * v


def so3_left_jacobian(phi: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """J_l with `exp(phi + d) = exp(J_l(phi) d) exp(phi)` to first order in d."""
    K, theta = _hat_and_angle(phi)
    return np.eye(3) + _cos_ratio(theta) * K + _sin_remainder(theta) * (K @ K)


def so3_right_jacobian(phi: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """J_r with `exp(phi + d) = exp(phi) exp(J_r(phi) d)` to first order in d; `J_r(phi) = J_l(-phi)`."""
    return so3_left_jacobian(-np.asarray(phi, np.float64))


def so3_left_jacobian_inverse(phi: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Inverse of the left Jacobian; singular where the angle is 2 pi."""
    K, theta = _hat_and_angle(phi)
    return np.eye(3) - 0.5 * K + _half_cot_remainder(theta) * (K @ K)


def so3_right_jacobian_inverse(phi: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Inverse of the right Jacobian; singular where the angle is 2 pi."""
    return so3_left_jacobian_inverse(-np.asarray(phi, np.float64))


def se3_exp(xi: Float[np.ndarray, "*batch 6"]) -> Float[np.ndarray, "*batch 4 4"]:
    """Rigid transform of a twist `(rho, phi)`: rotation `exp(phi)`, translation `J_l(phi) rho`."""
    xi = np.asarray(xi, np.float64)
    rho, phi = xi[..., :3], xi[..., 3:]
    T = np.zeros((*xi.shape[:-1], 4, 4))
    T[..., :3, :3] = so3_exp(phi)
    T[..., :3, 3] = (so3_left_jacobian(phi) @ rho[..., None])[..., 0]
    T[..., 3, 3] = 1.0
    return T


def se3_log(T: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 6"]:
    """Twist `(rho, phi)` of a rigid transform, with an angle in [0, pi]."""
    T = np.asarray(T, np.float64)
    phi = so3_log(T[..., :3, :3])
    rho = (so3_left_jacobian_inverse(phi) @ T[..., :3, 3, None])[..., 0]
    return np.concatenate([rho, phi], axis=-1)


def se3_inverse(T: Float[np.ndarray, "*batch 4 4"]) -> Float[np.ndarray, "*batch 4 4"]:
    """Inverse of a rigid transform: `(R^T, -R^T t)`."""
    T = np.asarray(T, np.float64)
    Rt = np.swapaxes(T[..., :3, :3], -1, -2)
    inverse = np.zeros_like(T)
    inverse[..., :3, :3] = Rt
    inverse[..., :3, 3] = -(Rt @ T[..., :3, 3, None])[..., 0]
    inverse[..., 3, 3] = 1.0
    return inverse


def is_rigid(T: Float[np.ndarray, "*batch 4 4"], tolerance: float = 1e-6) -> Bool[np.ndarray, "*batch"]:
    """Whether each T is finite, with a proper rotation in it and (0, 0, 0, 1) as its last row."""
    T = np.asarray(T, np.float64)
    R = T[..., :3, :3]
    with np.errstate(all="ignore"):  # NaN and inf fail every comparison below
        orthonormal = np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max(axis=(-1, -2)) <= tolerance
        right_handed = np.linalg.det(R) > 0
        last_row = np.abs(T[..., 3, :] - [0.0, 0.0, 0.0, 1.0]).max(axis=-1) <= tolerance
    return np.asarray(orthonormal & right_handed & last_row & np.isfinite(T).all(axis=(-1, -2)))


def transform_points(
    T: Float[np.ndarray, "*batch 4 4"], points: Float[np.ndarray, "*points 3"]
) -> Float[np.ndarray, "*result 3"]:
    """`R p + t` for points (*batch, n, 3), whose leading axes broadcast with T's, or for one point (3,)."""
    T, points = np.asarray(T, np.float64), np.asarray(points, np.float64)
    if points.ndim == 1:
        return transform_points(T, points[None])[..., 0, :]
    return points @ np.swapaxes(T[..., :3, :3], -1, -2) + T[..., None, :3, 3]


def _hat_and_angle(phi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`hat(phi)` and the angle shaped (*batch, 1, 1) so that it multiplies matrices."""
    phi = np.asarray(phi, np.float64)
    return so3_hat(phi), np.linalg.norm(phi, axis=-1)[..., None, None]


def _sin_ratio(theta: np.ndarray) -> np.ndarray:
    """sin(theta) / theta."""
    return np.sinc(theta / np.pi)


def _cos_ratio(theta: np.ndarray) -> np.ndarray:
    """(1 - cos(theta)) / theta^2, by the half angle, which does not cancel."""
    return 0.5 * np.sinc(theta / (2 * np.pi)) ** 2


def _sin_remainder(theta: np.ndarray) -> np.ndarray:
    """(theta - sin(theta)) / theta^3."""
    t2 = theta**2
    series = 1 / 6 - t2 * (1 / 120 - t2 * (1 / 5040 - t2 * (1 / 362880 - t2 / 39916800)))
    closed = (1 - _sin_ratio(theta)) / np.where(theta < _SERIES_BELOW_RAD, 1.0, t2)
    return np.where(theta < _SERIES_BELOW_RAD, series, closed)


def _half_cot_remainder(theta: np.ndarray) -> np.ndarray:
    """(1 - (theta / 2) cot(theta / 2)) / theta^2."""
    t2 = theta**2
    series = 1 / 12 + t2 * (1 / 720 + t2 * (1 / 30240 + t2 * (1 / 1209600 + t2 / 47900160)))
    half = np.where(theta < _SERIES_BELOW_RAD, 1.0, theta / 2)
    closed = (1 - half * np.cos(half) / np.sin(half)) / (4 * half**2)
    return np.where(theta < _SERIES_BELOW_RAD, series, closed)


def _quaternion(R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit quaternion (w >= 0, vector part) of R, built on its largest component (Shepperd 1978)."""
    d = np.stack([R[..., 0, 0], R[..., 1, 1], R[..., 2, 2]], axis=-1)
    trace = d.sum(axis=-1)
    skew = np.stack(
        [
            R[..., 2, 1] - R[..., 1, 2],
            R[..., 0, 2] - R[..., 2, 0],
            R[..., 1, 0] - R[..., 0, 1],
        ],
        axis=-1,
    )
    # The rows of 4 q q^T: each is the quaternion times four times one of its components.
    outer = np.empty((*R.shape[:-2], 4, 4))
    outer[..., 0, 0] = 1 + trace
    outer[..., 0, 1:] = outer[..., 1:, 0] = skew
    outer[..., 1:, 1:] = R + np.swapaxes(R, -1, -2)
    for i in range(3):
        outer[..., i + 1, i + 1] = 1 + 2 * d[..., i] - trace
    largest = np.argmax(np.einsum("...ii->...i", outer), axis=-1)
    q = np.take_along_axis(outer, largest[..., None, None], axis=-2)[..., 0, :]
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    q = np.where(q[..., :1] < 0, -q, q)
    return q[..., 0], q[..., 1:]
