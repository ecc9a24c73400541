"""Rays against the triangles of a person (Open3D)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from suite.errors import BackendUnavailable


@dataclass(frozen=True, eq=False)
class Hits:
    """Where rays meet a mesh. distance_mm: inf for a ray that meets nothing; face: of the first hit, -1 for
    none; normal: of that face, unit length; weights: of its three corners at the hit."""

    distance_mm: Float[np.ndarray, "*rays"]
    face: Int[np.ndarray, "*rays"]
    normal: Float[np.ndarray, "*rays 3"]
    weights: Float[np.ndarray, "*rays 3"]


class Caster:
    """A mesh made ready for rays; on one thread, so that results and load are the same everywhere."""

    def __init__(self, vertices_mm: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]) -> None:
        try:
            import open3d as o3d
        except ImportError as error:
            raise BackendUnavailable("open3d", str(error), "pip install 'vision-suite[spine]'") from None
        self._tensor: Any = o3d.core.Tensor  # its stubs know no arrays
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            self._tensor(np.ascontiguousarray(vertices_mm, np.float32)),
            self._tensor(np.ascontiguousarray(faces, np.uint32)),
        )

    def cast(self, start_mm: Float[np.ndarray, "*rays 3"], direction: Float[np.ndarray, "... 3"]) -> Hits:
        """Rays from points along unit directions (or one direction for all)."""
        shape = start_mm.shape[:-1]
        rays = np.empty((*shape, 6), np.float32)
        rays[..., :3], rays[..., 3:] = start_mm, direction
        found = self._scene.cast_rays(self._tensor(rays.reshape(-1, 6)))
        u, v = found["primitive_uvs"].numpy().T
        distance = found["t_hit"].numpy().astype(np.float64)
        face = np.where(np.isfinite(distance), found["primitive_ids"].numpy().astype(np.int64), -1)
        weights = np.stack([1 - u - v, u, v], axis=-1)
        normal, three = found["primitive_normals"].numpy(), (*shape, 3)
        return Hits(
            distance.reshape(shape), face.reshape(shape), normal.reshape(three), weights.reshape(three)
        )
