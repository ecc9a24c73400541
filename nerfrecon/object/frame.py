"""A scene seen from another frame: similarities between the poses' world and the object's own.

The object's frame: y up, its base on y = 0, its box centred on the y axis; metres where the scale is known.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from nerfrecon.scene import Scene, View


def upright_turn(up: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that takes `up` to y; upside down about x."""
    up = np.asarray(up, np.float64) / np.linalg.norm(up)
    axis, cosine = np.cross(up, [0.0, 1.0, 0.0]), up[1]
    if cosine < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def turned_about_y(angle: float | int) -> Float[np.ndarray, "3 3"]:
    """Rotation by `angle` (radians) about y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def similarity(
    R: Float[np.ndarray, "3 3"], t: Float[np.ndarray, " 3"], scale: float | int = 1.0
) -> Float[np.ndarray, "4 4"]:
    """x -> scale (R x + t)."""
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = scale * R, scale * np.asarray(t)
    return T


def scale_of(T: Float[np.ndarray, "4 4"]) -> float:
    """Of a similarity."""
    return float(np.cbrt(np.linalg.det(T[:3, :3])))


def moved(scene: Scene, T: Float[np.ndarray, "4 4"], box: Float[np.ndarray, "2 3"] | None = None) -> Scene:
    """The scene under a similarity: poses, points, depth, up; `box` in the new frame, or the old one's
    corners put into an upright box again."""
    scale = scale_of(T)
    R = T[:3, :3] / scale

    def pose(view: View) -> View:
        moved_pose = np.eye(4)
        moved_pose[:3, :3] = R @ view.T_world_camera[:3, :3]
        moved_pose[:3, 3] = T[:3, :3] @ view.position + T[:3, 3]
        return replace(view, T_world_camera=moved_pose, depth_unit=view.depth_unit * scale)

    points = scene.points
    if points is not None:
        points = replace(points, positions=points.positions @ T[:3, :3].T + T[:3, 3])
    up = None if scene.up is None else R @ scene.up
    box = boxed(box_corners(scene.box) @ T[:3, :3].T + T[:3, 3]) if box is None else box
    return replace(scene, views=tuple(pose(view) for view in scene.views), box=box, points=points, up=up)


def box_corners(box: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "8 3"]:
    """The eight corners of a box."""
    bits = np.array([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)])
    return np.where(bits, box[1], box[0])


def boxed(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "2 3"]:
    """The box of points."""
    return np.stack([points.min(0), points.max(0)])


def widened(box: Float[np.ndarray, "2 3"], share: float | int) -> Float[np.ndarray, "2 3"]:
    """By a share of its longest side, all around."""
    return box + share * np.ptp(box, axis=0).max() * np.array([[-1.0], [1.0]])
