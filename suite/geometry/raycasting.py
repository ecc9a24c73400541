"""Rays into a triangle mesh and ways to it: Open3D's ray casting (Embree), on one thread, so that results and
load are the same on every machine."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from suite.errors import BackendUnavailable


def open3d() -> Any:
    """The package, whose stubs do not know that tensors are made of arrays. Raises BackendUnavailable."""
    try:
        import open3d as o3d
    except ImportError as error:
        raise BackendUnavailable("open3d", str(error), hint="pip install open3d") from None
    return o3d


class RayHits(NamedTuple):
    """What each ray meets first.

    distance: in lengths of the ray's direction, inf for a ray that meets nothing; face: -1 for none;
    weights: of the face's three corners at the hit; normal: of the face, by the order of its corners, of
    length 1.
    """

    distance: Float[np.ndarray, "*rays"]
    face: Int[np.ndarray, "*rays"]
    weights: Float[np.ndarray, "*rays 3"]
    normal: Float[np.ndarray, "*rays 3"]

    @property
    def met(self) -> Bool[np.ndarray, "*rays"]:
        """Whether a ray meets anything."""
        return self.face >= 0


class RayMesh:
    """A mesh made ready for rays, in float32: put what is far from the origin nearer to it before."""

    def __init__(self, vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> None:
        o3d = open3d()
        self._tensor = o3d.core.Tensor
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        if len(faces):
            self._scene.add_triangles(
                self._tensor(np.ascontiguousarray(vertices, np.float32)),
                self._tensor(np.ascontiguousarray(faces, np.uint32)),
            )

    def cast(
        self, starts: Float[np.ndarray, "*#rays 3"], directions: Float[np.ndarray, "*#rays 3"]
    ) -> RayHits:
        """The first face behind each start; both may be one for all rays, and directions of any length."""
        rays, shape = _rays(starts, directions)
        found = self._scene.cast_rays(self._tensor(rays), nthreads=1)
        distance = found["t_hit"].numpy()
        face = np.where(np.isfinite(distance), found["primitive_ids"].numpy().astype(np.int64), -1)
        second_third = found["primitive_uvs"].numpy()
        weights = np.concatenate([1 - second_third.sum(1, keepdims=True), second_third], axis=1)
        normal = found["primitive_normals"].numpy()
        three = (*shape, 3)
        return RayHits(
            distance.reshape(shape), face.reshape(shape), weights.reshape(three), normal.reshape(three)
        )

    def blocked(
        self, starts: Float[np.ndarray, "*#rays 3"], to: Float[np.ndarray, "*#rays 3"]
    ) -> Bool[np.ndarray, "*#rays"]:
        """Whether a face stands between each start and the point `to` away from it."""
        rays, shape = _rays(starts, to)
        found = self._scene.test_occlusions(self._tensor(rays), tnear=0.0, tfar=1.0, nthreads=1)
        return found.numpy().reshape(shape)

    def nearest(
        self, points: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
        """The surface's nearest place to each point, and the normal of the face there."""
        points = np.ascontiguousarray(points, np.float32)
        found = self._scene.compute_closest_points(self._tensor(points), nthreads=1)
        return found["points"].numpy(), found["primitive_normals"].numpy()


def _rays(starts: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """(n, 6), and the shape of the rays."""
    shape = np.broadcast_shapes(starts.shape, directions.shape)[:-1]
    rays = np.empty((*shape, 6), np.float32)
    rays[..., :3], rays[..., 3:] = starts, directions
    return rays.reshape(-1, 6), shape
