"""Rays against a square whose hits are known by hand."""

import numpy as np
import pytest

from suite.geometry.raycasting import RayMesh

CORNERS = np.array([[0.0, 0, 5], [2, 0, 5], [2, 2, 5], [0, 2, 5]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])
AHEAD = np.array([0.0, 0, 1])


@pytest.fixture
def square() -> RayMesh:
    return RayMesh(CORNERS, FACES)


def test_a_ray_tells_distance_face_place_and_normal(square: RayMesh):
    starts = np.array([[1.5, 0.5, 0], [0.5, 1.5, 1], [3.0, 1.0, 0]])
    hits = square.cast(starts, AHEAD)
    assert hits.distance == pytest.approx([5.0, 4.0, np.inf])
    assert hits.face.tolist() == [0, 1, -1]
    assert hits.met.tolist() == [True, True, False]
    places = (hits.weights[:2, :, None] * CORNERS[FACES[hits.face[:2]]]).sum(1)
    np.testing.assert_allclose(places, starts[:2] * [1, 1, 0] + [0, 0, 5], atol=1e-6)
    np.testing.assert_allclose(hits.normal[:2], [[0, 0, 1]] * 2, atol=1e-6)


def test_distance_is_in_lengths_of_the_direction(square: RayMesh):
    assert square.cast(np.ones(3), 4 * AHEAD).distance == pytest.approx(1.0)


def test_rays_keep_the_shape_of_their_grid(square: RayMesh):
    rows, columns = np.mgrid[:4, :7]
    hits = square.cast(np.stack([columns + 0.5, rows + 0.5, 0.0 * rows], -1), AHEAD)
    assert hits.distance.shape == hits.face.shape == (4, 7)
    assert hits.weights.shape == hits.normal.shape == (4, 7, 3)
    assert hits.met.sum() == 4


def test_what_stands_behind_the_goal_blocks_nothing(square: RayMesh):
    starts = np.array([[1.0, 1.2, 0], [1.0, 1.2, 0], [3.0, 1.0, 0]])
    assert square.blocked(starts, np.array([[0, 0, 6.0], [0, 0, 4.0], [0, 0, 6.0]])).tolist() == [
        True,
        False,
        False,
    ]


def test_the_nearest_place_may_be_an_edge(square: RayMesh):
    places, normals = square.nearest(np.array([[1.0, 0.5, 4.0], [3.0, 1.0, 5.0]]))
    np.testing.assert_allclose(places, [[1, 0.5, 5], [2, 1, 5]], atol=1e-6)
    np.testing.assert_allclose(normals, [[0, 0, 1]] * 2, atol=1e-6)


def test_a_mesh_without_faces_is_met_by_nothing():
    empty = RayMesh(np.zeros((0, 3)), np.zeros((0, 3), int))
    assert not empty.cast(np.zeros((2, 3)), AHEAD).met.any()
