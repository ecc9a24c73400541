"""The connected parts of a mesh: which one is the object, and what else floats about it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from suite.geometry.mesh import Mesh


class Kept(NamedTuple):
    """What is left of a mesh, and how many parts are gone."""

    mesh: Mesh
    kept: int
    dropped: int
    dropped_area_share: float  # of all area


def largest_parts(mesh: Mesh, keep_share: float | int = 1.0) -> Kept:
    """Parts of at least `keep_share` of the largest one's area.

    Surfaces that face inwards bound hollows that nobody sees, and never stay (nor count as the largest).
    """
    part = parts(mesh)[mesh.faces[:, 0]]
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    cross = np.cross(b - a, c - a)
    area = np.bincount(part, np.linalg.norm(cross, axis=1) / 2)
    middle = mesh.vertices.mean(0)
    volume = np.bincount(part, np.einsum("ij,ij->i", a - middle, np.cross(b - middle, c - middle)) / 6)
    candidates = np.where(volume > 0, area, 0.0)
    keep = (candidates >= keep_share * candidates.max()) & (candidates > 0)
    chosen = keep[part]
    left = compacted(Mesh(mesh.vertices, mesh.faces[chosen]))
    gone = float(area[~keep].sum() / max(area.sum(), 1e-300))
    return Kept(left, int(keep.sum()), int((~keep & (area > 0)).sum()), gone)


def parts(mesh: Mesh) -> Int[np.ndarray, " n"]:
    """Number of the connected part that each vertex belongs to."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([mesh.faces[:, :2], mesh.faces[:, 1:]])
    ones = np.ones(len(edges), np.int8)
    graph = coo_matrix((ones, (edges[:, 0], edges[:, 1])), shape=(len(mesh.vertices),) * 2)
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def compacted(mesh: Mesh) -> Mesh:
    """Without vertices that no face names."""
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces.ravel()] = True
    number = np.cumsum(used) - 1
    return Mesh(mesh.vertices[used], number[mesh.faces])
