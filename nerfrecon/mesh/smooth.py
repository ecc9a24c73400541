"""A surface without its ripple, and not smaller for it.

G. Taubin, "A signal processing approach to fair surface design", SIGGRAPH 1995: a step towards the mean of
the neighbours, and a slightly longer one back. A Gaussian alone, over the mesh or over what it is taken from,
shrinks what is convex: half a pixel along every silhouette, which is more than half of what a render of the
textured mesh then differs by from photographs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from suite.geometry.mesh import Mesh

FORTH, BACK = 0.5, -0.53
"""Of the way to the neighbours' mean; ripples longer than some twenty edges stay (pass band .11)."""


def smoothed(mesh: Mesh, rounds: int) -> Mesh:
    """The mesh with its vertices moved by so many rounds; the triangles stay."""
    if not rounds:
        return mesh
    mean = _mean_of_neighbours(mesh)
    vertices = mesh.vertices.copy()
    for _ in range(rounds):
        for share in (FORTH, BACK):
            vertices += share * (mean @ vertices - vertices)
    return Mesh(vertices, mesh.faces)


def _mean_of_neighbours(mesh: Mesh) -> Any:
    from scipy.sparse import coo_matrix, diags

    n = len(mesh.vertices)
    one, other = mesh.faces.ravel(), np.roll(mesh.faces, -1, axis=1).ravel()
    ends = (np.concatenate([one, other]), np.concatenate([other, one]))
    beside = coo_matrix((np.ones(len(ends[0])), ends), shape=(n, n)).tocsr()
    beside.data[:] = 1.0  # an edge counts once, however many triangles have it
    count = np.asarray(beside.sum(axis=1)).ravel()
    alone = (count == 0).astype(float)  # is its own mean
    return diags(1 / np.maximum(count, 1)) @ beside + diags(alone)
