"""Whether a mesh is closed, by its edges, and closing it where it is not."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from nerfrecon.mesh.components import compacted
from suite.geometry.mesh import Mesh

_ROUNDS = 4


class EdgeFaults(NamedTuple):
    """Edges with one face, and edges with more than two or with two that disagree on what is outside."""

    open: int
    crowded: int


def edge_faults(mesh: Mesh) -> EdgeFaults:
    """Both are 0 for a closed, oriented surface (`Mesh.is_watertight`)."""
    alone, crowded = _wrong_edges(mesh.faces, len(mesh.vertices))
    return EdgeFaults(int(alone.sum()), len(np.unique(np.sort(_half_edges(mesh.faces)[crowded], 1), axis=0)))


def closed(mesh: Mesh) -> Mesh:
    """With faces at crowded edges taken out, and every hole filled by triangles around its middle.

    A hole that is left after a few rounds stays: ask `is_watertight`. Faces look outwards where the mesh is
    closed.
    """
    for _ in range(_ROUNDS):
        mesh = _without_faulty_faces(mesh)
        if mesh.is_watertight():
            break
        mesh = _filled(mesh)
    if mesh.is_watertight() and mesh.volume() < 0:
        mesh = Mesh(mesh.vertices, mesh.faces[:, ::-1])
    return compacted(mesh)


def _half_edges(faces: np.ndarray) -> np.ndarray:
    """Start and end of all edges, those of a face after each other."""
    return np.stack([faces.ravel(), np.roll(faces, -1, axis=1).ravel()], 1)


def _wrong_edges(faces: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of all half-edges: those without a partner, and those of an edge that is met twice in one direction."""
    edge = _half_edges(faces)
    ahead, back = edge[:, 0] * n + edge[:, 1], edge[:, 1] * n + edge[:, 0]
    keys, place, count = np.unique(ahead, return_inverse=True, return_counts=True)
    found = np.minimum(np.searchsorted(keys, back), max(len(keys) - 1, 0))
    matched = keys[found] == back if len(keys) else np.zeros(0, bool)
    opposite = np.where(matched, count[found], 0) if len(keys) else np.zeros(0, int)
    crowded = (count[place.ravel()] > 1) | (opposite > 1) | (edge[:, 0] == edge[:, 1])
    return (opposite == 0) & ~crowded, crowded


def _without_faulty_faces(mesh: Mesh) -> Mesh:
    faces = mesh.faces
    distinct = (faces != np.roll(faces, 1, axis=1)).all(1)
    faces = faces[distinct]
    _, first = np.unique(np.sort(faces, 1), axis=0, return_index=True)
    faces = faces[np.sort(first)]
    _, crowded = _wrong_edges(faces, len(mesh.vertices))
    return Mesh(mesh.vertices, faces[~crowded.reshape(-1, 3).any(1)])


def _filled(mesh: Mesh) -> Mesh:
    alone, _ = _wrong_edges(mesh.faces, len(mesh.vertices))
    border = _half_edges(mesh.faces)[alone]
    vertices, faces = [mesh.vertices], [mesh.faces]
    count = len(mesh.vertices)
    for loop in _loops(border):
        back = np.roll(loop, -1)
        if len(loop) == 3:
            faces.append(loop[None, ::-1])
            continue
        vertices.append(mesh.vertices[loop].mean(0, keepdims=True))
        faces.append(np.stack([back, loop, np.full(len(loop), count)], 1))
        count += 1
    return Mesh(np.concatenate(vertices), np.concatenate(faces))


def _loops(border: Int[np.ndarray, "n 2"]) -> list[np.ndarray]:
    """Closed ways along half-edges, each passing a vertex once."""
    after: dict[int, list[int]] = {}
    for start, end in border.tolist():
        after.setdefault(start, []).append(end)
    loops = []
    while after:
        way, place = [next(iter(after))], {}
        place[way[0]] = 0
        while way:
            here = way[-1]
            if here not in after:  # a dead end: nothing closes there
                place.pop(way.pop(), None)
                continue
            there = after[here].pop()
            if not after[here]:
                del after[here]
            if there in place:
                first = place[there]
                loop = way[first:]
                if len(loop) > 2:
                    loops.append(np.array(loop))
                for vertex in loop[1:]:
                    del place[vertex]
                way = way[: first + 1]
                if there not in after:
                    place.pop(way.pop(), None)
            else:
                place[there] = len(way)
                way.append(there)
    return loops
