"""A field baked into a file for a page: what it loses against the field, its bytes, what a page does for it.

- `size_mb` of the file, at most 15; `psnr_loss_vs_field`: mean PSNR of the field's held-out views by that of
  the baked model's, both against the photographs; at most 1.0 dB asked. `psnr_of_field`: the baked model
  against the field there.
- `steps_per_ray` and `texture_reads_per_pixel` at 1280 x 720 px, means over all pixels of held-out views that
  fill the height: lattice points that the shader looks at, jumps among them, and its texture fetches. They
  stand for frames a second, which a machine without a GPU does not tell: its page runs in SwiftShader.
- `bake_cpu_s`: CPU-seconds from the field to the file.

The shoe, simulated at 400 px: 56 views to learn from and 7 held out; the recipe `object`, 180 CPU-seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import BenchmarkResult, Data
from benchmarks._nerf import one_thread, work_folder
from benchmarks._nerf_views import in_child, train_once
from nerfrecon.backends.base import RayCamera
from nerfrecon.bake.bake import bake
from nerfrecon.bake.file import read_baked
from nerfrecon.bake.options import BakeOptions
from nerfrecon.bake.render import render_baked
from nerfrecon.cli import RECIPES
from nerfrecon.config import NerfreconConfig
from nerfrecon.evaluate import over, psnr
from nerfrecon.render_views import open_run
from nerfrecon.simulate.capture import simulate
from nerfrecon.simulate.subject import read_subject
from nerfrecon.train import open_scene
from nerfrecon.training.views import training_views
from suite.config import load_config
from suite.report.metric import Metric
from suite.report.table import Column, Table
from suite.run import Run

HELD_OUT_EVERY = 9
PAGE_PX = (1280, 720)
PAGE_VIEWS = 2
WHITE = (1.0, 1.0, 1.0)


def run(data: Data) -> BenchmarkResult:
    """Train, bake, judge: about seven CPU minutes; goes on where an earlier run was cut short."""
    with work_folder("nerf_bake") as folder:
        scene = folder / "scene"
        if not scene.is_dir():
            simulate(read_subject(data("nerfrecon/shoe_gltf") / "shoe_diffuse.glb"), scene)
        found = baked_and_judged(scene, folder / "shoe")
    metrics = [
        Metric("size_mb", found["size_mb"], "MB", "lower", note="at most 15 asked"),
        Metric(
            "psnr_loss_vs_field",
            found["psnr_field"] - found["psnr_baked"],
            "dB",
            "lower",
            note="at most 1.0 asked",
        ),
        Metric("psnr_of_field", found["psnr_of_field"], "dB", "higher"),
        Metric("steps_per_ray", found["steps_per_ray"], "", "lower", note="at 1280 x 720 px"),
        Metric("texture_reads_per_pixel", found["reads_per_pixel"], "", "lower", note="at 1280 x 720 px"),
        Metric("bake_cpu_s", found["bake_cpu_s"], "s", "lower"),
    ]
    return BenchmarkResult(metrics, [table({"shoe": found})])


def baked_and_judged(scene: Path, run: Path, cpu_s: float = 180.0) -> dict[str, float]:
    """The field of a scene, trained into `run` unless it is there, baked beside it, and both judged."""
    if not run.is_dir() or Run.open(run).status != "finished":
        in_child(train_once, config(scene, cpu_s).model_dump(mode="json"), str(run))
    out = run.with_name(f"{run.name}-baked")
    if not out.is_dir():
        in_child(_bake, str(run), str(out))
    with one_thread():
        return judged(run, out)


def judged(run: Path, out: Path) -> dict[str, float]:
    """Means over held-out views of field and baked model, and the cost of the first of them on a page."""
    told = json.loads((out / "bake.json").read_text())
    config, backend = open_run(run)
    scene, baked = open_scene(config), read_baked(out / "baked.bin")
    views = training_views(scene, scene.split(config.train.hold_out_every)[1], config.picture_scale)
    rows, costs = [], []
    for view in views:
        field = backend.render(view.camera, WHITE).rgb
        looked = render_baked(baked, view.camera, WHITE).rendered.rgb
        wanted = over(view.pixels, 1.0)
        rows.append((psnr(field, wanted), psnr(looked, wanted), psnr(looked, field)))
    for view in views[:: -(-len(views) // PAGE_VIEWS)]:
        seen = render_baked(baked, on_page(view.camera), WHITE)
        costs.append((seen.steps_per_ray, seen.reads_per_pixel))
    names = ("psnr_field", "psnr_baked", "psnr_of_field", "steps_per_ray", "reads_per_pixel")
    means = (*np.mean(rows, axis=0), *np.mean(costs, axis=0))
    return {
        **dict(zip(names, map(float, means), strict=True)),
        "size_mb": told["bytes"] / 1e6,
        "bake_cpu_s": told["cpu_s"],
        "resolution": told["resolution"],
        "voxels": told["voxels"],
    }


def on_page(camera: RayCamera) -> RayCamera:
    """The same view in a window of 1280 x 720 px."""
    width, height = PAGE_PX
    larger = height / camera.height
    cx, cy = (width - 1) / 2, (height - 1) / 2
    return replace(
        camera, width=width, height=height, fx=camera.fx * larger, fy=camera.fy * larger, cx=cx, cy=cy
    )


def config(scene: Path, cpu_s: float) -> NerfreconConfig:
    """The recipe `object` on this scene."""
    loaded = load_config(NerfreconConfig, RECIPES / "object.yaml", ()).config
    train = loaded.train.model_copy(update={"cpu_s": cpu_s, "hold_out_every": HELD_OUT_EVERY})
    return loaded.model_copy(update={"scene": scene, "train": train})


def table(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row an object."""
    columns = [
        "object",
        Column("field", "dB", 2),
        Column("baked", "dB", 2),
        Column("baked to field", "dB", 2),
        Column("size", "MB", 2),
        "resolution",
        "voxels",
        Column("steps a ray", "", 1),
        Column("reads a pixel", "", 1),
        Column("CPU time", "s", 0),
    ]
    keys = ("psnr_field", "psnr_baked", "psnr_of_field", "size_mb", "resolution", "voxels")
    keys += ("steps_per_ray", "reads_per_pixel", "bake_cpu_s")
    rows = [[name, *(one[key] for key in keys)] for name, one in found.items()]
    return Table(columns, rows, caption="baked models at held-out views")


def _bake(run: str, out: str) -> None:
    import torch

    torch.set_num_threads(1)
    bake(Path(run), Path(out), BakeOptions())
