"""How bodies come to rest on what bears them: no one floats, sinks, or stands on a fingertip.

A body that lies is taken as rigid: it rests on a face of its convex hull above which its centre of mass is;
of those, one that is low and near to how it was meant to lie. A body on its feet gets ankles that lay the
soles flat and a lean that brings its centre of mass over them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from suite.body import BodyPose, ShapedBody

_TURN_M = 0.25
"""A rest that is a radian (squared) further away must be so much lower to be taken."""
SINK_M = 0.006
"""Flesh and clothes give way by this much."""


def at_rest(
    vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"], most_deg: float = 50.0
) -> Float[np.ndarray, "3 3"]:
    """The turn that brings a rigid body to a stable rest on level ground: a near one, and a low one.

    Where no stable rest is within ``most_deg``, the nearest face of the hull is taken, stable or not.
    """
    from scipy.spatial import ConvexHull

    few = vertices[::3]
    hull = ConvexHull(few)
    corners = few[hull.simplices]
    normals, offsets = hull.equations[:, :3], hull.equations[:, 3]
    centre = centre_of_mass(vertices, faces)
    foot = centre - (normals @ centre + offsets)[:, None] * normals  # the centre dropped on each face's plane
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    inside = np.ones(len(corners), bool)
    for p, q, r in ((a, b, c), (b, c, a), (c, a, b)):
        edge, other = q - p, r - p
        along = np.einsum("ij,ij->i", other, edge) / np.einsum("ij,ij->i", edge, edge)
        into = other - along[:, None] * edge
        length = np.linalg.norm(into, axis=1)
        # A narrow margin outside still counts: hulls of bodies have slivers where they are nearly flat.
        inside &= np.einsum("ij,ij->i", foot - p, into) / np.where(length > 0, length, 1) > -0.02
    down = -normals[:, 2]
    within = inside & (down > np.cos(np.deg2rad(most_deg)))
    if not within.any():
        return _turn_down(normals[int(np.argmax(down))])
    height_m = -(normals @ centre + offsets)  # of the centre of mass above each face
    turn_rad = np.arccos(np.clip(down, -1, 1))
    return _turn_down(normals[int(np.argmin(np.where(within, height_m + _TURN_M * turn_rad**2, np.inf)))])


def centre_of_mass(
    vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]
) -> Float[np.ndarray, " 3"]:
    """Of a closed surface filled evenly."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    volumes = np.einsum("ij,ij->i", a, np.cross(b, c))
    return np.asarray(np.einsum("i,ij->j", volumes, a + b + c) / (4 * volumes.sum()), np.float64)


def on_feet(
    body: ShapedBody, pose: BodyPose, root: Float[np.ndarray, "3 3"], balanced: bool = True
) -> tuple[BodyPose, np.ndarray]:
    """The pose with its soles flat, and the turn of the body, ``balanced`` with its weight over them."""
    turns = dict(pose.turns_deg)
    names = body.body.bones
    at = {name: k for k, name in enumerate(names)}
    lean = 0.0
    for _ in range(4 if balanced else 0):
        R = _about_x(lean) @ root
        joints = body.posed_joints(BodyPose(turns)) @ R.T
        weight = sum(share * joints[[at[n] for n in group]].mean(axis=0) for share, group in _MASSES)
        feet = joints[[at["foot.L"], at["foot.R"], at["toe1-1.L"], at["toe1-1.R"]]].mean(axis=0)
        height = max(float(np.asarray(weight)[2] - feet[2]), 0.2)
        lean += float(np.degrees(np.arctan2((np.asarray(weight) - feet)[1], height)))
    R = _about_x(lean) @ root
    for s in "LR":
        turns[f"foot.{s}"] = (0.0, 0.0, 0.0)
        joints = body.posed_joints(BodyPose(turns)) @ R.T
        sole = joints[at[f"toe1-1.{s}"]] - joints[at[f"foot.{s}"]]
        rest = body.joints[at[f"toe1-1.{s}"]] - body.joints[at[f"foot.{s}"]]
        pitch = np.arctan2(sole[2], np.hypot(sole[0], sole[1])) - np.arctan2(
            rest[2], np.hypot(rest[0], rest[1])
        )
        turns[f"foot.{s}"] = (float(np.clip(np.degrees(pitch), -35, 35)), 0.0, 0.0)
    return BodyPose(turns), R


_MASSES = (
    (0.08, ("head",)),
    (0.30, ("spine02", "spine01")),
    (0.22, ("root", "spine04")),
    (0.10, ("lowerarm01.L", "lowerarm01.R")),
    (0.20, ("upperleg02.L", "upperleg02.R", "lowerleg01.L", "lowerleg01.R")),
    (0.10, ("lowerleg02.L", "lowerleg02.R", "foot.L", "foot.R")),
)
"""Shares of body mass (Winter, Biomechanics of Human Movement, rounded) and the joints they lie about."""


def _about_x(angle_deg: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _turn_down(normal: np.ndarray) -> np.ndarray:
    """The shortest turn that points ``normal`` straight down."""
    down = np.array([0.0, 0.0, -1.0])
    v, c = np.cross(normal, down), float(normal @ down)
    if c < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    K = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + K + K @ K / (1 + c)
