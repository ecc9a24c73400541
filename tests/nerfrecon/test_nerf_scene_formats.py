"""The same known scene through every format: the same rays, points at the right pixels, the right box."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scene_folders import (
    BALL_RADIUS,
    BALLS,
    COLOURS,
    FOCAL_PX,
    HEIGHT,
    WIDTH,
    KnownScene,
    known_scene,
    write_blender,
    write_colmap,
    write_colmap_binary,
    write_idr,
    write_transforms,
)

from nerfrecon.scene import Scene
from nerfrecon.scenes.box import meeting_point
from nerfrecon.scenes.read import read_scene
from nerfrecon.scenes.write import write_transforms as write_scene
from suite.geometry.mesh import PointCloud
from suite.geometry.ply import write_ply

FORMATS: dict[str, Callable[[Path, KnownScene], Path]] = {
    "blender": write_blender,
    "instant-ngp": lambda folder, known: write_transforms(folder, known, aabb_scale=1, scale=0.4),
    "nerfstudio": lambda folder, known: write_transforms(folder, known, per_frame=True),
    "colmap text": write_colmap,
    "colmap binary": write_colmap_binary,
    "idr": write_idr,
    "idr without masks": lambda folder, known: write_idr(folder, known, masks=False),
}


@pytest.fixture(scope="module")
def known() -> KnownScene:
    return known_scene()


@pytest.fixture(scope="module", params=FORMATS)
def scene(
    request: pytest.FixtureRequest, known: KnownScene, tmp_path_factory: pytest.TempPathFactory
) -> Scene:
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "_"))
    FORMATS[request.param](folder, known)
    return read_scene(folder)


def test_every_format_gives_the_same_rays(scene: Scene, known: KnownScene):
    u, v = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    pixels = np.stack([u, v], -1).astype(np.float64)
    assert len(scene.views) == len(known.pictures)
    for index, view in enumerate(scene.views):
        origin, directions = known.rays(index)
        ours = view.camera.directions(pixels) @ view.T_world_camera[:3, :3].T
        assert np.abs(view.position - origin).max() < 1e-9
        assert np.abs(ours - directions).max() < 1e-9


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.4])
def test_balls_are_in_the_pictures_where_they_project(scene: Scene, scale: float):
    compared = 0
    for view in scene.views:
        picture = view.load(scale)
        at = picture.camera.project((BALLS - view.position) @ view.T_world_camera[:3, :3])
        depth = (BALLS - view.position) @ view.forward
        radius_px = picture.camera.pinhole.fx * BALL_RADIUS / depth
        found = centroids(picture.pixels)
        for ball in range(len(BALLS)):
            apart = np.linalg.norm(at - at[ball], axis=1)
            if np.any((apart < radius_px + radius_px[ball]) & (apart > 0)):
                continue  # one hides a part of the other
            assert np.linalg.norm(found[ball] - at[ball]) < 0.1, (view.name, ball)
            compared += 1
    assert compared > 10


def centroids(pixels: np.ndarray) -> np.ndarray:
    """Mean place (u, v) of each ball by how much of every pixel it covers: three colours mix in one way
    only."""
    white = 0.0 if pixels.shape[2] == 4 else 255.0
    mixed = pixels[..., :3] - white
    if pixels.shape[2] == 4:
        mixed = mixed * (pixels[..., 3:] / 255.0)
    cover = mixed @ np.linalg.inv(COLOURS - white)
    v, u = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    total = cover.sum(axis=(0, 1))
    return np.stack([np.tensordot(u, cover) / total, np.tensordot(v, cover) / total], -1)


def test_the_box_holds_the_balls_and_the_cameras_look_into_it(scene: Scene):
    assert np.all(scene.box[0] < BALLS - BALL_RADIUS) and np.all(scene.box[1] > BALLS + BALL_RADIUS)
    meeting = meeting_point(scene.views)
    assert meeting is not None and np.all(np.abs(scene.to_unit(meeting) - 0.5) < 0.2)
    for index, view in enumerate(scene.views):
        T = scene.T_unit_camera(index)
        assert np.allclose(T[:3, :3], view.T_world_camera[:3, :3])
        assert np.allclose(scene.T_unit_world @ [*view.position, 1], [*T[:3, 3], 1])
    corners = scene.box_unit
    assert np.isclose(np.ptp(corners, axis=0).max(), 1) and np.allclose(corners.mean(axis=0), 0.5)


def test_what_each_format_knows_of_its_box(known: KnownScene, tmp_path: Path):
    boxes = {}
    for name, write in FORMATS.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name, known)
        scene = read_scene(tmp_path / name)
        boxes[name] = (scene.box_from, scene.aabb_scale, scene.up is not None)
        if name == "blender":
            assert np.array_equal(scene.box, [[-1.5] * 3, [1.5] * 3])
        if name == "instant-ngp":
            assert np.allclose(scene.box, [[-1.25] * 3, [1.25] * 3])
        if name.startswith("idr"):
            assert np.allclose(scene.box, [[-1.1, -1.2, -1.3], [1.3, 1.2, 1.1]])
    assert boxes == {
        "blender": ("file", 1, True),
        "instant-ngp": ("file", 1, True),
        "nerfstudio": ("cameras", 1, True),
        "colmap text": ("points", 1, False),
        "colmap binary": ("points", 1, False),
        "idr": ("file", 1, False),
        "idr without masks": ("file", 1, False),
    }


def test_instant_ngps_aabb_and_offset_and_surroundings(known: KnownScene, tmp_path: Path):
    for key, more in {
        "a": {"aabb": [[-1, -1, -1], [1, 1, 1.5]]},
        "b": {"aabb_scale": 4},
        "c": {"scale": 0.5, "offset": [0.5, 0.25, 0.5], "aabb_scale": 2},
    }.items():
        (tmp_path / key).mkdir()
        write_transforms(tmp_path / key, known, **more)
    assert np.array_equal(read_scene(tmp_path / "a").box, [[-1, -1, -1], [1, 1, 1.5]])
    surrounded = read_scene(tmp_path / "b")
    assert np.allclose(surrounded.box, np.array([[-1.0] * 3, [1.0] * 3]) * 2 / 0.33)
    assert surrounded.aabb_scale == 4
    # The cube is [0,1]^3 = 0.5 world + offset: world y in [-0.5, 1.5], doubled about its middle.
    assert np.allclose(read_scene(tmp_path / "c").box, [[-2, -1.5, -2], [2, 2.5, 2]])


@pytest.mark.parametrize("write", [write_colmap, write_colmap_binary])
def test_sparse_points_know_who_sees_them(
    write: Callable[[Path, KnownScene], Path], known: KnownScene, tmp_path: Path
):
    scene = read_scene(write(tmp_path, known))
    points = scene.points
    assert points is not None and points.sightings is not None and points.colours is not None
    assert np.array_equal(points.positions, known.points) and np.array_equal(points.colours, known.colours)
    for view in range(len(scene.views)):
        expected = [n for n in range(200) if view in {n % 6, (n + 1) % 6}]
        assert sorted(points.seen_by(view).tolist()) == expected


def test_a_picture_less_renumbers_what_points_see(known: KnownScene, tmp_path: Path):
    write_colmap(tmp_path, known)
    (tmp_path / "images" / "a1.png").rename(tmp_path / "images" / "stray.png")
    scene = read_scene(tmp_path)
    assert [view.name for view in scene.views] == ["a0.png", "a2.png", "a3.png", "a4.png", "a5.png"]
    assert scene.points is not None
    # What was view 2 is now number 1.
    assert sorted(scene.points.seen_by(1).tolist()) == [n for n in range(200) if 2 in {n % 6, (n + 1) % 6}]
    assert len(scene.notes) == 2 and "a1.png" in scene.notes[0] and "stray.png" in scene.notes[1]


def test_nerfstudio_points_come_from_its_ply(known: KnownScene, tmp_path: Path):
    write_transforms(tmp_path, known, ply_file_path="sparse_pc.ply")
    write_ply(tmp_path / "sparse_pc.ply", PointCloud(known.points, known.colours))
    scene = read_scene(tmp_path)
    assert scene.box_from == "points" and scene.points is not None
    assert np.allclose(scene.points.positions, known.points, atol=1e-6)


def test_binary_and_text_agree_with_pycolmap(known: KnownScene, tmp_path: Path):
    pycolmap = pytest.importorskip("pycolmap")
    ours = read_scene(write_colmap(tmp_path / "text", known))
    theirs = pycolmap.Reconstruction(tmp_path / "text" / "sparse" / "0")
    for view in ours.views:
        image = next(image for image in theirs.images.values() if image.name == view.name)
        world_to_camera = image.cam_from_world().matrix()
        assert np.abs(np.linalg.inv(view.T_world_camera)[:3] - world_to_camera).max() < 1e-9
        seen = image.project_point(np.array([0.1, 0.2, 0.3]))
        assert np.allclose(view.project(np.array([0.1, 0.2, 0.3])) + 0.5, seen, atol=1e-6)
    shutil.copytree(tmp_path / "text" / "images", tmp_path / "binary" / "images")
    (tmp_path / "binary" / "sparse").mkdir()
    theirs.write_binary(tmp_path / "binary" / "sparse")
    again = read_scene(tmp_path / "binary")
    assert again.points is not None and ours.points is not None
    assert len(again.points.positions) == len(ours.points.positions)
    for one, other in zip(ours.views, again.views, strict=True):
        assert one.name == other.name and np.abs(one.T_world_camera - other.T_world_camera).max() < 1e-9
        assert one.camera == other.camera


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("SIMPLE_PINHOLE", (66.0, 32.0, 24.0)),
        ("PINHOLE", (66.0, 67.0, 33.0, 23.0)),
        ("SIMPLE_RADIAL", (66.0, 32.0, 24.0, 0.05)),
        ("RADIAL", (66.0, 32.0, 24.0, 0.05, -0.02)),
        ("OPENCV", (66.0, 67.0, 33.0, 23.0, 0.05, -0.02, 0.003, -0.004)),
    ],
)
def test_colmaps_camera_models_project_as_pycolmaps(
    known: KnownScene, tmp_path: Path, model: str, params: tuple[float, ...]
):
    pycolmap = pytest.importorskip("pycolmap")
    camera = read_scene(write_colmap(tmp_path, known, model, params)).views[0].camera
    theirs = pycolmap.Camera(model=model, width=WIDTH, height=HEIGHT, params=params)
    points = np.random.default_rng(5).uniform([-0.4, -0.3, 1], [0.4, 0.3, 1.5], (50, 3))
    assert np.allclose(camera.project(points) + 0.5, theirs.img_from_cam(points), atol=1e-9)


def test_nerfstudio_lens_is_colmaps(known: KnownScene, tmp_path: Path):
    lens = (FOCAL_PX, 67.0, 33.0, 23.0, 0.05, -0.02, 0.003, -0.004)
    colmap = read_scene(write_colmap(tmp_path / "colmap", known, "OPENCV", lens)).views[0].camera
    (tmp_path / "json").mkdir()
    write_transforms(tmp_path / "json", known)
    keys = dict(zip(("fl_x", "fl_y", "cx", "cy", "k1", "k2", "p1", "p2"), lens, strict=True))
    (tmp_path / "more").mkdir()
    write_transforms(tmp_path / "more", known, **keys, camera_model="OPENCV")
    assert read_scene(tmp_path / "more").views[0].camera == colmap
    assert read_scene(tmp_path / "json").views[0].camera != colmap


def test_what_is_written_is_read_back(scene: Scene, tmp_path: Path):
    path = tmp_path / "elsewhere" / "transforms.json"
    write_scene(path, scene)
    again = read_scene(path)
    assert np.allclose(again.box, scene.box, atol=1e-12) and again.aabb_scale == scene.aabb_scale
    for one, other in zip(scene.views, again.views, strict=True):
        assert one.image_path.samefile(other.image_path) and one.camera.distortion == other.camera.distortion
        assert np.abs(one.camera.pinhole.matrix - other.camera.pinhole.matrix).max() < 1e-12
        assert np.abs(one.T_world_camera - other.T_world_camera).max() < 1e-12
        assert np.array_equal(one.load().pixels, other.load().pixels)
    if scene.points is not None:
        assert again.points is not None and np.array_equal(again.points.positions, scene.points.positions)


def test_lens_surroundings_and_depth_are_written(known: KnownScene, tmp_path: Path):
    more: dict[str, Any] = {"k1": 0.05, "p2": 0.001, "k3": -0.01, "integer_depth_scale": 0.01}
    path = write_transforms(tmp_path, known, aabb_scale=4, **more)
    document = json.loads(path.read_text())
    document["frames"][1] |= {"depth_path": "images/0001.png", "mask_path": "images/0001.png"}
    path.write_text(json.dumps(document))
    scene = read_scene(path)
    write_scene(tmp_path / "again.json", scene)
    again = read_scene(tmp_path / "again.json")
    view, other = scene.views[1], again.views[1]
    assert view.camera == other.camera and other.camera.distortion == (0.05, 0.0, 0.0, 0.001, -0.01)
    assert (other.mask_shows, other.depth_unit) == ("usable", 0.01) and other.depth_path and other.mask_path
    assert np.allclose(again.box, scene.box) and again.aabb_scale == 4
