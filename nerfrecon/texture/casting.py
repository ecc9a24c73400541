"""What the rays of a camera meet on a mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from nerfrecon.backends.base import RayCamera
from nerfrecon.render.rays import camera_directions
from nerfrecon.scene import Scene
from nerfrecon.training.views import ray_camera
from suite.geometry.raycasting import RayMesh

_CHUNK = 1 << 20


class Hits(NamedTuple):
    """Of each ray: whether it meets the mesh, how far away, on which face, at which weights of its corners,
    and the cosine between the ray, turned round, and the face's normal. Meaningless where nothing is met."""

    met: Bool[np.ndarray, " n"]
    distance: Float[np.ndarray, " n"]
    face: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, "n 3"]
    cosine: Float[np.ndarray, " n"]


class Caster:
    """A mesh that rays are sent at."""

    def __init__(self, vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> None:
        # About its middle, so that float32 is enough wherever the mesh stands.
        self.middle = vertices.mean(0)
        local = vertices - self.middle
        self._mesh = RayMesh(local, faces)
        a, b, c = (local[faces[:, k]] for k in range(3))
        cross = np.cross(b - a, c - a)
        self._normals = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)

    def cast(self, camera: RayCamera, pixels: Float[np.ndarray, "n 2"]) -> Hits:
        """Through pixel positions; the camera's pose is in the mesh's frame."""
        parts = [self._cast(camera, pixels[k : k + _CHUNK]) for k in range(0, max(len(pixels), 1), _CHUNK)]
        return Hits(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _cast(self, camera: RayCamera, pixels: np.ndarray) -> Hits:
        T = camera.T_unit_camera
        directions = (camera_directions(camera, pixels) @ T[:3, :3].T).astype(np.float32)
        found = self._mesh.cast(T[:3, 3] - self.middle, directions)
        face = np.maximum(found.face, 0).astype(np.int32)
        cosine = -np.einsum("ij,ij->i", self._normals[face].astype(np.float32), directions)
        return Hits(found.met, found.distance, face, found.weights, cosine)


def scene_camera(scene: Scene, view: int, scale: float | int = 1.0) -> RayCamera:
    """The camera of a view with its pose in the scene's own frame, in which meshes and GLBs stand."""
    unit = ray_camera(scene, view, scale)
    values = {key: getattr(unit, key) for key in ("width", "height", "fx", "fy", "cx", "cy", "distortion")}
    return RayCamera(**values, T_unit_camera=scene.views[view].T_world_camera)


def subpixels(columns: np.ndarray, rows: np.ndarray, a_side: int) -> Float[np.ndarray, "n 2"]:
    """Positions of `a_side` squared rays in each pixel, pixel after pixel."""
    offset = (np.arange(a_side) + 0.5) / a_side - 0.5
    dv, du = np.meshgrid(offset, offset, indexing="ij")
    u = columns[:, None] + du.ravel()
    v = rows[:, None] + dv.ravel()
    return np.stack([u.ravel(), v.ravel()], 1)
