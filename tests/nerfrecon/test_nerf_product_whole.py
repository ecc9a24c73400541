"""A product of a small rendered cup, through all stages: stopped while it trains, gone on with, judged."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from test_nerf_product_eval import CUP

from nerfrecon.cli import nerfrecon
from nerfrecon.evaluate_product import evaluate_product
from nerfrecon.product import make_product, product_run
from nerfrecon.product_config import RECIPES, ProductConfig
from nerfrecon.product_folder import read_json
from nerfrecon.simulate.capture import CaptureOptions, simulate
from nerfrecon.simulate.subject import Subject
from nerfrecon.stages import StageStopped
from nerfrecon.training.fit import Fit
from suite.config import load_config
from suite.geometry.ply import write_ply
from suite.run import Run

SMALL = (
    "field.start=null",
    "field.train.cpu_s=null",
    "field.train.steps=48",
    "field.train.batch.first_samples=2048",
    "field.train.batch.last_samples=2048",
    "field.field.grid={levels: 6, log2_table: 12, finest_resolution: 64}",
    "field.field.active.first=4",
    "field.sampling.occupancy_resolution=32",
    "field.sampling.step=0.015",
    "field.look.times=4",
    "mesh.coarse_cells=24",
    "mesh.density_threshold=4",
    "mesh.faces=2000",
    "texture.atlas.smallest_px=64",
    "texture.atlas.largest_px=128",
    "bake.most_resolution=32",
    "bake.fit_cpu_s=1.0",
    "bake.fit_steps=4",
    "bake.views=4",
    "bake.orbit=2",
    "bake.look_rays=4000",
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cup")
    normals = np.repeat(CUP.face_normals()[:, None], 3, axis=1)
    simulate(
        Subject(CUP.vertices, CUP.faces, normals), folder / "scene", CaptureOptions(views=16, side_px=64)
    )
    write_ply(folder / "cup.ply", CUP)
    return folder / "scene"


def make(scene: Path, root: Path, *settings: str) -> None:
    config = load_config(ProductConfig, RECIPES / "draft.yaml", [f"poses={scene}", *SMALL, *settings]).config
    with product_run(root, config) as run:
        make_product(config, run)


def test_a_product_that_was_stopped_is_the_same_and_can_be_judged_and_shown(scene, tmp_path, monkeypatch):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    make(scene, whole)
    for name in ("model.glb", "model.html", "baked.html", "report.html", "product.json"):
        assert (whole / name).stat().st_size > 100, name

    look = Fit._look

    def look_and_stop(fit: Fit, progress: float) -> None:
        look(fit, progress)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(StageStopped, match=r"stage 2 of 5 \(field\)"):
        patch.setattr(Fit, "_look", look_and_stop)
        make(scene, stopped)
    assert Run.open(stopped).status == "failed" and (stopped / "object/stage.json").is_file()
    assert not (stopped / "field/field.safetensors").is_file()
    make(scene, stopped)
    costs = {one["name"]: one for one in read_json(stopped / "product.json")["stages"]}
    assert costs["object"]["cached"] and costs["field"]["attempts"] == 2
    for name in ("field/field.safetensors", "mesh/mesh.ply", "model.glb"):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes(), name

    before = (whole / "mesh/mesh.ply").stat().st_mtime_ns
    make(scene, whole, "texture.image.quality=60")
    assert (whole / "mesh/mesh.ply").stat().st_mtime_ns == before
    assert (whole / "model.glb").read_bytes() != (stopped / "model.glb").read_bytes()
    assert (whole / "model.glb").read_bytes() == (whole / "texture/model.glb").read_bytes()

    figures = evaluate_product(whole, scene.parent / "cup.ply").figures
    assert {"psnr_field", "psnr_glb", "psnr_baked", "ssim_glb", "f_0.5", "f_1", "accuracy"} <= figures.keys()
    assert figures["psnr_glb"] > 4 and figures["accuracy"] < 0.2
    for of in ("field", "mesh"):
        video = whole / f"{of}.mp4"
        words = ["render", str(whole), "--orbit", "3", "--of", of, "--scale", "0.5", "--video", str(video)]
        told = CliRunner().invoke(nerfrecon, words, catch_exceptions=False)
        assert told.exit_code == 0 and video.stat().st_size > 500
    again = tmp_path / "again"
    mesh = str(stopped / "mesh/mesh.ply")
    for verb, made in (("mesh", "mesh.ply"), ("texture", "model.glb"), ("bake", "baked.bin")):
        words = [verb, *([mesh] if verb == "texture" else []), str(stopped), "--out", str(again / verb)]
        assert CliRunner().invoke(nerfrecon, words, catch_exceptions=False).exit_code == 0
        assert (again / verb / made).read_bytes() == (stopped / verb / made).read_bytes(), verb
    words = ["mesh", str(stopped), "--out", str(again / "coarser"), "coarse_cells=16"]
    assert CliRunner().invoke(nerfrecon, words, catch_exceptions=False).exit_code == 0
    raw = [read_json(one / "mesh.json")["faces_before"] for one in (again / "coarser", stopped / "mesh")]
    assert raw[0] < raw[1] / 2
