"""How far a surface that was found lies from the true one.

Distances are measured from points spread evenly over one surface to the other (Knapitsch et al. 2017, "Tanks
and Temples", section 4). A capture can only know what it saw: of the truth, points count that at least two
views see; of what was found, all. The interior, where less than 45 % of an even sky's light arrives, is
scored apart, there on both surfaces only where two views look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from nerfrecon.scene import View
from nerfrecon.simulate.photograph import Studio
from nerfrecon.simulate.subject import Subject
from suite.geometry.mesh import Mesh

SHARES = (0.005, 0.01)
"""Of the diagonal of the truth's box: within so much counts as right."""
SAMPLES = 40_000
INTERIOR_OPENNESS = 0.45
_FEWEST = 50


@dataclass(frozen=True)
class SurfaceScore:
    """Of one surface; lists are in the order of SHARES, interior ones empty where the truth has none.

    `accuracy` and `completeness` are mean distances from what was found to the truth and back, in the
    truth's unit; `normal_consistency` is the mean cosine between normals of nearest points, both ways.
    """

    accuracy: float
    completeness: float
    precision: list[float]
    recall: list[float]
    normal_consistency: float
    interior_precision: list[float]
    interior_recall: list[float]

    @property
    def f_score(self) -> list[float]:
        """Harmonic means of precision and recall."""
        return _harmonic(self.precision, self.recall)

    @property
    def interior_f_score(self) -> list[float]:
        """The same of the interior."""
        return _harmonic(self.interior_precision, self.interior_recall)


def score_surface(found: Mesh, truth: Subject, views: Sequence[View], samples: int = SAMPLES) -> SurfaceScore:
    """Score a mesh by so many points of each surface; all in the truth's world frame, `views` are those that
    were learned from."""
    low, high = truth.box
    limits = [share * float(np.linalg.norm(high - low)) for share in SHARES]
    ours, true = _Surface(_subject(found), samples, seed=1), _Surface(truth, samples, seed=2)
    seen = true.seen_twice(views)
    off, of_found = true.nearest(ours.points, ours.normals)
    missed, of_truth = ours.nearest(true.points[seen], true.normals[seen])
    interior = true.interior()[seen]
    inside_recall, inside_precision = [], []
    if interior.sum() >= _FEWEST:
        inside_recall = _within(missed[interior], limits)
        inside_precision = _within(off[ours.interior() & ours.seen_twice(views)], limits)
    return SurfaceScore(
        float(off.mean()),
        float(missed.mean()),
        _within(off, limits),
        _within(missed, limits),
        (of_found + of_truth) / 2,
        inside_precision,
        inside_recall,
    )


class _Surface:
    """Points spread evenly over a surface, with normals."""

    def __init__(self, subject: Subject, samples: int, seed: int) -> None:
        self._studio = Studio(subject)
        rng = np.random.default_rng(seed)
        a, b, c = (subject.vertices[subject.faces[:, k]] for k in range(3))
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal, axis=1)
        face = rng.choice(len(area), samples, p=area / area.sum())
        u, v = np.sqrt(rng.random(samples))[:, None], rng.random(samples)[:, None]
        self.points = (1 - u) * a[face] + u * (1 - v) * b[face] + u * v * c[face]
        self.normals = normal[face] / area[face, None]

    def nearest(
        self, points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, " n"], float]:
        """Distances of points to this surface, and the mean cosine of their normals with its own there."""
        away, there = self._studio.nearest(points)
        return away, float(np.abs((normals * there).sum(1)).mean()) if len(points) else 0.0

    def interior(self) -> Bool[np.ndarray, " n"]:
        """Points that little light of an even sky reaches."""
        return self._studio.openness(self.points, self.normals) < INTERIOR_OPENNESS

    def seen_twice(self, views: Sequence[View]) -> Bool[np.ndarray, " n"]:
        """Points that at least two views see."""
        seen = np.zeros(len(self.points), np.int64)
        for view in views:
            pinhole = view.camera.pinhole  # whether a point is hidden hardly depends on the lens
            seen += self._studio.sees(self.points, self.normals, pinhole, view.T_world_camera)
        return seen >= 2


def _subject(mesh: Mesh) -> Subject:
    corner_normals = np.repeat(mesh.face_normals()[:, None], 3, axis=1)
    return Subject(np.asarray(mesh.vertices, np.float64), mesh.faces, corner_normals)


def _within(distances: Float[np.ndarray, " n"], limits: Sequence[float]) -> list[float]:
    return [float((distances < limit).mean()) if len(distances) else 0.0 for limit in limits]


def _harmonic(precision: Sequence[float], recall: Sequence[float]) -> list[float]:
    return [2 * p * r / max(p + r, 1e-9) for p, r in zip(precision, recall, strict=True)]
