"""Which way is up, and the plane that the object stands on.

In order of trust: the dominant plane of the points, with all cameras on one side of it; the plane of a ring
of cameras; what is square to the pictures' horizontals; the mean up of the pictures as they were held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

_TRIALS = 500
_LEAST_SHARE = 0.12
_MOST_TILT_DEG = 50.0
_ABOVE = 0.9
_HELD = {1: (0, -1), 2: (0, -1), 3: (0, 1), 4: (0, 1), 5: (-1, 0), 6: (-1, 0), 7: (1, 0), 8: (1, 0)}
"""Up in the stored pixels (right, down) by EXIF's orientation: 6 is stored on its side, up points left."""


_TURNED, _LEVEL = 0.2, 0.35
"""Spread of the pictures' horizontals: by how far they turn, and by how little they leave a plane."""


@dataclass(frozen=True, eq=False)
class Upright:
    """Unit up in the world, where that is from, and the plane (n, d) with n . x + d = 0, n up; None where
    there is no plane."""

    up: Float[np.ndarray, " 3"]
    up_from: Literal["plane", "ring", "pictures"]
    plane: Float[np.ndarray, " 4"] | None
    share: float = 0.0
    """Of the points that lie on the plane."""


def find_upright(
    poses: dict[str, Float[np.ndarray, "4 4"]],
    points: Float[np.ndarray, "n 3"],
    orientations: dict[str, int],
    seed: int = 0,
) -> Upright:
    """From T_world_camera by name, points in the world, and EXIF's orientation by name."""
    names = sorted(poses)
    T = np.stack([poses[name] for name in names])
    centres = T[:, :3, 3]
    held = held_up(T, [orientations.get(name, 1) for name in names])
    plane, share = dominant_plane(points, centres, held, seed)
    if plane is not None:
        return Upright(plane[:3], "plane", plane, share)
    ring = ring_axis(T, held)
    if ring is not None:
        return Upright(ring, "ring", None)
    return Upright(held, "pictures", None)


def held_up(T: Float[np.ndarray, "n 4 4"], orientations: list[int]) -> Float[np.ndarray, " 3"]:
    """What is square to all pictures' horizontals, where these are level and turn enough to tell.

    Otherwise the mean of the pictures' own up. Pictures taken from above say little, and count little: what
    is summed is the part of it that most have in common.
    """
    ups, level = [], []
    for pose, orientation in zip(T, orientations, strict=True):
        right, down = _HELD.get(orientation, (0, -1))
        ups.append(right * pose[:3, 0] + down * pose[:3, 1])
        level.append(-down * pose[:3, 0] + right * pose[:3, 1])
    ups = np.stack(ups)
    mean = ups.mean(0)
    for _ in range(10):
        mean /= max(float(np.linalg.norm(mean)), 1e-12)
        mean = (ups * np.clip(ups @ mean, 0, None)[:, None]).sum(0)
    mean /= max(float(np.linalg.norm(mean)), 1e-12)
    if len(level) < 3:
        return mean
    _, lengths, ways = np.linalg.svd(np.stack(level), full_matrices=False)
    axis = ways[2] if ways[2] @ mean > 0 else -ways[2]
    told = lengths[1] > _TURNED * lengths[0] and lengths[2] < _LEVEL * lengths[1]
    return axis if told and axis @ mean > np.cos(np.deg2rad(_MOST_TILT_DEG)) else mean


def dominant_plane(
    points: Float[np.ndarray, "n 3"],
    centres: Float[np.ndarray, "m 3"],
    up: Float[np.ndarray, " 3"],
    seed: int = 0,
) -> tuple[Float[np.ndarray, " 4"] | None, float]:
    """The plane with most points that is roughly level and has cameras above it and hardly a point below,
    with the share of points on it; None where there is none."""
    if len(points) < 50:
        return None, 0.0
    rng: Any = np.random.default_rng(seed)
    sample = points if len(points) <= 4000 else points[rng.choice(len(points), 4000, replace=False)]
    middle = np.median(sample, 0)
    distance = float(np.median(np.linalg.norm(centres - middle, axis=1)))
    sample = sample[np.linalg.norm(sample - middle, axis=1) < 2 * distance]
    thick = 0.005 * distance
    best, most = None, 0.0
    for _ in range(_TRIALS):
        a, b, c = sample[rng.choice(len(sample), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal)
        if length < 1e-12:
            continue
        normal = normal / length
        normal = normal if normal @ up > 0 else -normal
        height = (sample - a) @ normal
        on = np.abs(height) < thick
        if normal @ up < np.cos(np.deg2rad(_MOST_TILT_DEG)) or ((centres - a) @ normal > 0).mean() < _ABOVE:
            continue
        score = float(on.mean()) - float((height < -3 * thick).mean())
        if score > most:
            best, most = (normal, a), score
    if best is None:
        return None, 0.0
    normal, at = best
    for _ in range(5):
        on = sample[np.abs((sample - at) @ normal) < thick]
        at = on.mean(0)
        fitted = np.linalg.svd(on - at, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
    share = float((np.abs((sample - at) @ normal) < thick).mean())
    if share < _LEAST_SHARE:
        return None, share
    return np.array([*normal, -float(normal @ at)]), share


def ring_axis(T: Float[np.ndarray, "n 4 4"], up: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"] | None:
    """The axis that cameras which look at one place go around: what the directions of view have in common
    is least along a level ring. None where they do not go around, or it is far from `up`."""
    forward = T[:, :3, 2]
    spread = forward - forward.mean(0)
    _, lengths, ways = np.linalg.svd(spread, full_matrices=False)
    if len(lengths) < 3 or lengths[1] < 3 * lengths[2]:
        return None
    axis = ways[2] if ways[2] @ up > 0 else -ways[2]
    return axis if axis @ up > np.cos(np.deg2rad(_MOST_TILT_DEG)) else None
