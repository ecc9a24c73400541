"""Procedural bones: closed, of the published size, clear of their neighbours, and posed rigidly."""

import numpy as np
import pytest
import trimesh

from spine.anatomy import LEVELS, VERTEBRAE
from spine.chain import SpinePose, forward_kinematics, standing_template
from spine.implicit import bar, cut, surface, union, vertical_hole
from spine.vertebra import spine_mesh, vertebra_mesh, vertebra_solid
from suite.errors import BadInput


def _bone(level: str) -> trimesh.Trimesh:
    mesh = vertebra_mesh(level)
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


@pytest.mark.parametrize("level", LEVELS)
def test_bone_is_one_closed_symmetric_piece(level):
    bone = _bone(level)
    assert bone.is_watertight and bone.is_winding_consistent and bone.volume > 0
    assert bone.body_count == 1
    mirrored = np.sort(np.round(bone.vertices * [-1, 1, 1], 6) + 0.0, axis=0)
    np.testing.assert_allclose(mirrored, np.sort(np.round(bone.vertices, 6) + 0.0, axis=0), atol=2e-6)


@pytest.mark.parametrize("level", LEVELS[:-1])
def test_holes_are_those_of_the_bone(level):
    """The vertebral canal, and in the neck (but for C2's, not modelled) one vessel foramen on each side."""
    holes = 3 if level in {"C1", "C3", "C4", "C5", "C6", "C7"} else 1
    assert 1 - _bone(level).euler_number / 2 == holes


@pytest.mark.parametrize("level", LEVELS[2:-1])
def test_bone_has_the_dimensions_of_the_table(level):
    size, v = VERTEBRAE[level], vertebra_mesh(level).vertices
    # End plates: the widest and deepest of the body near its upper and lower rim.
    front = v[v[:, 2] < 0]
    assert -front[:, 2].min() * 2 == pytest.approx(max(size.upper[1], size.lower[1]), rel=0.08)
    low, high = np.percentile(front[:, 1], [0.5, 99.5])
    anterior = size.mid_height + abs(np.tan(np.radians(size.wedge) / 2)) * size.depth / 2
    assert high - low == pytest.approx(anterior, rel=0.16)
    assert np.ptp(v[:, 0]) == pytest.approx(size.span, abs=3)
    end = v[v[:, 2] > v[:, 2].max() - 3]  # lumbar ones end in an edge, C3-C6 in two tubercles
    assert np.abs(end[:, 0]).max() < 8
    tip = np.array([(end[:, 1].min() + end[:, 1].max()) / 2, end[:, 2].max()])
    np.testing.assert_allclose(tip, size.spinous_tip[1:], atol=4)


@pytest.mark.parametrize("level", LEVELS[1:-1])
def test_canal_is_open_and_as_wide_as_published(level):
    size = VERTEBRAE[level]
    half_width, half_depth = size.canal[0] / 2, size.canal[1] / 2
    middle = size.depth / 2 + half_depth
    ring = np.array([(half_width, 0, 0), (0, 0, half_depth), (0, 0, -half_depth)])
    inside = 0.85 * ring + [0, 0, middle]
    heights = np.linspace(-15, 15, 31)[:, None, None] * [0, 1, 0]
    assert (vertebra_solid(level)((inside + heights).reshape(-1, 3)) > 0).all()


def test_neighbours_do_not_intersect():
    """At rest no two bones share more than 25 mm^3 (a facet joint has no gap to speak of)."""
    T = forward_kinematics(standing_template(), SpinePose())
    step = 1.25
    for i in range(24):
        upper, lower = vertebra_solid(LEVELS[i]), vertebra_solid(LEVELS[i + 1])
        axes = [np.arange(-upper.high[0], upper.high[0], step)]
        axes += [np.arange(upper.low[k], upper.high[k], step) for k in (1, 2)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        points = points[upper(points) < 0]
        to_lower = np.linalg.inv(T[i + 1]) @ T[i]
        shared = (lower(points @ to_lower[:3, :3].T + to_lower[:3, 3]) < 0).sum() * step**3
        assert shared < 25, (LEVELS[i], shared)


def test_posed_spine_is_every_bone_moved_rigidly():
    template = standing_template(420.0)
    rng = np.random.default_rng(0)
    pose = SpinePose(rng.normal(size=3), rng.normal(0, 50, 3), 0.1, rng.normal(0, 0.1, (24, 3)))
    T = forward_kinematics(template, pose)
    whole = spine_mesh(template, T, scale=float(np.exp(pose.log_scale)))
    parts, faces = [], []
    for i, level in enumerate(LEVELS):
        bone = vertebra_mesh(level)
        faces.append(bone.faces + sum(map(len, parts)))
        grown = np.exp(0.1) * template.size * bone.vertices
        parts.append(grown @ T[i, :3, :3].T + T[i, :3, 3])
    np.testing.assert_allclose(whole.vertices, np.concatenate(parts), atol=1e-9)
    np.testing.assert_array_equal(whole.faces, np.concatenate(faces))


def test_some_levels_only():
    T = forward_kinematics(standing_template(), SpinePose())
    some = spine_mesh(standing_template(), T, levels=("L4", "L5", "S1"))
    assert len(some.vertices) == sum(len(vertebra_mesh(level).vertices) for level in ("L4", "L5", "S1"))


def test_bad_input():
    with pytest.raises(BadInput, match="T13"):
        vertebra_mesh("T13")
    T = forward_kinematics(standing_template(), SpinePose())
    with pytest.raises(BadInput, match="finite"):
        spine_mesh(standing_template(), np.full_like(T, np.nan))


def test_regions_look_like_themselves():
    """What tells them apart: thoracic spines sink, lumbar ones are tall, C7 stands out."""
    drop = {level: VERTEBRAE[level].spinous_tip[1] for level in LEVELS[:-1]}
    assert min(drop, key=lambda level: drop[level]) in {"T6", "T7", "T8"}

    def height_of_tip(level: str) -> float:
        v = vertebra_mesh(level).vertices
        return float(np.ptp(v[v[:, 2] > v[:, 2].max() - 3, 1]))

    assert height_of_tip("L3") > 14 > 11 > height_of_tip("T6")
    T = forward_kinematics(standing_template(), SpinePose())
    tip = [(T[i, :3, :3] @ VERTEBRAE[LEVELS[i]].spinous_tip + T[i, :3, 3])[2] for i in range(2, 7)]
    assert (np.diff(tip) > 0).all()
    volume = [_bone(level).volume for level in LEVELS[2:24]]
    assert volume[-1] > 4 * volume[0]


@pytest.mark.parametrize("level", ["L1", "L2", "L3", "L4", "L5"])
def test_lumbar_bones_are_about_as_large_as_a_real_mans(data, level):
    """Visible Human male, a tall man, shrink-wrapped (which swells): ours reach 70-115 % of his extents."""
    folder = data("spine/lumbar_meshes") / "visible_human"
    real = trimesh.load(folder / f"{level}_Schrumpfverpacken.obj", process=False)
    forward, across, up = real.extents * 1000
    ours = _bone(level).extents
    for mine, his in zip(ours, (across, up, forward), strict=True):
        assert 0.70 * his < mine < 1.15 * his


@pytest.mark.parametrize("radius", [4.0, 9.0])
def test_surface_of_a_ball(radius):
    ball = bar([0, 0, -1e-6], [0, 0, 1e-6], [radius, radius])
    vertices, faces = surface(ball, 1.5)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), radius, atol=0.02)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight and mesh.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.08)


def test_solids_combine():
    rod = bar([0, 0, -10], [0, 0, 10], [5, 5])
    plate = bar([0, -10, 0], [0, 10, 0], [5, 2])
    points = np.random.default_rng(0).uniform(-12, 12, (500, 3))
    both = union([rod, plate], 1.0)(points)
    nearer = np.minimum(rod(points), plate(points))
    near = nearer < 2  # farther out a union only says "outside"
    assert (both[near] <= nearer[near]).all() and (both[near] > nearer[near] - 0.5).all()
    assert (both[~near] > 1.5).all()
    drilled = cut(rod, vertical_hole(0, 0, 2, 2), 1.0)
    assert drilled(np.array([[0.0, 3, 0]]))[0] > 0 > drilled(np.array([[0.0, 3, 6]]))[0]
    mesh = trimesh.Trimesh(*surface(drilled, 0.8), process=False)
    assert mesh.is_watertight and mesh.euler_number == 0
