"""A finer skin over part of a body: Loop's subdivision of chosen faces, as one sparse matrix.

Faces that are not chosen but share a split edge are cut to fit, so that no crack opens (red-green closure).
New vertices on edges between chosen faces, and old vertices all of whose faces are chosen, take Loop's
weights ("Smooth subdivision surfaces based on triangles", 1987); others lie where the flat faces have them.
The matrix depends on the faces only: one multiplication refines any shape or pose of the same body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

_Matrix = Any  # scipy.sparse: its types differ from release to release


@dataclass(frozen=True, eq=False)
class FinerSkin:
    """`weights` (n_fine, n) gives fine vertices from coarse ones; `faces` joins them; `origin` is the coarse
    face each fine one lies in."""

    weights: _Matrix
    faces: Int[np.ndarray, "m 3"]
    origin: Int[np.ndarray, " m"]

    def __call__(self, values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n_fine k"]:
        """Vertices, or any other values at the vertices, on the finer skin."""
        return self.weights @ values


def finer_skin(
    n_vertices: int, faces: Int[np.ndarray, "m 3"], chosen: list[Bool[np.ndarray, " m"]]
) -> FinerSkin:
    """The faces chosen for a first, second, ... subdivision (each a subset of all coarse faces)."""
    from scipy import sparse

    faces = np.asarray(faces, np.int64)
    skin = FinerSkin(sparse.identity(n_vertices, format="csr"), faces, np.arange(len(faces)))
    for which in chosen:
        step, new_faces, parent = _subdivided(skin.weights.shape[0], skin.faces, which[skin.origin])
        skin = FinerSkin((step @ skin.weights).tocsr(), new_faces, skin.origin[parent])
    return skin


def _subdivided(n: int, faces: np.ndarray, chosen: np.ndarray) -> tuple[_Matrix, np.ndarray, np.ndarray]:
    """One step: weights (n_new, n), faces, and the face that each comes from."""
    from scipy import sparse

    start, end = faces, np.roll(faces, -1, axis=1)  # edge k of a face runs from corner k to k + 1
    opposite = np.roll(faces, 1, axis=1)
    key = np.minimum(start, end) * n + np.maximum(start, end)
    edges, edge_of = np.unique(key, return_inverse=True)
    edge_of = edge_of.reshape(faces.shape)
    split = np.zeros(len(edges), bool)
    split[edge_of[chosen]] = True
    of_chosen = np.bincount(edge_of[chosen].ravel(), minlength=len(edges))
    number = np.where(split, n + np.cumsum(split) - 1, -1)

    step = sparse.vstack([
        _even_weights(n, faces, chosen),
        _odd_weights(n, edges, edge_of, opposite, np.flatnonzero(split), (of_chosen == 2)),
    ]).tocsr()  # fmt: skip

    middle = number[edge_of]  # (m, 3) the new vertex on each edge, -1 where there is none
    count = (middle >= 0).sum(1)
    out, parent = [faces[count == 0]], [np.flatnonzero(count == 0)]
    for k in range(3):
        a, b, c = (np.roll(faces, -k, axis=1)[:, i] for i in range(3))
        ab, bc, ca = (np.roll(middle, -k, axis=1)[:, i] for i in range(3))
        one = (count == 1) & (ab >= 0)
        two = (count == 2) & (ca < 0)
        cuts = [
            (one, (a, ab, c)),
            (one, (ab, b, c)),
            (two, (ab, b, bc)),
            (two, (a, ab, c)),
            (two, (ab, bc, c)),
        ]
        if k == 0:
            three = count == 3
            cuts += [(three, t) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        for where, corners in cuts:
            out.append(np.stack([corner[where] for corner in corners], axis=1))
            parent.append(np.flatnonzero(where))
    return step, np.concatenate(out), np.concatenate(parent)


def _even_weights(n: int, faces: np.ndarray, chosen: np.ndarray) -> _Matrix:
    """Old vertices: Loop's weights inside the chosen part, themselves elsewhere."""
    from scipy import sparse

    every = np.bincount(faces.ravel(), minlength=n)
    inside = (np.bincount(faces[chosen].ravel(), minlength=n) == every) & (every > 2)
    # On a closed surface a vertex has as many neighbours as faces; each is met twice.
    a, b = faces[chosen].ravel(), np.roll(faces[chosen], -1, axis=1).ravel()
    rows, columns = np.concatenate([a, b]), np.concatenate([b, a])
    keep = inside[rows]
    rows, columns = rows[keep], columns[keep]
    valence = np.maximum(every, 3)
    beta = (5 / 8 - (3 / 8 + np.cos(2 * np.pi / valence) / 4) ** 2) / valence
    own = np.where(inside, 1 - valence * beta, 1.0)
    around = sparse.coo_matrix((beta[rows] / 2, (rows, columns)), shape=(n, n))
    return (sparse.diags(own) + around).tocsr()


def _odd_weights(
    n: int,
    edges: np.ndarray,
    edge_of: np.ndarray,
    opposite: np.ndarray,
    split: np.ndarray,
    smooth: np.ndarray,
) -> _Matrix:
    """New vertices on the split edges."""
    from scipy import sparse

    row = np.full(len(edges), -1)
    row[split] = np.arange(len(split))
    ends = np.where(smooth[split], 3 / 8, 1 / 2)
    rows, columns = [np.arange(len(split))] * 2, [edges[split] // n, edges[split] % n]
    values = [ends, ends]
    at = edge_of.ravel()
    keep = (row[at] >= 0) & smooth[at]
    rows.append(row[at[keep]])
    columns.append(opposite.ravel()[keep])
    values.append(np.full(keep.sum(), 1 / 8))
    flat = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.coo_matrix(flat, shape=(len(split), n)).tocsr()
