"""The exported GLB of a simulated capture, rendered again at views that nothing was learned from.

Shoe (Khronos's MaterialsVariantsShoe, CC BY 4.0): 63 pictures of 400 px each in rings from -20 to 82 degrees,
every 9th held out; configs/surface.yaml for 300 CPU-seconds, then mesh and texture as `standard` makes them.

- `psnr_glb`: mean PSNR of the file, read back and ray-cast, at the held-out views, inside the mask: at pixels
  that the object fills. At least 27 dB are asked.
- `psnr_loss_vs_field`: by how much the field's own render of the same pixels is better; at most 1.5 dB.
- `faces`, `watertight`, `size_mb`: of the file.
- `cpu_min`: CPU-minutes of mesh, atlas and texture; at most 5 are asked.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import BenchmarkResult, Data
from nerfrecon.config import NerfreconConfig
from nerfrecon.evaluate import GREYS, over, psnr
from nerfrecon.mesh.extract import extract_mesh
from nerfrecon.mesh.options import MeshOptions
from nerfrecon.render_views import open_run
from nerfrecon.simulate.capture import CaptureOptions, simulate
from nerfrecon.simulate.subject import Subject, read_subject
from nerfrecon.texture.options import TextureOptions
from nerfrecon.texture.paint import inside_mask, judged, paint
from nerfrecon.train import open_scene, train
from nerfrecon.training.views import ray_camera
from suite.config import load_config
from suite.report.metric import Metric
from suite.report.table import Table
from suite.run import Run

RECIPE = Path(train.__code__.co_filename).parent / "configs" / "surface.yaml"
HELD_OUT_EVERY = 9
SHOE_CPU_S = 300.0


class Exported(NamedTuple):
    """PSNR in dB of each held-out view, of the file and of the field; what the stages say of themselves."""

    glb: dict[str, float]
    field: dict[str, float]
    mesh: dict
    texture: dict


def run(data: Data) -> BenchmarkResult:
    """The shoe. About eight CPU minutes."""
    shoe = read_subject(data("nerfrecon/shoe_gltf") / "shoe_diffuse.glb")
    with tempfile.TemporaryDirectory() as folder:
        field = trained(shoe, Path(folder), SHOE_CPU_S)
        found = exported(field, Path(folder) / "export", MeshOptions(), TextureOptions())
    glb, of_field = (float(np.mean(list(scores.values()))) for scores in (found.glb, found.field))
    cpu_min = (found.mesh["cpu_s"] + found.texture["cpu_s"]) / 60
    rows = [
        [
            name,
            f"{found.glb[name]:.2f}",
            f"{found.field[name]:.2f}",
            f"{found.field[name] - found.glb[name]:.2f}",
        ]
        for name in found.glb
    ]
    metrics = [
        Metric("psnr_glb", glb, "dB", better="higher", note="at least 27 is asked"),
        Metric("psnr_loss_vs_field", of_field - glb, "dB", better="lower", note="at most 1.5 is asked"),
        Metric("faces", found.mesh["faces"], better="lower", note="at most 50000"),
        Metric("watertight", int(found.mesh["watertight"]), better="higher"),
        Metric("size_mb", found.texture["bytes"] / 1e6, "MB", better="lower"),
        Metric("cpu_min", cpu_min, "min", better="lower", note="mesh, atlas, texture; at most 5 is asked"),
    ]
    return BenchmarkResult(metrics, [Table(["view", "GLB, dB", "field, dB", "loss, dB"], rows)])


def trained(subject: Subject, folder: Path, cpu_s: float) -> Path:
    """Photograph into `folder`/scene and train a signed distance; returns the run's folder."""
    simulate(subject, folder / "scene", CaptureOptions())
    given = (
        f"scene={folder / 'scene'}",
        f"train.cpu_s={cpu_s}",
        f"train.hold_out_every={HELD_OUT_EVERY}",
    )
    loaded = load_config(NerfreconConfig, RECIPE, given)
    with Run.create(folder / "run", config=loaded) as made:
        train(loaded.config, made)
    return made.folder


def exported(field: Path, out: Path, mesh: MeshOptions, texture: TextureOptions) -> Exported:
    """Mesh, paint and judge the field of a run; the stages' folders are left in `out`."""
    surface = extract_mesh(field, out / "mesh", mesh)
    glb = paint(surface, field, out / "texture", texture)
    config, backend = open_run(field)
    scene = open_scene(config)
    _, held_out = scene.split(config.train.hold_out_every)
    of_field = {}
    for number in held_out:
        picture = scene.views[number].load()
        rendered = backend.render(ray_camera(scene, number), GREYS["white"])
        wanted, inside = over(picture.pixels, 1.0), inside_mask(picture.pixels, picture.usable)
        of_field[scene.views[number].name] = psnr(rendered.rgb, wanted, inside)
    return Exported(
        judged(glb, scene, held_out, texture.picture_px),
        of_field,
        json.loads((out / "mesh" / "mesh.json").read_text()),
        json.loads((out / "texture" / "texture.json").read_text()),
    )
