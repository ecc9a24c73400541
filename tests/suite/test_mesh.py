"""Meshes and point clouds: measures of known bodies, how they move, and what is refused at the door."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.errors import BadInput
from suite.geometry.mesh import Mesh, PointCloud
from suite.geometry.rotations import se3_exp

CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
CUBE = Mesh(CORNERS, np.array([t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))]))
TWISTS = st.lists(st.floats(-3, 3), min_size=6, max_size=6).map(np.array)


def test_measures_of_a_cube():
    assert CUBE.is_watertight()
    assert CUBE.volume() == pytest.approx(1)
    assert CUBE.area() == pytest.approx(6)
    outwards = CORNERS - 0.5
    np.testing.assert_allclose(CUBE.vertex_normals(), outwards / np.linalg.norm(outwards, axis=1)[:, None])
    centres = CUBE.vertices[CUBE.faces].mean(axis=1) - 0.5
    assert (np.einsum("ij,ij->i", CUBE.face_normals(), centres) > 0).all()


@given(TWISTS, st.floats(0.1, 10))
def test_measures_follow_a_move_and_a_scale(xi, scale):
    moved = CUBE.transformed(se3_exp(xi)).scaled(scale)
    assert moved.volume() == pytest.approx(scale**3)
    assert moved.area() == pytest.approx(6 * scale**2)
    np.testing.assert_allclose(
        moved.vertex_normals(), CUBE.vertex_normals() @ se3_exp(xi)[:3, :3].T, atol=1e-9
    )


def test_a_mirror_keeps_the_outside_out():
    mirrored = CUBE.transformed(np.diag([-1.0, 1, 1, 1]))
    assert mirrored.volume() == pytest.approx(1)
    assert mirrored.is_watertight()


def test_far_from_the_origin_volume_keeps_its_digits():
    T = np.eye(4)
    T[:3, 3] = 1e6
    assert CUBE.transformed(T).volume() == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize(
    ("faces", "why"),
    [
        (CUBE.faces[:-1], "a hole"),
        (np.vstack([CUBE.faces, CUBE.faces[:1]]), "a face twice"),
        (np.vstack([CUBE.faces[:-1], CUBE.faces[-1:, ::-1]]), "a face turned over"),
        (np.vstack([CUBE.faces, [[0, 1, 1]]]), "a face with a corner twice"),
        (CUBE.faces[:0], "no faces"),
    ],
)
def test_not_watertight(faces, why):
    assert not Mesh(CORNERS, faces).is_watertight(), why


def test_concatenate_shifts_faces_and_fills_colours():
    red = CUBE.with_color((255, 0, 0))
    T = np.eye(4)
    T[0, 3] = 5
    both = Mesh.concatenate([red, CUBE.transformed(T)], name="two")
    assert both.volume() == pytest.approx(2)
    assert both.name == "two" and both.is_watertight()
    assert both.vertex_colors is not None
    assert both.vertex_colors[0].tolist() == [255, 0, 0]
    assert both.vertex_colors[-1].tolist() == [190, 190, 190]
    assert Mesh.concatenate([CUBE, CUBE]).vertex_colors is None
    assert len(Mesh.concatenate([]).vertices) == 0


def test_degenerate_faces_and_lone_vertices_have_no_normal():
    mesh = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 9, 9]]), np.array([[0, 1, 2]]))
    assert not mesh.face_normals().any()
    assert not mesh.vertex_normals().any()
    empty = Mesh(np.zeros((0, 3)), np.zeros((0, 3), int))
    assert empty.area() == 0 and empty.volume() == 0 and empty.vertex_normals().shape == (0, 3)


def at_the_door(kind: type, **fields: Any) -> None:
    """What __post_init__ says of these fields; the tests' own type checks would speak first in __init__."""
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(made, field.name, fields.get(field.name, field.default))
    made.__post_init__()


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Mesh, {"vertices": np.zeros((3, 2))}, r"vertices have shape \(3, 2\)"),
        (Mesh, {"vertices": np.array([["a", "b", "c"]])}, "type <U1"),
        (Mesh, {"vertices": np.array([[0, 0, np.nan]])}, "1 rows that are NaN"),
        (Mesh, {"faces": np.array([[0, 1, 8]])}, r"face 0 is \[0, 1, 8\] but there are 8"),
        (Mesh, {"faces": np.array([[0, 1, 2], [0, -1, 2]])}, "face 1"),
        (Mesh, {"faces": np.array([[0.0, 1, 2]])}, "integers"),
        (Mesh, {"faces": np.array([[0, 1, 2, 3]])}, r"faces have shape \(1, 4\)"),
        (Mesh, {"vertex_colors": np.zeros((7, 3), np.uint8)}, "colours"),
        (Mesh, {"vertex_colors": np.zeros((8, 3))}, "uint8"),
        (PointCloud, {"points": np.array([[0, 0, np.inf]])}, "NaN or infinite"),
        (PointCloud, {"points": CORNERS, "normals": CORNERS[:3]}, "3 normals for 8 points"),
    ],
)
def test_refused_at_the_door(kind, fields, message):
    whole = {"vertices": CORNERS, "faces": np.zeros((0, 3), int)} if kind is Mesh else {}
    with pytest.raises(BadInput, match=message):
        at_the_door(kind, **{**whole, **fields})


def test_a_transform_that_is_none_is_refused():
    with pytest.raises(BadInput, match="affine"):
        CUBE.transformed(np.ones((4, 4)))
    with pytest.raises(BadInput, match="voxel size"):
        PointCloud(CORNERS).voxel_downsample(0.0)


def test_cloud_normals_stay_normal_to_a_sheared_plane():
    rng = np.random.default_rng(0)
    points = np.c_[rng.normal(size=(50, 2)), np.zeros(50)]
    cloud = PointCloud(points, normals=np.tile([0, 0, 2.0], (50, 1)))
    T = np.eye(4)
    T[:3, :3] = rng.normal(size=(3, 3))
    moved = cloud.transformed(T)
    assert moved.normals is not None
    np.testing.assert_allclose((moved.points - moved.points[0]) @ moved.normals[0], 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(moved.normals, axis=1), 1)


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 3))
def test_voxel_downsample_is_the_mean_of_each_cube(seed, voxel):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-2, 2, (60, 3))
    small = PointCloud(points, rng.integers(0, 256, (60, 3)).astype(np.uint8)).voxel_downsample(voxel)
    keys = [tuple(k) for k in np.floor((points - points.min(0)) / voxel).astype(int)]
    expected = [points[[k == key for k in keys]].mean(axis=0) for key in sorted(set(keys))]
    np.testing.assert_allclose(small.points, expected, atol=1e-12)
    assert small.colors is not None and small.colors.shape == small.points.shape


def test_select_keeps_rows_together():
    cloud = PointCloud(CORNERS, np.arange(24).reshape(8, 3).astype(np.uint8)).select(CORNERS[:, 0] > 0)
    assert len(cloud) == 4
    assert cloud.colors is not None and cloud.colors[0].tolist() == [12, 13, 14]
