"""What is photographed: triangles with normals, and a texture or a colour in space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from nerfrecon.simulate.solid_texture import solid_texture
from suite.errors import BadInput
from suite.geometry.raycasting import open3d


@dataclass(frozen=True, eq=False)
class Subject:
    """A mesh; `corner_uv` (v upwards) with the `texture` it looks up, or neither: then `solid_texture`.

    Normals are those of the corners, unit, pointing outside. `corner_shade` in [0, 1] darkens the colour.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]
    corner_normals: Float[np.ndarray, "m 3 3"]
    corner_uv: Float[np.ndarray, "m 3 2"] | None = None
    texture: UInt8[np.ndarray, "h w 3"] | None = None
    corner_shade: Float[np.ndarray, "m 3"] | None = None

    def __post_init__(self) -> None:
        if not len(self.faces) or not np.isfinite(self.vertices).all():
            raise BadInput("the mesh has no faces, or vertices that are not finite", hint="export it again")

    @property
    def box(self) -> Float[np.ndarray, "2 3"]:
        """Its lower and upper corner."""
        used = self.vertices[self.faces.ravel()]
        return np.stack([used.min(0), used.max(0)])

    def colour(
        self, face: Int[np.ndarray, " n"], weight: Float[np.ndarray, "n 3"]
    ) -> Float[np.ndarray, "n 3"]:
        """Colour in [0, 1] at points of faces given by barycentric weights."""
        plain = self._unshaded(face, weight)
        if self.corner_shade is None:
            return plain
        return plain * np.einsum("nk,nk->n", self.corner_shade[face], weight)[:, None]

    def _unshaded(self, face: np.ndarray, weight: np.ndarray) -> np.ndarray:
        if self.corner_uv is None or self.texture is None:
            low, high = self.box
            points = _blend(self.vertices[self.faces[face]], weight)
            return solid_texture((points - low) / (high - low).max())
        return _looked_up(self.texture, _blend(self.corner_uv[face], weight))

    def normal(
        self, face: Int[np.ndarray, " n"], weight: Float[np.ndarray, "n 3"]
    ) -> Float[np.ndarray, "n 3"]:
        """Smooth unit normals there."""
        normal = _blend(self.corner_normals[face], weight)
        return normal / np.maximum(np.sqrt(np.einsum("nd,nd->n", normal, normal)), 1e-12)[:, None]


def read_subject(path: str | Path) -> Subject:
    """An OBJ (with the texture its materials name), GLB or PLY. Raises BadInput for what has no faces."""
    o3d: Any = open3d()
    path = Path(path)
    if not path.is_file():
        raise BadInput("no such file", path, hint="name an OBJ, GLB or PLY")
    mesh = o3d.io.read_triangle_mesh(str(path))
    if not len(mesh.triangles):
        raise BadInput("has no triangles that can be read", path, hint="name an OBJ, GLB or PLY with faces")
    textures = [np.asarray(one) for one in mesh.textures]
    textures = [one for one in textures if one.ndim == 3 and one.shape[2] >= 3]
    uv = np.asarray(mesh.triangle_uvs)
    textured = len(textures) == 1 and len(uv) == 3 * len(mesh.triangles)
    faces = np.asarray(mesh.triangles).astype(np.int64)
    return Subject(
        np.asarray(mesh.vertices).astype(np.float64),
        faces,
        corner_normals(np.asarray(mesh.vertices), faces),
        uv.reshape(-1, 3, 2).astype(np.float64) if textured else None,
        np.ascontiguousarray(textures[0][..., :3]) if textured else None,
    )


def corner_normals(
    vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]
) -> Float[np.ndarray, "m 3 3"]:
    """Area-weighted normals of the places where vertices lie, so that seams of a texture are not seen."""
    _, place = np.unique(np.round(vertices / np.ptp(vertices) * 1e6), axis=0, return_inverse=True)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.cross(b - a, c - a)
    total = np.zeros((place.max() + 1, 3))
    for k in range(3):
        np.add.at(total, place.ravel()[faces[:, k]], area)
    normals = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)
    return normals[place.ravel()[faces]]


def _blend(corners: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.einsum("nkd,nk->nd", corners, weight)


def _looked_up(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Bilinear, repeating; row 0 of a texture is its top, v = 1."""
    height, width = texture.shape[:2]
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]

    def at(dx: int, dy: int) -> np.ndarray:
        return texture[(y0 + dy) % height, (x0 + dx) % width] / 255.0

    return (1 - fy) * ((1 - fx) * at(0, 0) + fx * at(1, 0)) + fy * ((1 - fx) * at(0, 1) + fx * at(1, 1))
