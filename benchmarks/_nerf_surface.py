"""A signed distance as a mesh, and how far it lies from the truth.

Truth is the photographed mesh. A capture can only know what it saw: recall counts points of the truth that at
least two training views see; precision counts all of the mesh that was found, its largest component.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nerfrecon.mesh.components import largest_parts
from nerfrecon.mesh.cubes import level_set
from nerfrecon.simulate.capture import Capture
from nerfrecon.simulate.photograph import Studio
from nerfrecon.simulate.subject import Subject
from suite.geometry.mesh import Mesh

COARSE, FINER = 96, 3
"""Cells a side that are looked at everywhere, and into how many a side those near the surface are split."""
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
    """The zero of `sdf`, its largest part, in the world, as `nerfrecon.mesh` finds it, not simplified.

    What lies beside `hull`, cells (z, y, x) that the masks leave, is outside.
    """
    found = largest_parts(level_set(sdf, hull, COARSE, FINER)).mesh
    return found.transformed(T_world_unit)


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
