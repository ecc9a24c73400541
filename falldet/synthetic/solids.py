"""Things made of simple solids, with what they are made of, and whether people run into them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from falldet.synthetic.textures import Material


@dataclass(frozen=True, eq=False)
class Solid:
    """Triangles of one material; ``places`` (m) are vertices in its pattern; ``normals`` if smooth."""

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]
    material: Material
    places: Float[np.ndarray, "n 3"]
    normals: Float[np.ndarray, "n 3"] | None = None


@dataclass(frozen=True)
class Block:
    """A box that nobody may be inside: centre (m), half sizes (m), and its turn about z."""

    centre: tuple[float | int, float | int, float | int]
    half: tuple[float | int, float | int, float | int]
    yaw_rad: float | int = 0.0

    def inside(self, points: Float[np.ndarray, "n 3"], margin_m: float | int = 0.0) -> Bool[np.ndarray, " n"]:
        """Which points are deeper inside than ``margin_m``."""
        c, s = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        d = points - np.asarray(self.centre)
        local = np.stack([c * d[:, 0] + s * d[:, 1], -s * d[:, 0] + c * d[:, 1], d[:, 2]], axis=1)
        return np.asarray((np.abs(local) < np.asarray(self.half) - margin_m).all(axis=1))


@dataclass
class Thing:
    """A piece of furniture: what is drawn, and the blocks that stand in people's way."""

    solids: list[Solid] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def box(
        self, centre: tuple, size: tuple, material: Material, solid: bool = True, tilt_rad: float | int = 0.0
    ) -> None:
        """A box, turned about its own x by ``tilt_rad``."""
        vertices = (_CUBE - 0.5) * np.asarray(size)
        if tilt_rad:
            c, s = np.cos(tilt_rad), np.sin(tilt_rad)
            vertices = vertices @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T
        # Corners are not shared between sides, so that each side has its own pattern coordinates.
        vertices = (vertices + np.asarray(centre))[_CUBE_FACES.ravel()]
        faces = np.arange(len(vertices)).reshape(-1, 3)
        self.solids.append(Solid(vertices, faces, material, vertices))
        if solid and not tilt_rad:
            self.blocks.append(Block(_triple(centre), _triple(np.asarray(size) / 2)))

    def tube(
        self, start: tuple, end: tuple, radius_m: float | int, material: Material, sides: int = 8
    ) -> None:
        """A closed cylinder between two points."""
        a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
        axis = (b - a) / np.linalg.norm(b - a)
        u = np.cross(axis, [0, 0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0, 0])
        u /= np.linalg.norm(u)
        v = np.cross(axis, u)
        angle = np.arange(sides) * 2 * np.pi / sides
        ring = radius_m * (np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * v)
        vertices = np.concatenate([a + ring, b + ring, [a], [b]])
        k, n = np.arange(sides), (np.arange(sides) + 1) % sides
        bottom, top = np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
        corners = ((k, n, n + sides), (k, n + sides, k + sides), (n, k, bottom), (k + sides, n + sides, top))
        faces = np.concatenate([np.stack(three, axis=1) for three in corners])
        self.solids.append(Solid(vertices, faces, material, vertices))

    def ring(
        self, centre: tuple, radius_m: float | int, thick_m: float | int, material: Material, axis: int = 0
    ) -> None:
        """A wheel's rim across axis 0 (x) or 1 (y)."""
        angle = np.linspace(0, 2 * np.pi, 19)
        u, w = np.eye(3)[1 - axis], np.eye(3)[2]
        points = np.asarray(centre) + radius_m * (np.cos(angle)[:, None] * u + np.sin(angle)[:, None] * w)
        for p, q in itertools.pairwise(points):
            self.tube(tuple(p), tuple(q), thick_m, material, sides=5)

    def sheet(self, grid: Float[np.ndarray, "a b 3"], material: Material) -> None:
        """A surface through a grid of points, smooth."""
        a, b = grid.shape[:2]
        index = np.arange(a * b).reshape(a, b)
        i, j, k, m = (
            index[:-1, :-1].ravel(),
            index[1:, :-1].ravel(),
            index[1:, 1:].ravel(),
            index[:-1, 1:].ravel(),
        )
        faces = np.concatenate([np.stack([i, j, k], 1), np.stack([i, k, m], 1)])
        vertices = grid.reshape(-1, 3)
        self.solids.append(Solid(vertices, faces, material, vertices, vertex_normals(vertices, faces)))

    def ball(self, centre: tuple, half: tuple, material: Material, power: float | int = 0.5) -> None:
        """A cushion: a superellipsoid, the squarer the smaller ``power``."""
        lat, lon = np.meshgrid(
            np.linspace(-np.pi / 2, np.pi / 2, 9), np.linspace(-np.pi, np.pi, 17), indexing="ij"
        )

        def f(x: np.ndarray) -> np.ndarray:
            return np.sign(x) * np.abs(x) ** power

        grid = np.stack(
            [f(np.cos(lat)) * f(np.cos(lon)), f(np.cos(lat)) * f(np.sin(lon)), f(np.sin(lat))], axis=2
        )
        self.sheet(np.asarray(centre) + grid * np.asarray(half), material)

    def placed(
        self, x_m: float | int, y_m: float | int, yaw_rad: float | int, z_m: float | int = 0.0
    ) -> Thing:
        """Turned about z and moved; patterns stay with it."""
        c, s = np.cos(yaw_rad), np.sin(yaw_rad)
        R = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        move = np.array([x_m, y_m, z_m])
        solids = [
            Solid(
                q.vertices @ R.T + move,
                q.faces,
                q.material,
                q.places,
                None if q.normals is None else q.normals @ R.T,
            )
            for q in self.solids
        ]
        blocks = [Block(_triple(R @ b.centre + move), b.half, b.yaw_rad + yaw_rad) for b in self.blocks]
        return Thing(solids, blocks)


def _triple(values: Iterable[float | int]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def vertex_normals(
    vertices: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "m 3"]
) -> Float[np.ndarray, "n 3"]:
    """Unit normals, faces weighted by their area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    total = np.empty((len(vertices), 3))
    flat = faces.T.ravel()
    for axis in range(3):
        total[:, axis] = np.bincount(flat, np.tile(cross[:, axis], 3), len(vertices))
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


_CUBE = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], np.float64)
_CUBE_FACES = np.array(
    [[0, 2, 3], [0, 3, 1], [4, 5, 7], [4, 7, 6], [0, 1, 5], [0, 5, 4],
     [2, 6, 7], [2, 7, 3], [0, 4, 6], [0, 6, 2], [1, 3, 7], [1, 7, 5]]
)  # fmt: skip
