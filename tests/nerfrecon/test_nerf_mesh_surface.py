"""Known solids through the mesh path: closed, the right way out, of the right volume, within the budget."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ball_views import ball_views, cast

from nerfrecon.backends.base import RayCamera, Rendered
from nerfrecon.mesh.components import largest_parts, parts
from nerfrecon.mesh.cubes import level_set
from nerfrecon.mesh.fusion import FusedDepth
from nerfrecon.mesh.simplify import simplified
from nerfrecon.mesh.watertight import closed, edge_faults
from nerfrecon.training.filled import FilledDensity
from suite.errors import BadInput
from suite.geometry.mesh import Mesh

HULL = np.ones((32, 32, 32), bool)


def ball(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points - 0.5, axis=1) - 0.3


def cube(points: np.ndarray) -> np.ndarray:
    q = np.abs(points - 0.5) - 0.25
    return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0)


def torus(points: np.ndarray) -> np.ndarray:
    x, y, z = (points - 0.5).T
    return np.hypot(np.hypot(x, y) - 0.28, z) - 0.1


SOLIDS = {
    "ball": (ball, 4 / 3 * np.pi * 0.3**3, 2),
    "cube": (cube, 0.5**3, 2),
    "torus": (torus, 2 * np.pi**2 * 0.28 * 0.1**2, 0),
}


def euler(mesh: Mesh) -> int:
    return len(mesh.vertices) - len(mesh.faces) * 3 // 2 + len(mesh.faces)


@pytest.mark.parametrize("name", SOLIDS)
def test_a_solid_becomes_a_closed_mesh_of_its_volume_within_the_budget(name: str) -> None:
    value, volume, characteristic = SOLIDS[name]
    fine = level_set(value, HULL, 32, 3)
    fewer = simplified(fine, 2000)
    for mesh, tolerance in ((fine, 5e-3), (fewer.mesh, 1e-2)):
        assert mesh.is_watertight()
        assert edge_faults(mesh) == (0, 0)
        assert mesh.volume() == pytest.approx(volume, rel=tolerance)
        assert euler(mesh) == characteristic
    assert len(fewer.mesh.faces) <= 2000 < len(fine.faces)
    outwards = fine.vertex_normals()
    ahead = value(fine.vertices + 0.01 * outwards) - value(fine.vertices - 0.01 * outwards)
    assert np.mean(ahead > 0) > 0.999


def test_only_the_surface_is_looked_at_finely() -> None:
    asked = []

    def counted(points: np.ndarray) -> np.ndarray:
        asked.append(len(points))
        return ball(points)

    sparse = level_set(counted, HULL, 32, 3)
    assert sum(asked) < 0.6 * (32**3 + 96**3)
    whole = level_set(ball, HULL, 32, 3, near=math.inf)
    assert np.array_equal(sparse.faces, whole.faces)
    np.testing.assert_allclose(sparse.vertices, whole.vertices, atol=1e-6)


def test_what_goes_on_below_the_hull_gets_a_plane_cap() -> None:
    hull = HULL.copy()
    hull[:, :8] = False  # y below 1/4: the ground

    def column(points: np.ndarray) -> np.ndarray:
        return np.maximum(np.hypot(points[:, 0] - 0.5, points[:, 2] - 0.5) - 0.2, points[:, 1] - 0.75)

    mesh = level_set(column, hull, 32, 3)
    assert mesh.is_watertight()
    assert mesh.volume() == pytest.approx(np.pi * 0.2**2 * 0.5, rel=0.03)
    assert mesh.vertices[:, 1].min() == pytest.approx(0.25, abs=0.01)


def test_parts_that_float_and_hollows_are_dropped_and_counted() -> None:
    big = level_set(ball, HULL, 16, 2)
    small = big.scaled(0.2)
    hollow = Mesh(small.vertices + 0.4, small.faces[:, ::-1])
    both = Mesh.concatenate([small, hollow, big])
    assert len(np.unique(parts(both))) == 3
    kept = largest_parts(both)
    assert (kept.kept, kept.dropped) == (1, 2)
    assert kept.mesh.volume() == pytest.approx(big.volume())
    assert kept.dropped_area_share == pytest.approx(0.08 / 1.08, rel=1e-6)
    more = largest_parts(both, keep_share=0.03)
    assert (more.kept, more.dropped) == (2, 1)


def test_holes_are_closed_and_crowded_edges_taken_apart() -> None:
    whole = level_set(torus, HULL, 24, 2)
    rng = np.random.default_rng(3)
    holed = Mesh(whole.vertices, np.delete(whole.faces, rng.choice(len(whole.faces), 60, replace=False), 0))
    assert edge_faults(holed).open > 60
    mended = closed(holed)
    assert mended.is_watertight()
    assert mended.volume() == pytest.approx(whole.volume(), rel=2e-3)
    fin = Mesh(
        np.concatenate([whole.vertices, [[0.5, 0.5, 0.9]]]),
        np.concatenate([whole.faces, [[*whole.faces[0, :2], len(whole.vertices)]]]),
    )
    assert edge_faults(fin).crowded > 0
    assert closed(fin).is_watertight()
    turned = closed(Mesh(whole.vertices, whole.faces[:, ::-1]))
    assert turned.volume() > 0


def test_a_field_without_a_surface_is_refused_in_one_line() -> None:
    with pytest.raises(BadInput, match="no surface") as raised:
        level_set(lambda points: np.full(len(points), 1.0), HULL, 16, 2)
    assert "\n" not in str(raised.value)


def exact(camera: RayCamera) -> Rendered:
    """Three balls, as a perfect field would render them."""
    rgba, depth = cast(camera)
    hit = np.isfinite(depth)
    rgb = rgba[..., :3].astype(np.float32)
    return Rendered(rgb, np.where(hit, depth, 0).astype(np.float32), hit.astype(np.float32))


def sharp_cameras() -> list[RayCamera]:
    cameras = []
    for view in ball_views(20):
        c = view.camera
        size = (c.width * 6, c.height * 6)
        cameras.append(RayCamera(*size, c.fx * 6, c.fy * 6, c.cx * 6 + 2.5, c.cy * 6 + 2.5, c.T_unit_camera))
    return cameras


def test_a_hollow_density_is_filled_where_nobody_looks() -> None:
    def hollow(points: np.ndarray) -> np.ndarray:
        r = np.linalg.norm(points - 0.5, axis=1)
        return np.where((r > 0.17) & (r < 0.22), 900.0, 0.0)

    level = FilledDensity(hollow, exact, sharp_cameras(), threshold=100, margin=0.01)
    rng = np.random.default_rng(1)
    way = rng.normal(size=(300, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    way = way[np.abs(way[:, 2]) < 0.7]  # what a ring of cameras sees well
    way = way[(way @ [0.6, 0.3, 0.4] < 0) & (way @ [-0.5, -0.7, -0.3] < 0)]  # away from the other balls
    inside, shell, outside = (level((0.5 + r * way).astype(np.float32)) for r in (0.1, 0.2, 0.26))
    assert (inside == -1).all() and (shell < 0).all() and (outside == 1).all()
    blind = FilledDensity(hollow, exact, [], threshold=100, margin=0.01)
    assert (blind((0.5 + 0.26 * way).astype(np.float32)) == -1).all()


def test_depth_of_many_views_becomes_a_signed_distance() -> None:
    cameras = sharp_cameras()
    fused = FusedDepth(exact, cameras, 0.08)
    rng = np.random.default_rng(0)
    way = rng.normal(size=(400, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    way = way[np.abs(way[:, 2]) < 0.7]  # what a ring of cameras sees well
    way = way[(way @ [0.6, 0.3, 0.4] < 0) & (way @ [-0.5, -0.7, -0.3] < 0)]  # away from the other balls
    # Along slanted rays the surface is farther than it is: the zero is exact, the rest is not.
    before, at, behind = (fused((0.5 + (0.22 + off) * way).astype(np.float32)) for off in (0.02, 0, -0.02))
    assert np.abs(np.median(at)) < 0.004
    assert np.quantile(before, 0.02) > 0.01
    assert np.quantile(behind, 0.98) < -0.01
    mesh = largest_parts(level_set(fused, HULL, 32, 2)).mesh
    assert mesh.is_watertight()


def test_the_box_of_a_mesh_does_not_move_in_simplification() -> None:
    far = level_set(cube, HULL, 32, 3).transformed(
        np.array([[200.0, 0, 0, 1e4], [0, 200.0, 0, -3e4], [0, 0, 200.0, 5e3], [0, 0, 0, 1]])
    )
    fewer = simplified(far, 1500)
    np.testing.assert_allclose(fewer.mesh.vertices.min(0), far.vertices.min(0), atol=0.5)
    np.testing.assert_allclose(fewer.mesh.vertices.max(0), far.vertices.max(0), atol=0.5)
    assert fewer.mesh.is_watertight()
