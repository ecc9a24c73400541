"""A body as arrays: a shape gives vertices and joints at rest, a pose turns its bones, the skin follows.

At rest a body stands upright with its arms half lowered: x to its left, y backwards (it looks along -y), z
up, in metres. A pose turns each bone about its joint, in these axes as the bones before it carry them along:
bending a knee is a turn about x wherever the thigh points.

Letters: j joint, p its parent, h_j where the joint is at rest, D_j the turn that the pose asks for, X_j the
turn of bone j from the reference orientation, A_j the turn from rest to that (identity for models, such as
the SMPL family, whose rest pose is their reference pose). Then X_j = X_p D_j, the posed joint is w_j = w_p +
X_p A_p (h_j - h_p), and a vertex v that follows j alone goes to w_j + X_j A_j (v - h_j); others are linear
blends (Lewis et al. 2000).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from suite.errors import BadInput, did_you_mean
from suite.geometry.mesh import Mesh
from suite.geometry.rotations import so3_exp

Turn = tuple[float | int, float | int, float | int]
Landmark = tuple[int, int, float]
"""Two vertices, and how far the place lies on the way from the first to the second."""


@dataclass(frozen=True)
class BodyShape:
    """Who it is; every figure from 0 to 1.

    ``gender`` runs from 0 (male) to 1 (female), ``age`` from 0 (one year) over 1/3 (child) and 2/3 (young) to
    1 (old); the others are how much of it there is. Grown-ups of usual height have a ``height`` of about 1/3.
    """

    gender: float | int = 0.5
    age: float | int = 0.67
    muscle: float | int = 0.5
    weight: float | int = 0.5
    height: float | int = 0.35
    proportions: float | int = 0.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise BadInput(f"body shape: {name} is {value}", hint="give a figure from 0 to 1")


@dataclass(frozen=True)
class BodyPose:
    """Rotation vectors (degrees) of bones by name; bones that are not named stay as they are at rest."""

    turns_deg: Mapping[str, Turn] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Body:
    """A model of human bodies, whichever it is: bones, faces, and how a shape becomes vertices and joints.

    ``parents`` are places in ``bones``, -1 for the root; parents stand before their children. ``parts`` is
    the place in ``part_names`` of every vertex; ``weights`` say how much each vertex follows each bone.
    """

    bones: tuple[str, ...]
    parents: Int[np.ndarray, " j"]
    faces: Int[np.ndarray, "m 3"]
    weights: Float[np.ndarray, "n j"]
    part_names: tuple[str, ...]
    parts: Int[np.ndarray, " n"]
    landmarks: Mapping[str, Landmark]
    """Places on the mid-line of the back, the same on everybody: `cervicale` over the tip of C7, `sacrale`
    level with the posterior superior iliac spines."""
    shaper: Callable[[BodyShape], tuple[np.ndarray, np.ndarray, np.ndarray]]
    """Vertices (n, 3) and joints (j, 3) at rest in metres, and the turns A (j, 3, 3), for a shape."""

    def __post_init__(self) -> None:
        count = len(self.bones)
        if not len(self.parents) == count == self.weights.shape[1]:
            raise ValueError("bones, parents and weights do not belong together")
        if self.parents[0] != -1 or not (self.parents[1:] < np.arange(1, count)).all():
            raise ValueError("a bone stands before its parent")

    def shaped(self, shape: BodyShape) -> ShapedBody:
        """One person."""
        return ShapedBody(self, *self.shaper(shape))

    def pose(self, shape: BodyShape, pose: BodyPose) -> Mesh:
        """The surface of a person of this shape in this pose, its root bone where it is at rest."""
        return self.shaped(shape).posed(pose)

    def part(self, *names: str) -> np.ndarray:
        """Which vertices belong to any of these parts, (n,) bool."""
        wanted = [self.part_names.index(name) for name in names]
        return np.isin(self.parts, wanted)


@dataclass(frozen=True, eq=False)
class ShapedBody:
    """One person, ready to be posed: posing costs a hundredth of shaping."""

    body: Body
    vertices: Float[np.ndarray, "n 3"]
    joints: Float[np.ndarray, "j 3"]
    corrections: Float[np.ndarray, "j 3 3"]

    def posed(self, pose: BodyPose) -> Mesh:
        """The surface; raises BadInput for a bone the model does not have."""
        return Mesh(self.posed_vertices([pose])[0], self.body.faces)

    def posed_vertices(self, poses: Sequence[BodyPose]) -> Float[np.ndarray, "b n 3"]:
        """Vertices for each pose, in metres."""
        out = np.empty((len(poses), *self.vertices.shape), self.vertices.dtype)
        for k, pose in enumerate(poses):
            turns, places = self._chain(pose)
            R = turns @ self.corrections
            t = places - np.einsum("jab,jb->ja", R, self.joints)
            T = np.concatenate([R, t[:, :, None]], axis=2).reshape(-1, 12).astype(self.body.weights.dtype)
            blended = (self.body.weights @ T).reshape(-1, 3, 4)
            out[k] = np.einsum("nab,nb->na", blended[:, :, :3], self.vertices) + blended[:, :, 3]
        return out

    def posed_joints(self, pose: BodyPose) -> Float[np.ndarray, "j 3"]:
        """Where each bone begins, in metres; much cheaper than the surface."""
        return self._chain(pose)[1]

    def _chain(self, pose: BodyPose) -> tuple[Any, Any]:
        body = self.body
        D = np.tile(np.eye(3), (len(body.bones), 1, 1))
        for name, turn in pose.turns_deg.items():
            if name not in body.bones:
                close = did_you_mean(name, body.bones)
                raise BadInput(f"the body has no bone {name!r}", hint=close and f"did you mean {close!r}?")
            D[body.bones.index(name)] = so3_exp(np.deg2rad(np.asarray(turn, np.float64)))
        X, w = D.copy(), self.joints.astype(np.float64).copy()
        for j, p in enumerate(body.parents):
            if p >= 0:
                X[j] = X[p] @ D[j]
                w[j] = w[p] + X[p] @ self.corrections[p] @ (self.joints[j] - self.joints[p])
        return X, w
