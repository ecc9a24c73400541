"""The page of a product: from nothing but an empty folder to all stages, with what went wrong told."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import trimesh
from ball_views import write_ball_scene
from PIL import Image
from scene_folders import known_scene, write_colmap
from textured_glb import write_bumpy_glb

from nerfrecon.config import NerfreconConfig
from nerfrecon.report.product import limits, write_product_page
from nerfrecon.report.product_figures import headline, headline_flags, spoken_sides
from nerfrecon.report.product_pictures import FULL_DIFFERENCE, GAP_PX, held_out_looks, photo_strip
from nerfrecon.report.product_scene import capture_view, pyramid
from nerfrecon.report.product_told import Told, number, read_told
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.read import read_scene
from nerfrecon.train import train
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera
from suite.run import Run

HAS_TEXTURE = find_spec("nerfrecon.texture") is not None
SFM = {
    "registered": 12,
    "total": 14,
    "reprojection_px": 0.62,
    "points": 200,
    "track_length": 4.2,
    "lenses": [{"model": "SIMPLE_RADIAL", "size": [24, 24], "params": [28.0, 12, 12, 0.01]}],
    "rejected": [{"name": "0013.jpg", "reason": "too few features <12>"}],
    "scale": {"metres_per_unit": 0.1, "from": "mat", "note": "17 corners"},
    "flags": ["2 of 14 pictures have no pose: parts may be missing"],
    "turntable": False,
}
STAGES = [
    {"name": name, "cpu_s": cpu, "wall_s": cpu / 2, "peak_gb": 0.5, "bytes": 1_000_000}
    for name, cpu in (("frames", 3.0), ("sfm", 61.5), ("field", 240.0), ("mesh", 8.0), ("texture", 30.0))
]


def write(folder: Path, name: str, values: object) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(values))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Small, but with all that a product's folder has; the field is trained for a moment."""
    folder = tmp_path_factory.mktemp("product") / "jug"
    write_ball_scene(folder / "object")
    grid = {"levels": 4, "log2_table": 12, "coarsest_resolution": 8, "finest_resolution": 64}
    values = {
        "scene": folder / "object",
        "box": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        "field": {"type": "density", "grid": grid},
        "sampling": {"occupancy_resolution": 32, "step": 0.02},
        "train": {"backend": "torch", "steps": 24, "cpu_s": None, "batch": {"first_samples": 2048}},
        "look": {"times": 3, "views": 1, "most_px": 24},
    }
    config = NerfreconConfig.model_validate(values)
    with Run.create(folder / "field", config=config) as run:
        train(config, run)
    kept = [{"name": f"{i:04d}.png", "source": f"IMG_{i}.JPG", "kept": True} for i in range(12)]
    lost = {"name": None, "source": "IMG_12.JPG", "kept": False, "reason": "blurred: 3 of 80"}
    write(folder, "frames/frames.json", [*kept, lost])
    write(folder, "sfm/sfm.json", SFM)
    write_colmap(folder / "sfm_scene", known_scene())
    shutil.copytree(folder / "sfm_scene/sparse/0", folder / "sfm/sparse")
    shutil.rmtree(folder / "sfm_scene")
    masks = {"how": "geometry", "kept": 12, "left_out": 0, "agreement_median": 0.97, "agreement_least": None}
    found = {"metres": True, "T_object_world": np.eye(4).tolist(), "up_from": "points", "masks": masks}
    write(folder, "object/object.json", found | {"flags": []})
    ball = trimesh.creation.icosphere(2, 0.3).apply_translation([0.5, 0.5, 0.5])
    (folder / "mesh").mkdir()
    ball.export(folder / "mesh/mesh.ply")
    box = [[0.2, 0.2, 0.2], [0.8, 0.8, 0.8]]
    write(folder, "mesh/mesh.json", {"faces": 320, "watertight": True, "box": box, "flags": []})
    texture = {
        "coverage": 0.93,
        "texture_px": [1024, 1024],
        "psnr_mean": {"held_out": 25.5, "learned": 27.0},
        "flags": ["7% of the surface is seen by no photograph"],
    }
    write(folder, "texture/texture.json", texture)
    total = {"cpu_s": 342.5, "wall_s": 171.0, "peak_gb": 0.5, "bytes": 5_000_000}
    write(folder, "product.json", {"name": "Jug & co", "quality": "draft", "stages": STAGES, "total": total})
    (folder / "model.html").write_text("a page")
    if HAS_TEXTURE:
        write_bumpy_glb(folder / "model.glb")
    return folder


@pytest.fixture(scope="module")
def page(whole):
    return write_product_page(whole, whole / "report.html").read_text(encoding="utf-8")


def test_all_stages_are_on_the_page(page):
    for heading in ("At a glance", "Photographs", "Cameras", "Training", "Held-out views", "What it cost"):
        assert f">{heading}</h2>" in page
    assert "Jug &amp; co" in page
    assert "12 of 14" in page
    assert "IMG_12.JPG" in page
    assert "blurred: 3 of 80" in page
    assert "too few features &lt;12&gt;" in page
    assert 'href="model.html"' in page
    assert 'href="baked.html"' not in page  # it is not there
    assert "from the printed mat (17 corners)" in page
    assert "7% of the surface is seen by no photograph" in page
    assert "97.0% in the middle<" in page
    assert "The stage bake" in page
    said = re.sub(r"<(script|style|svg).*?</\1>|data:[^\"]*", "", page, flags=re.DOTALL)
    assert "cannot be" not in said
    assert "nan" not in said.lower()


def test_a_missing_stage_is_told_and_no_error(tmp_path):
    page = write_product_page(tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    for stage in ("frames", "sfm", "object", "field", "mesh", "texture", "bake"):
        assert f"The stage {stage} (" in page
    with pytest.raises(BadInput, match="no such folder"):
        write_product_page(tmp_path / "none", tmp_path / "x.html")


def test_a_damaged_file_and_lost_photographs_are_told(whole, tmp_path):
    folder = tmp_path / "jug"
    shutil.copytree(whole, folder)
    (folder / "mesh/mesh.json").write_text("{half")
    write(folder, "run.json", {"status": "failed", "error": "the disk is full in stage 5 of 7"})
    write(folder, "texture/texture.json", ["not", "a", "mapping"])
    write(folder, "field/history.json", [{"cpu_s": 1}, 3, {"cpu_s": None, "psnr": "high"}])
    text = (folder / "field/config.yaml").read_text().replace(str(whole), str(folder))
    (folder / "field/config.yaml").write_text(text)
    (folder / "object/images/0000.png").unlink()
    first = folder / "object/images/0001.png"  # held out, now that it is the first
    first.write_bytes(first.read_bytes()[:200])
    page = write_product_page(folder, folder / "report.html").read_text(encoding="utf-8")
    assert "mesh/mesh.json cannot be read" in page
    assert "It is not finished: the disk is full in stage 5 of 7." in page
    assert "texture/texture.json cannot be read" in page
    assert "do not exist and is left out: images/0000.png" in page
    assert "The photographs cannot be shown: " in page
    assert "Held-out views cannot be compared: " in page
    assert "0001.png" in page
    assert ">Training</h2>" not in page


def test_known_poses_need_no_sfm(whole, tmp_path):
    shutil.copytree(whole / "object", tmp_path / "object")
    page = write_product_page(tmp_path, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "the stages frames and sfm were not needed" in page
    assert "The stage sfm (" not in page
    assert "From photographs with known poses" in page


def test_figures_carry_flags():
    told = Told(
        Path("nowhere"),
        sfm=SFM,
        mesh={"faces": 9, "watertight": False, "box": [[0, 0, 0], [0.1, 0.298, 0.05]]},
        texture={"coverage": 0.99, "psnr_mean": {"held_out": 22.0}},
    )
    metrics = headline(told)
    flags = headline_flags(told, metrics)
    wanted = {"registered": "warn", "reprojection": "ok", "psnr_glb": "bad", "coverage": "ok"}
    assert flags == wanted | {"size": "warn", "faces": "warn"}
    by_key = {metric.key: metric for metric in metrics}
    assert by_key["registered"].value == pytest.approx(100 * 12 / 14)
    assert by_key["size"].unit == "units"
    assert any("size is not known" in line for line in limits(told))
    assert any("open edges" in line for line in limits(told))
    assert number({"a": {"b": True}}, "a", "b") != number({"a": {"b": 2}}, "a", "b") == 2.0


@pytest.mark.parametrize(
    ("sides", "metric", "words"),
    [
        ([0.298, 0.153, 0.116], True, (["29.8", "15.3", "11.6"], "cm")),
        ([1.25, 0.5, 2.0], True, (["1.25", "0.50", "2.00"], "m")),
        ([0.004, 0.0085, 0.001], True, (["4.00", "8.50", "1.00"], "mm")),
        ([0.298, 0.5, 12.0], False, (["0.298", "0.5", "12"], "units")),
    ],
)
def test_lengths_for_people(sides, metric, words):
    assert spoken_sides(sides, metric) == words


def test_pyramids_stand_where_the_cameras_are(whole):
    scene = read_scene(whole / "object")
    view = scene.views[3]
    line = pyramid(view, 0.2)
    corners = line[:4]
    seen = view.project(corners)
    w, h = view.camera.width, view.camera.height
    assert seen == pytest.approx(
        np.array([[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]])
    )
    assert (corners - view.position) @ view.forward == pytest.approx(0.2)
    apexes = np.flatnonzero((np.abs(line - view.position) < 1e-12).all(axis=1))
    assert len(apexes) == 4
    shown = capture_view(scene, (0, 8), np.array([[0.5, 0.5, 0.5], [500.0, 0, 0]]))
    layers = [layer["name"] for layer in shown.scene()["layers"]]
    assert layers == ["Points", "Cameras", "Held out", "Box"]
    ranges = np.array(shown.scene()["ranges"])
    assert np.abs(ranges).max() < 10  # the far point is left out


def test_the_strip_draws_whole_photographs_and_an_outline(whole, tmp_path):
    scene = read_scene(whole / "object")
    strip = photo_strip(scene, most=4)
    assert strip.shape[2] == 4
    alpha = scene.views[0].load().pixels[..., 3] > 127
    assert 10 < orange(strip[:24, :24]).sum() < alpha.sum()
    Image.fromarray(np.full((120, 160, 3), 70, np.uint8)).save(tmp_path / "photo.png")
    mask = np.zeros((120, 160, 3), np.uint8)
    mask[40:80, 50:110] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    camera = LensCamera(PinholeCamera(160, 120, 200.0, 200.0, 79.5, 59.5))
    view = replace(scene.views[0], image_path=tmp_path / "photo.png", camera=camera)
    view = replace(view, mask_path=tmp_path / "mask.png", mask_shows="object")
    strip = photo_strip(replace(scene, views=(view, *scene.views[1:])), most=1)
    assert strip.shape == (120, 160, 4)
    assert (strip[10, 10, :3] == 70).all()  # what is around the object is not cut away
    assert (strip[60, 80, :3] == 70).all()
    rows, columns = np.nonzero(orange(strip))
    assert (rows.min(), rows.max()) == pytest.approx((40, 79), abs=1.5)
    assert (columns.min(), columns.max()) == pytest.approx((50, 109), abs=1.5)


def orange(rgba: np.ndarray) -> np.ndarray:
    return (np.abs(rgba[..., :3].astype(int) - (230, 97, 0)).sum(2) < 120) & (rgba[..., 3] > 0)


def test_held_out_views_are_those_the_training_left_out(whole):
    looks = held_out_looks(whole)
    scene = read_scene(whole / "object")
    assert [look.name for look in looks] == [scene.views[0].name, scene.views[8].name]
    parts = 4 if HAS_TEXTURE else 3
    assert all(4 < look.field_psnr < 40 for look in looks)
    pixels = looks[0].pixels
    assert pixels.shape[1] > 900  # as wide as a page, though a picture is 24 px
    side = (pixels.shape[1] - (parts - 1) * GAP_PX) // parts
    photo, field, last, difference = (
        pixels[:, at * (side + GAP_PX) :][:, :side].astype(float) for at in (0, 1, parts - 2, parts - 1)
    )
    assert np.abs(photo - field).mean() > 1
    off = np.abs(photo - last).mean(2)
    far = off > 1.3 * 255 * FULL_DIFFERENCE
    assert far.any()
    assert difference[far].mean() < 120


def test_nothing_that_is_read_needs_a_product_json(tmp_path):
    write(tmp_path, "sfm/sfm.json", {"registered": None, "rejected": None, "lenses": None, "flags": None})
    told = read_told(tmp_path)
    assert told.rejected() == []
    assert told.flags() == []
    write_product_page(tmp_path, tmp_path / "report.html")
