"""A signed distance as a mesh, and how far it lies from the truth.

Truth is the photographed mesh. A capture can only know what it saw: recall counts points of the truth that at
least two training views see; precision counts all of the mesh that was found, its largest component.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nerfrecon.simulate.capture import Capture
from nerfrecon.simulate.photograph import Studio
from nerfrecon.simulate.subject import Subject
from suite.geometry.mesh import Mesh

COARSE, FINER = 96, 3
"""Cells a side that are looked at everywhere, and into how many a side those near the surface are split."""
NEAR_CELLS = 2.5
SAMPLES = 40000
INTERIOR_OPENNESS = 0.45


class Agreement(NamedTuple):
    """Shares of points within the distances asked for, in their order."""

    precision: list[float]
    recall: list[float]
    interior_recall: list[float]

    @property
    def f_score(self) -> list[float]:
        """Harmonic means of precision and recall."""
        pairs = zip(self.precision, self.recall, strict=True)
        return [2 * p * r / max(p + r, 1e-9) for p, r in pairs]


def largest_surface(
    sdf: Callable[[np.ndarray], np.ndarray], hull: np.ndarray, T_world_unit: np.ndarray
) -> Mesh:
    """Marching cubes (scikit-image; Lewiner et al. 2003) of f = 0: the largest component, in the world.

    What lies beside `hull`, cells (z, y, x) that the masks leave, is outside.
    """
    from scipy.ndimage import zoom
    from skimage.measure import marching_cubes

    n = COARSE * FINER
    coarse = sdf(_lattice(COARSE)).reshape((COARSE,) * 3)
    f = np.ascontiguousarray(zoom(coarse, FINER, order=1, mode="nearest", grid_mode=True))
    cells = len(hull)
    places = ((np.arange(n) + 0.5) / n * cells).astype(int)
    allowed = hull[np.ix_(places, places, places)]
    near = np.flatnonzero((np.abs(f) < NEAR_CELLS / COARSE) & allowed)
    z, y, x = np.unravel_index(near, f.shape)
    f.reshape(-1)[near] = sdf(((np.stack([x, y, z], 1) + 0.5) / n).astype(np.float32))
    f[~allowed] = np.maximum(f[~allowed], 0.5 / n)
    f = np.pad(f, 1, constant_values=0.5 / n)
    corners, faces, _, _ = marching_cubes(f, 0.0)
    vertices = (corners[:, ::-1] - 0.5) / n
    world = vertices @ T_world_unit[:3, :3].T + T_world_unit[:3, 3]
    return _largest(world, faces[:, ::-1].astype(np.int64))


def agreement(
    found: Mesh, truth: Subject, capture: Capture, learned: tuple[int, ...], shares: tuple[float, ...]
) -> Agreement:
    """Of `found` with `truth`; distances are `shares` of the diagonal of the truth's box."""
    low, high = truth.box
    limits = [share * float(np.linalg.norm(high - low)) for share in shares]
    true_studio = Studio(truth)
    flat = np.zeros((len(found.faces), 3, 3))
    found_studio = Studio(Subject(found.vertices, found.faces, flat))
    points, _ = _points_on(found.vertices, found.faces, seed=1)
    off = true_studio.distance(points)
    wanted, normals = _points_on(truth.vertices, truth.faces, seed=2)
    seen = sum(true_studio.sees(wanted, normals, capture.camera, capture.poses[view]) for view in learned)
    wanted, normals = wanted[seen >= 2], normals[seen >= 2]
    missed = found_studio.distance(wanted)
    interior = true_studio.openness(wanted, normals) < INTERIOR_OPENNESS
    return Agreement(
        [float((off < limit).mean()) for limit in limits],
        [float((missed < limit).mean()) for limit in limits],
        [float((missed[interior] < limit).mean()) for limit in limits],
    )


def _lattice(n: int) -> np.ndarray:
    middle = (np.arange(n, dtype=np.float32) + 0.5) / n
    z, y, x = np.meshgrid(middle, middle, middle, indexing="ij")
    return np.stack([x, y, z], -1).reshape(-1, 3)


def _largest(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(2 * len(faces))
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(len(vertices),) * 2)
    component = connected_components(graph, directed=False)[1][faces[:, 0]]
    return Mesh(vertices, faces[component == np.bincount(component).argmax()])


def _points_on(vertices: np.ndarray, faces: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points spread evenly over the area, and the normals of their faces."""
    rng = np.random.default_rng(seed)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal, axis=1)
    face = rng.choice(len(faces), SAMPLES, p=area / area.sum())
    u, v = np.sqrt(rng.random(SAMPLES))[:, None], rng.random(SAMPLES)[:, None]
    points = (1 - u) * a[face] + u * (1 - v) * b[face] + u * v * c[face]
    return points, normal[face] / area[face, None]
