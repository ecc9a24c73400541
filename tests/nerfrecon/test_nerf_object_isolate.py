"""The object in a capture: a product photographed on its mat, in a world that lies askew in another unit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scene_folders import quaternion

pytest.importorskip("open3d", reason="Open3D is not installed")
pytest.importorskip("cv2", reason="OpenCV is not installed")
from nerfrecon.object.frame import scale_of, similarity
from nerfrecon.object.hull import agreement
from nerfrecon.object.isolate import isolate
from nerfrecon.object.options import GivenMasks, NetworkMasks, NoMasks, ObjectOptions
from nerfrecon.scene import Scene
from nerfrecon.scenes.read import read_scene
from nerfrecon.simulate.options import ProductOptions
from nerfrecon.simulate.product import photograph_product
from suite.errors import BackendUnavailable, BadInput
from suite.geometry.mesh import Mesh
from suite.geometry.mesh_io import read_geometry

QUICK = ObjectOptions(rough_px=160, fine_px=240, hull_cells=48)
UNIT = 7.5
"""World units in a metre, as SfM might have it."""


@pytest.fixture(scope="module")
def photographed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product from 14 places, small."""
    folder = tmp_path_factory.mktemp("product") / "product"
    options = ProductOptions(views=14, rings=3, width_px=240, height_px=180, finer=1, noise=0.5)
    photograph_product(folder, options)
    return folder


@pytest.fixture(scope="module")
def T_world_truth() -> np.ndarray:
    """A world as SfM leaves it: turned, shifted, in its own unit."""
    rng = np.random.default_rng(4)
    R = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return similarity(R * np.linalg.det(R), rng.normal(size=3), UNIT)


@pytest.fixture(scope="module")
def captured(photographed: Path, T_world_truth: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photographs with a sparse model: points are backprojected pixels, seen where nothing hides them."""
    truth = read_scene(photographed / "truth")
    rng, points, tracks = np.random.default_rng(0), [], []
    maps = [view.load_depth() for view in truth.views]
    for view, depth in zip(truth.views, maps, strict=True):
        assert depth is not None
        local = view.camera.pinhole.backproject(depth)
        inner = np.argwhere(np.isfinite(depth))
        picked = inner[rng.choice(len(inner), 160, replace=False)]
        found = local[tuple(picked.T)] @ view.T_world_camera[:3, :3].T + view.position
        shown = np.stack([_shows(truth, k, maps[k], found) for k in range(len(maps))])
        for row in np.flatnonzero(shown.sum(0) >= 2):
            points.append(found[row] + rng.normal(size=3) * 2e-4)
            tracks.append(np.flatnonzero(shown[:, row]).tolist())
    folder = tmp_path_factory.mktemp("sfm")
    (folder / "images").symlink_to(photographed / "images")
    _write_model(folder / "sparse", truth, np.array(points), tracks, T_world_truth)
    return folder


@pytest.fixture(scope="module")
def isolated(captured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product found in it, with the scale told."""
    sfm = captured / "sfm.json"
    sfm.write_text(json.dumps({"scale": {"metres_per_unit": 1 / UNIT, "from": "marker"}, "up": None}))
    return isolate(captured, tmp_path_factory.mktemp("object") / "object", QUICK, captured)


def test_the_object_stands_upright_in_metres(
    photographed: Path, isolated: Path, T_world_truth: np.ndarray
) -> None:
    told = json.loads((isolated / "object.json").read_text())
    T_object_world = np.array(told["T_object_world"])
    assert told["metres"] and scale_of(T_object_world) == pytest.approx(1 / UNIT)
    T_object_truth = T_object_world @ T_world_truth
    assert np.rad2deg(np.arccos(min(1.0, T_object_truth[1, 1]))) < 0.5  # up is up
    mesh = read_geometry(photographed / "truth" / "mesh.ply")
    assert isinstance(mesh, Mesh)
    vertices = mesh.vertices @ T_object_truth[:3, :3].T + T_object_truth[:3, 3]
    low, high = vertices.min(0), vertices.max(0)
    assert abs(low[1]) < 0.001 and high[1] == pytest.approx(0.1, abs=0.001)
    assert np.abs((low + high)[[0, 2]]).max() / 2 < 0.006  # centred
    box = read_scene(isolated).box
    assert ((vertices > box[0]) & (vertices < box[1])).all()
    assert np.prod(np.ptp(box, axis=0)) < 2.1 * np.prod(high - low)
    assert told["box_from"] == "hull" and told["up_from"] == "points"


def test_masks_are_the_products(photographed: Path, isolated: Path) -> None:
    truth, found = read_scene(photographed / "truth"), read_scene(isolated)
    scores = []
    for one, exact in zip(found.views, truth.views, strict=True):
        assert Path(one.name).name == Path(exact.name).name
        if one.mask_path is None or one.mask_shows != "object":
            continue
        scores.append(agreement(one.load().pixels[..., 3] > 127, exact.load().pixels[..., 3] > 127))
    assert len(scores) >= 13 and np.mean(scores) > 0.95 and min(scores) > 0.9
    assert json.loads((isolated / "object.json").read_text())["masks"]["how"] == "geometry"


def test_everything_moves_together_and_back(captured: Path, isolated: Path) -> None:
    before, after = read_scene(captured), read_scene(isolated)
    told = json.loads((isolated / "object.json").read_text())
    T, back = np.array(told["T_object_world"]), np.array(told["T_world_object"])
    assert np.allclose(T @ back, np.eye(4), atol=1e-9)
    assert before.points is not None and after.points is not None
    there = before.points.positions @ T[:3, :3].T + T[:3, 3]
    assert np.allclose(there, after.points.positions, atol=1e-6)
    assert before.points.sightings is not None and after.points.sightings is not None
    assert np.array_equal(before.points.sightings, after.points.sightings)
    for one, other in zip(before.views, after.views, strict=True):
        assert np.allclose(back[:3, :3] @ other.position + back[:3, 3], one.position)
        pixels = one.project(before.points.positions), other.project(after.points.positions)
        assert np.allclose(*pixels, atol=1e-3, equal_nan=True)
    assert after.box_from == "file" and after.up is not None and after.up.tolist() == [0, 1, 0]


def test_without_masks_the_box_holds_the_points_above_the_ground(captured: Path, tmp_path: Path) -> None:
    options = QUICK.model_copy(update={"mask": NoMasks(), "metres_per_unit": 1 / UNIT})
    scene = read_scene(isolate(captured, tmp_path / "object", options))
    told = json.loads((tmp_path / "object" / "object.json").read_text())
    assert not (tmp_path / "object" / "masks").exists() and told["masks"]["how"] == "off"
    assert scene.box[0, 1] == pytest.approx(0, abs=1e-6)  # the box cuts the ground off
    assert scene.points is not None and told["object_points"] > 100
    assert scene.box[1, 1] == pytest.approx(0.1, abs=0.02)
    inside = ((scene.points.positions > scene.box[0]) & (scene.points.positions < scene.box[1])).all(1)
    assert inside.sum() >= 0.97 * told["object_points"]


def test_known_poses_keep_their_box(photographed: Path, tmp_path: Path) -> None:
    truth = read_scene(photographed / "truth")
    after = read_scene(isolate(photographed / "truth", tmp_path / "object", QUICK))
    told = json.loads((tmp_path / "object" / "object.json").read_text())
    assert told["box_from"] == "file" and told["masks"]["how"] == "given" and not told["flags"]
    assert np.allclose(np.ptp(after.box, axis=0), np.ptp(truth.box, axis=0))
    T = np.array(told["T_object_world"])
    assert np.allclose(T[:3, :3], np.eye(3))  # it was upright
    assert abs(T[1, 3]) < 0.008  # its hull stands on the ground, as far as pictures from above can tell
    depth, moved = truth.views[3].load_depth(), after.views[3].load_depth()
    assert depth is not None and moved is not None
    assert np.allclose(depth, moved, equal_nan=True)
    assert after.views[3].mask_path is not None and truth.views[3].mask_path is not None
    assert after.views[3].mask_path.samefile(truth.views[3].mask_path)


def test_what_is_wrong_is_one_line(captured: Path, photographed: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    given = QUICK.model_copy(update={"mask": GivenMasks(folder=masks)})
    with pytest.raises(BadInput, match="no mask for 0000"):
        isolate(captured, tmp_path / "a", given)
    for view in read_scene(captured).views:
        black = np.zeros((view.camera.height, view.camera.width), np.uint8)
        Image.fromarray(black).save(masks / f"{Path(view.name).stem}.png")
    with pytest.raises(BadInput, match="black everywhere"):
        isolate(captured, tmp_path / "b", given)
    flat = QUICK.model_copy(update={"box": ((0.0, 0.0, 0.0), (1.0, 1.0, 0.0))})
    with pytest.raises(BadInput, match="no volume"):
        isolate(photographed / "truth", tmp_path / "c", flat)
    network = QUICK.model_copy(update={"mask": NetworkMasks(model="none-such")})
    with pytest.raises(BackendUnavailable, match="rembg"):
        isolate(captured, tmp_path / "d", network)
    with pytest.raises(BadInput, match="no such file"):
        isolate(captured, tmp_path / "e", QUICK, tmp_path)
    model = tmp_path / "empty"
    (model / "sparse").mkdir(parents=True)
    (model / "images").symlink_to(photographed / "images")
    for name in ("cameras.txt", "images.txt"):
        (model / "sparse" / name).write_text((captured / "sparse" / name).read_text())
    (model / "sparse" / "points3D.txt").write_text("# none\n")
    with pytest.raises(BadInput, match="points"):
        isolate(model, tmp_path / "f", QUICK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "masks"]  # nothing half written


def _shows(scene: Scene, number: int, depth: np.ndarray | None, points: np.ndarray) -> np.ndarray:
    view = scene.views[number]
    assert depth is not None
    pixels = view.project(points)
    inside = view.camera.contains(pixels)
    u, v = np.round(np.where(inside[:, None], pixels, 0)).astype(int).T
    far = (points - view.position) @ view.forward
    return inside & (np.abs(depth[v, u] - far) < 0.003)


def _write_model(
    folder: Path, truth: Scene, points: np.ndarray, tracks: list[list[int]], T: np.ndarray
) -> None:
    folder.mkdir()
    pinhole = truth.views[0].camera.pinhole
    numbers = f"{pinhole.fx} {pinhole.fy} {pinhole.cx + 0.5} {pinhole.cy + 0.5}"
    (folder / "cameras.txt").write_text(f"1 PINHOLE {pinhole.width} {pinhole.height} {numbers}\n")
    lines, seen = [], [[] for _ in truth.views]
    world = points @ T[:3, :3].T + T[:3, 3]
    for number, (point, track) in enumerate(zip(world, tracks, strict=True)):
        rows = " ".join(f"{k + 1} {len(seen[k])}" for k in track)
        for k in track:
            seen[k].append(number)
        lines.append(f"{number + 1} {' '.join(map(repr, map(float, point)))} 90 80 70 0.5 {rows}\n")
    (folder / "points3D.txt").write_text("".join(lines))
    images = []
    for k, view in enumerate(truth.views):
        R = (T[:3, :3] / scale_of(T)) @ view.T_world_camera[:3, :3]
        position = T[:3, :3] @ view.position + T[:3, 3]
        values = [*quaternion(R.T), *(-R.T @ position)]
        images.append(f"{k + 1} {' '.join(map(repr, map(float, values)))} 1 {view.image_path.name}\n")
        images.append(" ".join(f"1.5 2.5 {number + 1}" for number in seen[k]) + "\n")
    (folder / "images.txt").write_text("".join(images))
