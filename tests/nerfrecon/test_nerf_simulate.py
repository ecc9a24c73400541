"""Simulated captures: pictures, masks and depth of a known mesh, as a scene that is read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("open3d", reason="Open3D is not installed")
from nerfrecon.scenes.read import read_scene
from nerfrecon.simulate.capture import CaptureOptions, cameras_around, simulate
from nerfrecon.simulate.orbit import fitting_camera, ring_poses, shares
from nerfrecon.simulate.photograph import Studio
from nerfrecon.simulate.solid_texture import solid_texture, value_noise
from nerfrecon.simulate.subject import Subject, read_subject
from suite.errors import BadInput

SMALL = CaptureOptions(views=12, side_px=48, rings=3)


def ball(radius: float = 0.7, rings: int = 24) -> Subject:
    """A ball with smooth normals."""
    height = np.pi * np.arange(rings + 1) / rings
    turn = 2 * np.pi * np.arange(2 * rings) / (2 * rings)
    a, b = np.meshgrid(height, turn, indexing="ij")
    unit = np.stack([np.sin(a) * np.cos(b), np.cos(a), np.sin(a) * np.sin(b)], -1).reshape(-1, 3)
    i, j = (x.ravel() for x in np.meshgrid(np.arange(rings), np.arange(2 * rings), indexing="ij"))
    across = (j + 1) % (2 * rings)
    k, n = 2 * rings * i, 2 * rings
    faces = np.concatenate(
        [np.stack([k + j, k + across, k + n + j], 1), np.stack([k + across, k + n + across, k + n + j], 1)]
    )
    return Subject(radius * unit, faces, unit[faces])


def cup() -> Subject:
    """An open box with thick walls: five boxes side by side."""
    parts = [((-1, -1, -1), (1, -0.8, 1)), ((-1, -0.8, -1), (-0.8, 1, 1)), ((0.8, -0.8, -1), (1, 1, 1))]
    parts += [((-0.8, -0.8, -1), (0.8, 1, -0.8)), ((-0.8, -0.8, 0.8), (0.8, 1, 1))]
    quads = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))
    box = np.array([[q[a], q[b], q[c]] for q in quads for a, b, c in ((0, 1, 2), (0, 2, 3))])
    vertices, faces = [], []
    for low, high in parts:
        faces.append(box + 8 * len(vertices))
        bits = np.array([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)])
        vertices.append(np.where(bits, high, low).astype(np.float64))
    corners, triangles = np.concatenate(vertices), np.concatenate(faces)
    a, b, c = (corners[triangles[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return Subject(corners, triangles, np.repeat(normal[:, None], 3, 1))


def test_depth_of_a_pixel_lies_on_the_mesh():
    subject = ball()
    studio, capture = Studio(subject), cameras_around(subject, SMALL)
    for pose in capture.poses[::5]:
        depth = studio.depth(capture.camera, pose)
        local = capture.camera.backproject(np.nan_to_num(depth))
        world = local[np.isfinite(depth)] @ pose[:3, :3].T + pose[:3, 3]
        assert len(world) > 300
        assert studio.nearest(world)[0].max() < 1e-5
        assert np.linalg.norm(world, axis=1).max() < 0.7001


def test_alpha_is_the_share_of_a_pixel_that_is_covered():
    subject = ball()
    capture = cameras_around(subject, SMALL)
    taken = Studio(subject).photograph(capture.camera, capture.poses[3], finer=4)
    alpha = taken.rgba[..., 3] / 255
    assert taken.rgba.shape == (48, 48, 4)
    distance = np.linalg.norm(capture.poses[3][:3, 3])
    radius_px = capture.camera.fx * np.tan(np.arcsin(0.7 / distance))
    assert alpha.sum() == pytest.approx(np.pi * radius_px**2, rel=0.01)
    assert ((alpha > 0) & (alpha < 1)).any() and np.isfinite(taken.depth[alpha == 1]).all()
    assert np.isnan(taken.depth[alpha == 0]).all()
    inside = taken.rgba[alpha == 1][:, :3]
    assert inside.std(0).min() > 5  # it has a texture


def test_a_colour_in_space_stays_where_it_is():
    points = np.random.default_rng(0).random((500, 3))
    colour = solid_texture(points)
    assert colour.min() >= 0 and colour.max() <= 1 and colour.std(0).min() > 0.05
    assert np.array_equal(colour, solid_texture(points))
    assert not np.allclose(colour, solid_texture(points, seed=1))
    step = np.abs(value_noise(points * 8 + 1e-4, 0) - value_noise(points * 8, 0))
    assert step.max() < 1e-2  # it has no jumps


@pytest.mark.parametrize("pictures", ["rgba", "rgb_mask"])
def test_a_capture_is_a_scene(tmp_path: Path, pictures: str):
    subject = ball()
    options = SMALL.model_copy(update={"pictures": pictures})
    file = simulate(subject, tmp_path / "capture", options)
    scene = read_scene(file.parent)
    assert len(scene.views) == 12 and scene.box_from == "file"
    capture = cameras_around(subject, options)
    for view, pose in zip(scene.views, capture.poses, strict=True):
        assert np.allclose(view.T_world_camera, pose, atol=1e-12)
    view = scene.views[2]
    picture = view.load()
    assert picture.pixels.shape == (48, 48, 4)
    depth = view.load_depth()
    assert depth is not None
    studio = Studio(subject)
    assert np.nanmax(np.abs(depth - studio.depth(capture.camera, capture.poses[2]))) < 1e-4
    assert np.array_equal(
        picture.pixels[..., 3], studio.photograph(capture.camera, capture.poses[2]).rgba[..., 3]
    )
    low, high = scene.box
    assert (low < subject.box[0]).all() and (high > subject.box[1]).all()
    with pytest.raises(BadInput, match="exists"):
        simulate(subject, tmp_path / "capture", options)


def test_rings_look_at_the_middle_from_everywhere():
    middle = np.array([1.0, 2, 3])
    poses = ring_poses(middle, 4.0, 63)
    assert poses.shape == (63, 4, 4)
    away = poses[:, :3, 3] - middle
    assert np.allclose(np.linalg.norm(away, axis=1), 4)
    assert np.allclose(poses[:, :3, 2], -away / 4)
    assert np.allclose(np.linalg.det(poses[:, :3, :3]), 1)
    heights = np.rad2deg(np.arcsin(away[:, 1] / 4))
    assert heights.min() == pytest.approx(-20) and heights.max() == pytest.approx(82)
    assert (poses[:, 1, 1] < 0).all()  # pictures stand upright: y of the camera goes down
    assert sum(shares(np.array([1.0, 0.5, 0.01]), 20)) == 20
    with pytest.raises(BadInput, match="two views a ring"):
        ring_poses(middle, 4.0, 8)


def test_the_camera_sees_the_whole_ball():
    camera = fitting_camera(100, 3.0, 1.0)
    edge = np.array([np.sqrt(1 - 1 / 9), 0, 3 - 1 / 3])  # where a ray from the camera touches
    assert 0 < camera.project(edge)[0] < 100
    assert camera.project(edge * [1.05, 1, 1])[0] > 99
    with pytest.raises(BadInput, match="ball"):
        fitting_camera(100, 1.0, 1.0)


def test_little_sky_reaches_the_bottom_of_a_cup():
    subject = cup()
    studio = Studio(subject)
    points = np.array([[0, -0.8, 0.0], [0, -1, 0], [0.9, 1, 0.3], [0.8, -0.6, 0]])
    normals = np.array([[0, 1, 0.0], [0, -1, 0], [0, 1, 0], [-1, 0, 0]])
    open_ = studio.openness(points, normals, rays=400)
    assert open_[1] == open_[2] == 1
    assert 0.1 < open_[0] < 0.45  # the form factor of the opening
    assert open_[3] < 0.3
    above, below = (
        ring_poses(np.zeros(3), 5.0, 4, 88, 89, rings=2)[0],
        ring_poses(np.zeros(3), 5.0, 4, -89, -88, 2)[0],
    )
    camera = fitting_camera(64, 5.0, 2.0)
    assert studio.sees(points, normals, camera, above)[[0, 1, 2]].tolist() == [True, False, True]
    assert studio.sees(points, normals, camera, below)[[0, 1, 2]].tolist() == [False, True, False]


def test_meshes_are_read_with_their_texture(data):
    bob = read_subject(data("nerfrecon/spot_bob") / "bob_tri.obj")
    assert bob.texture is not None and bob.corner_uv is not None
    face, middle = np.arange(0, len(bob.faces), 50), np.full((214, 3), 1 / 3)
    colour = bob.colour(face, middle)
    assert colour.shape == (214, 3) and colour.std(0).max() > 0.1
    assert np.allclose(np.linalg.norm(bob.normal(face, middle), axis=1), 1)
    boot = read_subject(data("nerfrecon/boot") / "boot.obj")
    assert boot.texture is None and boot.colour(face, middle).std(0).max() > 0.1


def test_what_can_not_be_read_is_one_line(tmp_path: Path):
    with pytest.raises(BadInput, match="no such file"):
        read_subject(tmp_path / "none.obj")
    (tmp_path / "points.obj").write_text("v 0 0 0\nv 1 0 0\n")
    with pytest.raises(BadInput, match="no triangles"):
        read_subject(tmp_path / "points.obj")
