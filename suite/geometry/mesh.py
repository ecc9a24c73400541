"""Triangle meshes and point clouds: arrays that were checked once, at the door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from suite.errors import BadInput

_GREY = 190  # of a part without colours among parts with colours


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles over shared vertices; a face lists its corners counter-clockwise seen from outside.

    `dropped` counts the vertices a reader left out because they were not finite. Raises BadInput for
    wrong shapes, values that are not finite and faces that point outside the vertices.
    """

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]
    vertex_colors: UInt8[np.ndarray, "n 3"] | None = None
    name: str = ""
    dropped: int = 0

    def __post_init__(self) -> None:
        what = f"mesh {self.name!r}" if self.name else "mesh"
        vertices = _vectors(self.vertices, f"{what}: vertices")
        faces = np.asarray(self.faces)
        if faces.size == 0:
            faces = np.zeros((0, 3), np.int64)
        if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
            raise BadInput(
                f"{what}: faces have shape {faces.shape} and type {faces.dtype}, not (m, 3) integers"
            )
        faces = faces.astype(np.int64, copy=False)
        if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
            row = int(np.flatnonzero(((faces < 0) | (faces >= len(vertices))).any(axis=1))[0])
            raise BadInput(
                f"{what}: face {row} is {faces[row].tolist()} but there are {len(vertices)} vertices"
            )
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces)
        object.__setattr__(self, "vertex_colors", _colors(self.vertex_colors, len(vertices), what))

    def face_normals(self) -> Float[np.ndarray, "m 3"]:
        """Unit normals; zero for a face without area."""
        return _unit(self._face_crosses())

    def vertex_normals(self) -> Float[np.ndarray, "n 3"]:
        """Unit normals, faces weighted by their angle at the vertex; zero where no face meets it.

        G. Thuermer, C. A. Wuethrich, "Computing vertex normals from polygonal facets", 1998.
        """
        corners = self.vertices[self.faces]
        normals = self.face_normals()
        total = np.zeros_like(self.vertices)
        for k in range(3):
            a = _unit(corners[:, (k + 1) % 3] - corners[:, k])
            b = _unit(corners[:, (k + 2) % 3] - corners[:, k])
            angle = np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), np.einsum("ij,ij->i", a, b))
            for axis in range(3):
                total[:, axis] += np.bincount(self.faces[:, k], angle * normals[:, axis], len(total))
        return _unit(total)

    def area(self) -> float:
        """Surface area, in the unit of the vertices squared."""
        return float(0.5 * np.linalg.norm(self._face_crosses(), axis=1).sum())

    def volume(self) -> float:
        """Enclosed volume of a watertight mesh (divergence theorem), positive where faces look outwards."""
        if not len(self.faces):
            return 0.0
        # About a near point, so that a far origin costs no digits.
        a, b, c = np.moveaxis(self.vertices[self.faces] - self.vertices[self.faces[0, 0]], 1, 0)
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)

    def is_watertight(self) -> bool:
        """Whether every edge joins exactly two faces of like orientation."""
        if not len(self.faces):
            return False
        start, end = self.faces.ravel(), np.roll(self.faces, -1, axis=1).ravel()
        n = len(self.vertices)
        edges = np.sort(start * n + end)
        unique = bool(np.all(np.diff(edges) > 0)) and bool(np.all(start != end))
        return unique and np.array_equal(edges, np.sort(end * n + start))

    def transformed(self, T: Float[np.ndarray, "4 4"]) -> Mesh:
        """Under an affine transform; a mirroring one turns the faces round, so that they look outwards."""
        T = _affine(T)
        mirrored = np.linalg.det(T[:3, :3]) < 0
        return replace(
            self,
            vertices=self.vertices @ T[:3, :3].T + T[:3, 3],
            faces=self.faces[:, ::-1] if mirrored else self.faces,
        )

    def scaled(self, factor: float) -> Mesh:
        """All coordinates times `factor`: a change of unit."""
        return self.transformed(np.diag([factor, factor, factor, 1.0]))

    def with_color(self, rgb: Sequence[int]) -> Mesh:
        """The same mesh in one colour (sRGB, 0-255)."""
        colors = np.tile(np.asarray(rgb, np.uint8), (len(self.vertices), 1))
        return replace(self, vertex_colors=colors)

    @staticmethod
    def concatenate(meshes: Sequence[Mesh], name: str = "") -> Mesh:
        """One mesh of several; where only some have colours, the others become grey."""
        starts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
        colored = any(m.vertex_colors is not None for m in meshes)
        return Mesh(
            vertices=np.concatenate([np.zeros((0, 3)), *(m.vertices for m in meshes)]),
            faces=np.concatenate(
                [np.zeros((0, 3), np.int64), *(m.faces + s for m, s in zip(meshes, starts, strict=False))]
            ),
            vertex_colors=np.concatenate([_colors_or_grey(m) for m in meshes]) if colored else None,
            name=name,
            dropped=sum(m.dropped for m in meshes),
        )

    def _face_crosses(self) -> np.ndarray:
        a, b, c = np.moveaxis(self.vertices[self.faces], 1, 0)
        return np.cross(b - a, c - a)


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points with optional colours and normals (unit length, or zero where unknown).

    `dropped` counts the points a reader left out because they were not finite. Raises BadInput for
    wrong shapes and for values that are not finite.
    """

    points: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"] | None = None
    normals: Float[np.ndarray, "n 3"] | None = None
    dropped: int = 0

    def __post_init__(self) -> None:
        points = _vectors(self.points, "point cloud: points")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "colors", _colors(self.colors, len(points), "point cloud"))
        if self.normals is not None:
            normals = _vectors(self.normals, "point cloud: normals")
            if len(normals) != len(points):
                raise BadInput(f"point cloud: {len(normals)} normals for {len(points)} points")
            object.__setattr__(self, "normals", _unit(normals))

    def __len__(self) -> int:
        return len(self.points)

    def transformed(self, T: Float[np.ndarray, "4 4"]) -> PointCloud:
        """Under an affine transform."""
        T = _affine(T)
        normals = None if self.normals is None else self.normals @ np.linalg.inv(T[:3, :3])
        return replace(self, points=self.points @ T[:3, :3].T + T[:3, 3], normals=normals)

    def scaled(self, factor: float) -> PointCloud:
        """All coordinates times `factor`: a change of unit."""
        return self.transformed(np.diag([factor, factor, factor, 1.0]))

    def select(self, keep: np.ndarray) -> PointCloud:
        """The points of a mask or of indices."""
        return replace(
            self,
            points=self.points[keep],
            colors=None if self.colors is None else self.colors[keep],
            normals=None if self.normals is None else self.normals[keep],
        )

    def voxel_downsample(self, voxel: float) -> PointCloud:
        """One point, the mean, for every cube of side `voxel` that holds any; in the order of the cubes."""
        if not voxel > 0:
            raise BadInput(f"voxel size is {voxel}", hint="give a positive length in the unit of the points")
        if not len(self):
            return self
        cubes = np.floor((self.points - self.points.min(axis=0)) / voxel).astype(np.int64)
        _, cube, count = np.unique(cubes, axis=0, return_inverse=True, return_counts=True)

        def mean(values: np.ndarray) -> np.ndarray:
            sums = [np.bincount(cube.ravel(), values[:, k], len(count)) for k in range(3)]
            return np.stack(sums, axis=1) / count[:, None]

        return replace(
            self,
            points=mean(self.points),
            colors=None if self.colors is None else np.round(mean(self.colors)).astype(np.uint8),
            normals=None if self.normals is None else mean(self.normals),
        )


def _vectors(values: Any, what: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != 3 or values.dtype.kind not in "fiu":
        raise BadInput(f"{what} have shape {values.shape} and type {values.dtype}, not (n, 3) numbers")
    values = values.astype(np.float64, copy=False)
    if not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
        raise BadInput(f"{what} hold {len(rows)} rows that are NaN or infinite, the first is row {rows[0]}")
    return values


def _colors(colors: Any, n: int, what: str) -> np.ndarray | None:
    if colors is None:
        return None
    colors = np.asarray(colors)
    if colors.shape != (n, 3) or colors.dtype != np.uint8:
        raise BadInput(
            f"{what}: colours have shape {colors.shape} and type {colors.dtype}, not ({n}, 3) uint8"
        )
    return colors


def _colors_or_grey(mesh: Mesh) -> np.ndarray:
    if mesh.vertex_colors is not None:
        return mesh.vertex_colors
    return np.full((len(mesh.vertices), 3), _GREY, np.uint8)


def _affine(T: Any) -> np.ndarray:
    T = np.asarray(T, np.float64)
    if T.shape != (4, 4) or not np.isfinite(T).all() or np.any(T[3] != [0, 0, 0, 1]):
        raise BadInput("transform is not a finite 4 x 4 affine matrix with last row 0, 0, 0, 1")
    return T


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
