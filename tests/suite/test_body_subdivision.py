"""Finer skins: closed where they were, smooth where they are chosen, linear in the coarse vertices."""

from __future__ import annotations

import numpy as np
import pytest

from suite.body.subdivision import finer_skin
from suite.geometry.mesh import Mesh


def ball(times: int) -> Mesh:
    """A subdivided octahedron pushed out to radius 1."""
    v = np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)], float)
    f = np.array([(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)])
    for _ in range(times):
        skin = finer_skin(len(v), f, [np.ones(len(f), bool)])
        v, f = skin(v), skin.faces
        v = v / np.linalg.norm(v, axis=1, keepdims=True)
    return Mesh(v, f)


def test_a_part_of_a_closed_skin_stays_closed_and_in_place():
    coarse = ball(2)
    upper = coarse.vertices[coarse.faces].mean(1)[:, 2] > 0.2
    top = coarse.vertices[coarse.faces].mean(1)[:, 2] > 0.6
    skin = finer_skin(len(coarse.vertices), coarse.faces, [upper, top])
    fine = Mesh(skin(coarse.vertices), skin.faces)
    assert coarse.is_watertight() and fine.is_watertight()
    assert np.allclose(skin.weights.sum(1), 1)
    assert fine.volume() == pytest.approx(coarse.volume(), rel=0.03)
    below = fine.vertices[:, 2] < 0
    assert np.isin(np.round(fine.vertices[below], 9), np.round(coarse.vertices, 9)).all()
    assert len(fine.faces) > len(coarse.faces) + 3 * upper.sum() + 9 * top.sum()
    lie_over = coarse.vertices[coarse.faces[skin.origin]].mean(1)
    assert np.linalg.norm(fine.vertices[fine.faces].mean(1) - lie_over, axis=1).max() < 0.25


def test_planes_stay_planes_and_every_map_is_linear():
    coarse = ball(1)
    skin = finer_skin(len(coarse.vertices), coarse.faces, [np.ones(len(coarse.faces), bool)] * 2)
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    np.testing.assert_allclose(skin(coarse.vertices @ A + b), skin(coarse.vertices) @ A + b, atol=1e-12)


def test_chosen_faces_become_smooth():
    """Loop's surface of an octahedron is round: its distances from the middle differ less and less."""
    coarse = ball(0)
    every = np.ones(len(coarse.faces), bool)
    spread = []
    for times in (1, 3):
        skin = finer_skin(len(coarse.vertices), coarse.faces, [every] * times)
        mesh = Mesh(skin(coarse.vertices), skin.faces)
        normals, faces = mesh.face_normals(), {}
        for k, face in enumerate(skin.faces):
            for a, b in zip(face, np.roll(face, -1), strict=True):
                faces.setdefault((min(a, b), max(a, b)), []).append(k)
        spread.append(max(np.arccos(np.clip(normals[i] @ normals[j], -1, 1)) for i, j in faces.values()))
    assert spread[1] < 0.5 * spread[0]
