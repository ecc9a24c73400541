"""Variants of captures, and the product on its mat: what is told of them is so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("open3d", reason="Open3D is not installed")
pytest.importorskip("cv2", reason="OpenCV is not installed")
import cv2

from nerfrecon.scenes.read import read_scene
from nerfrecon.simulate.options import MARKER_DICTIONARY, ProductOptions, SimulateOptions
from nerfrecon.simulate.photograph import Studio
from nerfrecon.simulate.product import photograph_product
from nerfrecon.simulate.subject import Subject, corner_normals
from nerfrecon.simulate.variants import photograph_variant, wrong_depth
from suite.errors import BadInput
from suite.geometry.mesh import Mesh
from suite.geometry.mesh_io import read_geometry

SMALL = SimulateOptions(views=12, side_px=48, rings=3)


def brick() -> Subject:
    """A box, twelve triangles."""
    corners = np.array([[k & 1, k >> 1 & 1, k >> 2] for k in range(8)]) * np.array([2.0, 1, 1.5])
    quads = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))
    faces = np.array([[q[a], q[b], q[c]] for q in quads for a, b, c in ((0, 1, 2), (0, 2, 3))])
    return Subject(corners, faces, corner_normals(corners, faces))


@pytest.mark.parametrize("variant", ["clean", "jpeg", "white", "depth_outliers"])
def test_a_variant_comes_with_what_it_says(tmp_path: Path, variant: str) -> None:
    options = SMALL.model_copy(update={"variant": variant})
    file = photograph_variant(brick(), tmp_path / "out", options)
    scene, truth = read_scene(file.parent), read_scene(file.parent / "truth")
    told = json.loads((file.parent / "truth" / "truth.json").read_text())
    assert told["variant"] == variant and len(scene.views) == len(truth.views) == 12
    for one, exact in zip(scene.views, truth.views, strict=True):
        assert np.array_equal(one.T_world_camera, exact.T_world_camera)
        assert one.image_path.resolve() == exact.image_path.resolve()
    picture, exact = scene.views[5].load().pixels, truth.views[5].load().pixels
    mask = exact[..., 3] > 127
    assert 0.05 < mask.mean() < 0.8
    depth, exact_depth = scene.views[5].load_depth(), truth.views[5].load_depth()
    assert exact_depth is not None
    if variant == "white":
        assert picture.shape[2] == 3 and picture[exact[..., 3] == 0].mean() > 250 and depth is None
    else:
        assert np.array_equal(picture[..., 3], exact[..., 3])
    if variant == "jpeg":
        gains = np.array(told["gains"])
        assert 0.04 < gains.std() < 0.3 and scene.views[5].image_path.suffix == ".jpg"
        clean = Studio(brick()).photograph(truth.views[5].camera.pinhole, truth.views[5].T_world_camera)
        full = clean.rgba[..., 3] == 255
        ratio = picture[full][:, :3].mean() / clean.rgba[full][:, :3].mean()
        assert ratio == pytest.approx(gains[5], rel=0.02)
    if variant == "depth_outliers":
        assert depth is not None
        off = np.abs(depth / exact_depth - 1)[np.isfinite(exact_depth)]
        assert 0.003 < (off > 0.01).mean() < 0.05
    with pytest.raises(BadInput, match="exists"):
        photograph_variant(brick(), tmp_path / "out", options)


def test_as_much_depth_is_wrong_as_asked() -> None:
    depth = np.full((200, 200), 2.0)
    depth[:, :60] = np.nan
    wrong = wrong_depth(depth, 0.02, np.random.default_rng(0))
    assert np.array_equal(np.isnan(wrong), np.isnan(depth))
    share = (wrong != depth)[:, 60:].mean()
    assert 0.015 < share < 0.025 and np.nanmin(wrong) > 0.3 and np.nanmax(wrong) < 4.0


def test_the_product_is_what_its_truth_says(tmp_path: Path) -> None:
    options = ProductOptions(views=8, rings=2, width_px=480, height_px=360, finer=1, lowest_deg=30)
    images = photograph_product(tmp_path / "product", options)
    scene = read_scene(tmp_path / "product" / "truth")
    told = json.loads((tmp_path / "product" / "truth" / "truth.json").read_text())
    assert sorted(path.name for path in images.iterdir()) == [f"{k:04d}.jpg" for k in range(8)]
    mesh = read_geometry(tmp_path / "product" / "truth" / "mesh.ply")
    assert isinstance(mesh, Mesh) and mesh.is_watertight() and 2e-4 < mesh.volume() < 4e-4
    assert mesh.vertices[:, 1].min() == pytest.approx(0, abs=1e-6)
    view = scene.views[2]
    with Image.open(view.image_path) as photograph:
        assert photograph.mode == "RGB"
        focal = photograph.getexif().get_ifd(0x8769)[0xA405]
    assert focal == pytest.approx(36 * view.camera.pinhole.fx / 480, abs=0.5)
    # Depth inside the mask is the mesh's; the mask hides what stands on the mat.
    depth, mask = view.load_depth(), view.load().pixels[..., 3] == 255
    assert depth is not None and np.isfinite(depth[mask]).all()
    local = view.camera.pinhole.backproject(depth)[mask]
    world = local @ view.T_world_camera[:3, :3].T + view.position
    assert (world > np.array(told["box"][0]) - 1e-4).all() and (world < np.array(told["box"][1]) + 1e-4).all()
    # The marker in a photograph from above is where it should be.
    found = 0
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, MARKER_DICTIONARY))
    half = told["marker"]["side_m"] / 2
    for one in scene.views:
        grey = cv2.cvtColor(one.load().pixels[..., :3], cv2.COLOR_RGB2GRAY)
        corners, numbers, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(grey)
        if numbers is None or told["marker"]["id"] not in numbers:
            continue
        square = np.array([[-half, 0, -half], [half, 0, -half], [half, 0, half], [-half, 0, half]])
        expected = one.project(square + told["marker"]["middle_m"])
        assert np.abs(corners[0][0] - expected).max() < 2.0
        found += 1
    assert found >= 2
