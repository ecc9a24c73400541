"""Chains of vertebrae of exactly known or of random shape."""

import numpy as np

from spine.anatomy import LEVELS
from spine.chain import forward_kinematics_of_vectors, standing_template
from suite.geometry.rotations import so3_exp

C7, T1, T12, L1, L5, S1 = (LEVELS.index(level) for level in ("C7", "T1", "T12", "L1", "L5", "S1"))
HEIGHT = 25.0  # mm between levels of the chains made here


def chain_along(points: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Frames at points (25, 3) with y along `up` (25, 3) and x horizontal-most."""
    y = up / np.linalg.norm(up, axis=1, keepdims=True)
    x = np.cross(y, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    T = np.tile(np.eye(4), (25, 1, 1))
    T[:, :3, :3] = np.stack([x, y, np.cross(x, y)], axis=-1)
    T[:, :3, 3] = points
    return T


def planar_chain(tilt_deg: np.ndarray, plane: str) -> np.ndarray:
    """A chain of given tilts per level, integrated along a fine line, seen from behind or the side."""
    fine = np.linspace(0, 24, 2401)
    angle = np.radians(np.interp(fine, np.arange(25), tilt_deg))
    aside, up = (-np.sin(angle) if plane == "coronal" else np.sin(angle)), np.cos(angle)

    def integrated(slope: np.ndarray) -> np.ndarray:
        steps = np.append(0, np.cumsum((slope[1:] + slope[:-1]) / 2)) * HEIGHT / 100
        return (steps[-1] - steps)[::100]  # upwards from S1

    a, b, zero = integrated(aside), integrated(up), np.zeros(25)
    one = [aside[::100], up[::100], zero]
    points, axes = ([a, b, zero], one) if plane == "coronal" else ([zero, b, a], [zero, one[1], one[0]])
    return chain_along(np.stack(points, 1), np.stack(axes, 1))


def tilts(**at_level: float) -> np.ndarray:
    """Tilts per level, linear between the levels named."""
    levels = [LEVELS.index(name) for name in at_level]
    return np.interp(np.arange(25), levels, list(at_level.values()))


def random_pose(seed: int, spread_deg: float = 1.6) -> np.ndarray:
    """A smooth pose vector: neighbouring joints bend alike."""
    rng = np.random.default_rng(seed)
    joint = rng.normal(0, 1, (28, 3))
    joint = sum(joint[k : k + 24] for k in range(5)) / np.sqrt(5)
    return np.concatenate(
        [rng.normal(0, 0.05, 3), rng.normal(0, 20, 3), [0.05], np.radians(spread_deg) * joint.ravel()]
    )


def random_chain(seed: int) -> np.ndarray:
    return forward_kinematics_of_vectors(standing_template(), random_pose(seed))


def posterior(seed: int, m: int = 200) -> tuple[np.ndarray, np.ndarray]:
    vector = random_pose(seed)
    noise = np.stack([random_pose(1000 * seed + k, 0.8) for k in range(m)])
    noise[:, :7] *= 0.1
    return (
        forward_kinematics_of_vectors(standing_template(), vector),
        forward_kinematics_of_vectors(standing_template(), vector + noise),
    )


def turned(T: np.ndarray, rotation_deg: tuple[float, float, float]) -> np.ndarray:
    """The whole chain turned about the body's axes."""
    rigid = np.eye(4)
    rigid[:3, :3] = so3_exp(np.radians(rotation_deg))
    return rigid @ T


def mirrored(T: np.ndarray) -> np.ndarray:
    flip = np.diag([-1.0, 1, 1, 1])
    return flip @ T @ flip
