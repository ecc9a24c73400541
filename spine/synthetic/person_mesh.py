"""The whole skin of one posed person as triangles, and rays that meet it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from suite.geometry.raycasting import RayHits, RayMesh

FLIP = np.array([-1.0, 1.0, 1.0])
MARKER_PART = -1
"""In place of a part of the body: vertices of markers that stick to the skin."""
_RING, _RADIUS_MM = 12, 5.5


@dataclass(frozen=True, eq=False)
class PersonMesh:
    """Body frame, mm. part: place in `suite.body.parts.PART_NAMES` of every vertex, MARKER_PART for markers;
    at_rest_mm: where each vertex was before the spine bent it, to which clothes and colours belong."""

    vertices_mm: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]
    part: Int[np.ndarray, " n"]
    at_rest_mm: Float[np.ndarray, "n 3"]

    @cached_property
    def for_rays(self) -> RayMesh:
        return RayMesh(self.vertices_mm, self.faces)

    @cached_property
    def normals(self) -> Float[np.ndarray, "n 3"]:
        """Directions the skin looks in at the vertices, not of unit length: faces count by their area."""
        corners = self.vertices_mm[self.faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        out = np.zeros_like(self.vertices_mm)
        for k in range(3):
            for axis in range(3):
                out[:, axis] += np.bincount(self.faces[:, k], cross[:, axis], len(out))
        return out

    def from_behind(self, xy_mm: Float[np.ndarray, "*k 2"]) -> RayHits:
        """Level rays forwards through places (x, y); `distance` is z in mm, -inf where there is nobody."""
        start = np.concatenate([xy_mm, np.full((*xy_mm.shape[:-1], 1), _FAR_MM)], axis=-1)
        hits = self.for_rays.cast(start, np.array([0.0, 0.0, -1.0]))
        return hits._replace(distance=_FAR_MM - hits.distance.astype(np.float64))

    def part_behind(self, xy_mm: Float[np.ndarray, "k 2"]) -> Int[np.ndarray, " k"]:
        """The part of the body that a viewer behind sees at places (x, y); that of a corner of the face."""
        face = self.from_behind(xy_mm).face
        return np.where(face >= 0, self.part[self.faces[face, 0]], MARKER_PART)

    def moved(self, by_mm: Float[np.ndarray, " 3"]) -> PersonMesh:
        return PersonMesh(self.vertices_mm + by_mm, self.faces, self.part, self.at_rest_mm)

    def mirrored(self) -> PersonMesh:
        return PersonMesh(self.vertices_mm * FLIP, self.faces[:, ::-1], self.part, self.at_rest_mm * FLIP)

    def breathing(self, lift_mm: Float[np.ndarray, " n"]) -> PersonMesh:
        """With every vertex moved backwards by so much."""
        vertices = self.vertices_mm.copy()
        vertices[:, 2] += lift_mm
        return PersonMesh(vertices, self.faces, self.part, self.at_rest_mm)

    def with_domes(self, places_mm: Float[np.ndarray, "m 3"], height_mm: float) -> PersonMesh:
        """With markers stuck on at these places of the skin: flat domes that look backwards."""
        if not len(places_mm):
            return self
        rings = np.linspace(1, 0, 5)[:-1]
        angle = np.linspace(0, 2 * np.pi, _RING, endpoint=False)
        shell = [
            np.stack([r * np.cos(angle), r * np.sin(angle), np.full(_RING, np.sqrt(1 - r**2))], axis=1)
            for r in rings
        ]
        dome = np.vstack([*shell, [[0.0, 0.0, 1.0]]]) * [_RADIUS_MM, _RADIUS_MM, height_mm]
        dome[:_RING, 2] = -2.0  # sunk a little, so that it stands on uneven skin
        i, j = np.arange(_RING), (np.arange(_RING) + 1) % _RING
        faces = [
            f
            for k in range(len(rings) - 1)
            for f in (
                np.stack([i, j, j + _RING], axis=1) + k * _RING,
                np.stack([i, j + _RING, i + _RING], axis=1) + k * _RING,
            )
        ]
        top = (len(rings) - 1) * _RING
        faces = np.vstack([*faces, np.stack([i + top, j + top, np.full(_RING, len(dome) - 1)], axis=1)])
        n, m = len(self.vertices_mm), len(places_mm)
        vertices = (places_mm[:, None] + dome).reshape(-1, 3)
        more = (faces + n + len(dome) * np.arange(m)[:, None, None]).reshape(-1, 3)
        return PersonMesh(
            np.vstack([self.vertices_mm, vertices]),
            np.vstack([self.faces, more]),
            np.append(self.part, np.full(len(vertices), MARKER_PART)),
            np.vstack([self.at_rest_mm, vertices]),
        )


_FAR_MM = 2000.0
