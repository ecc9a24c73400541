"""Rays into a scene: all its solids as one mesh, and what each pixel of a view meets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from falldet.synthetic.camera import View
from falldet.synthetic.scene import Scene
from falldet.synthetic.solids import Solid


@dataclass(frozen=True, eq=False)
class Hits:
    """What the n pixels of a view meet, row by row.

    ``solid`` and ``person`` are places in the caster's solids and the scene's people, -1 for none;
    ``places_m`` and ``normals`` (towards the camera) are in the world; ``p_m`` and ``q_m`` are where in the
    surface's pattern.
    """

    hit: Bool[np.ndarray, " n"]
    solid: Int[np.ndarray, " n"]
    person: Int[np.ndarray, " n"]
    places_m: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"]
    p_m: Float[np.ndarray, " n"]
    q_m: Float[np.ndarray, " n"]


class Caster:
    """The solids of a scene, ready for rays."""

    def __init__(self, scene: Scene) -> None:
        import open3d as o3d

        owned = [(solid, -1) for solid in scene.solids]
        for k, person in enumerate(scene.people):
            owned += [(solid, k) for solid in person.solids]
        self.solids: list[Solid] = [solid for solid, _ in owned]
        self.people = np.array([k for _, k in owned] + [-1])
        starts = np.cumsum([0, *(len(s.vertices) for s in self.solids)])
        self._faces = np.concatenate(
            [np.zeros((0, 3), np.int64), *(s.faces + o for s, o in zip(self.solids, starts, strict=False))]
        )
        self._solid_of = np.repeat(np.arange(len(self.solids)), [len(s.faces) for s in self.solids])
        make: Any = o3d.core.Tensor  # its stubs know no arrays
        self._tensor = lambda array: make(np.ascontiguousarray(array))
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        if len(self._faces):
            vertices = np.concatenate([s.vertices for s in self.solids]).astype(np.float32)
            self._scene.add_triangles(self._tensor(vertices), self._tensor(self._faces.astype(np.uint32)))

    def look(self, view: View) -> Hits:
        """The first surface behind each pixel."""
        directions = view.rays().reshape(-1, 3).astype(np.float32)
        eye = view.eye_m.astype(np.float32)
        rays = np.concatenate([np.broadcast_to(eye, directions.shape), directions], axis=1)
        cast = self._scene.cast_rays(self._tensor(rays), nthreads=1)
        depth = cast["t_hit"].numpy()
        hit = np.isfinite(depth)
        seen = np.flatnonzero(hit)
        face = cast["primitive_ids"].numpy()[seen].astype(np.int64)
        solid = np.full(len(hit), -1)
        solid[seen] = self._solid_of[face]
        corners = np.ascontiguousarray(self._faces[face].T)
        u, v = np.ascontiguousarray(cast["primitive_uvs"].numpy()[seen].T)
        blend = (1 - u - v, u, v)
        p, q = np.zeros((2, len(hit)), np.float32)
        p[seen], q[seen] = _pattern_places(_joined([s.places for s in self.solids]), corners, blend)
        normals = np.zeros_like(directions)
        normals[seen] = cast["primitive_normals"].numpy()[seen]
        smooth = np.array([s.normals is not None for s in self.solids] or [False])[solid[seen]]
        at_corners = _joined(
            [np.zeros_like(s.vertices) if s.normals is None else s.normals for s in self.solids]
        )
        for axis in range(3):
            blended = (w[smooth] * at_corners[axis][c[smooth]] for w, c in zip(blend, corners, strict=True))
            normals[seen[smooth], axis] = sum(blended)
        normals /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normals, normals)), 1e-9)[:, None]
        normals[np.einsum("ij,ij->i", normals, directions) > 0] *= -1
        places = directions * np.where(hit, depth, 0)[:, None] + eye
        return Hits(hit, solid, self.people[solid], places, normals, p, q)

    def blocked(
        self, starts: Float[np.ndarray, "n 3"], to: Float[np.ndarray, "n 3"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether anything stands between each point and the point ``to`` away from it."""
        rays = np.concatenate([starts, to], axis=1).astype(np.float32)
        return self._scene.test_occlusions(self._tensor(rays), tnear=0.0, tfar=1.0, nthreads=1).numpy()


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Rows of all parts as columns, (3, n) float32: what is gathered by the million is contiguous."""
    return np.ascontiguousarray(np.concatenate([np.zeros((0, 3)), *parts]).astype(np.float32).T)


def _pattern_places(places: np.ndarray, corners: np.ndarray, blend: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Two coordinates in the surface's pattern: those in which the triangle is broadest."""
    a, b, c = ([places[axis][k] for axis in range(3)] for k in corners)
    e, f = [b[k] - a[k] for k in range(3)], [c[k] - a[k] for k in range(3)]
    area = [np.abs(e[k - 2] * f[k - 1] - e[k - 1] * f[k - 2]) for k in range(3)]
    x, y, z = (blend[0] * a[k] + blend[1] * b[k] + blend[2] * c[k] for k in range(3))
    along_x = (area[0] >= area[1]) & (area[0] >= area[2])
    along_z = ~along_x & (area[2] > area[1])
    return np.where(along_x, y, x), np.where(along_z, y, z)
