"""Which way is up in what was found, and the plane that the object stands on.

In order of trust: the dominant plane of the points, with all cameras on one side of it; the plane of a ring
of cameras; what is square to the pictures' horizontals; the mean up of the pictures as they were held.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from nerfrecon.ground import MOST_TILT_DEG, Ground, camera_up, find_plane

_NEAR = 2.0
"""Points count that lie this near the middle of all, in distances of the cameras: the object is not known."""


def find_upright(
    poses: dict[str, Float[np.ndarray, "4 4"]],
    points: Float[np.ndarray, "n 3"],
    orientations: dict[str, int],
    seed: int = 0,
) -> Ground:
    """From T_world_camera by name, points in the world, and EXIF's orientation by name."""
    names = sorted(poses)
    T = np.stack([poses[name] for name in names])
    held, _ = camera_up(T, [orientations.get(name, 1) for name in names])
    if len(points):
        ground = find_plane(points, T[:, :3, 3], np.median(points, axis=0), held, near=_NEAR, seed=seed)
        if ground is not None:
            return ground
    ring = ring_axis(T, held)
    return Ground(held, "cameras") if ring is None else Ground(ring, "ring")


def ring_axis(
    T_world_camera: Float[np.ndarray, "n 4 4"], up: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, " 3"] | None:
    """The axis that cameras which look at one place go around: what the directions of view have in common
    is least along a level ring. None where they do not go around, or it is far from `up`."""
    forward = T_world_camera[:, :3, 2]
    _, lengths, ways = np.linalg.svd(forward - forward.mean(0), full_matrices=False)
    if len(lengths) < 3 or lengths[1] < 3 * lengths[2]:
        return None
    axis = ways[2] if ways[2] @ up > 0 else -ways[2]
    return axis if axis @ up > np.cos(np.deg2rad(MOST_TILT_DEG)) else None
