"""The exported GLB of a simulated capture, rendered again at views that nothing was learned from.

Shoe (Khronos's MaterialsVariantsShoe, CC BY 4.0): 63 pictures of 400 px each in rings from -20 to 82 degrees,
every 9th held out, poses known; the product of quality standard.

- `psnr_glb`: mean PSNR of the file, read back and ray-cast, at the held-out views, inside the mask: at pixels
  that the object fills. At least 27 dB are asked.
- `psnr_loss_vs_field`: by how much the field's own render of the same pixels is better; at most 1.5 dB.
- `faces`, `watertight`, `size_mb`: of the file.
- `cpu_min`: CPU-minutes of mesh, atlas and texture; at most 5 are asked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import BenchmarkResult, Data
from benchmarks._nerf import work_folder
from benchmarks._nerf_product import configured, costs, product
from nerfrecon.evaluate import GREYS, over, psnr
from nerfrecon.product_folder import field_folder, read_json
from nerfrecon.render_views import open_run
from nerfrecon.simulate.capture import simulate
from nerfrecon.simulate.subject import read_subject
from nerfrecon.texture.paint import inside_mask
from nerfrecon.train import open_scene
from nerfrecon.training.views import ray_camera
from suite.report.metric import Metric
from suite.report.table import Column, Table

HELD_OUT_EVERY = 9


def run(data: Data) -> BenchmarkResult:
    """The shoe. About eight CPU minutes; goes on where an earlier run was cut short."""
    with work_folder("nerf_texture") as work:
        scene = work / "scene"
        if not scene.exists():
            simulate(read_subject(data("nerfrecon/shoe_gltf") / "shoe_diffuse.glb"), scene)
        given = (f"poses={scene}", f"field.train.hold_out_every={HELD_OUT_EVERY}", "viewer.baked=false")
        made = product(configured("standard", *given), work / "shoe")
        of_field = field_psnr(made)
        mesh, texture = (read_json(made / name / f"{name}.json") for name in ("mesh", "texture"))
        spent = costs(made, ("mesh", "texture"))
    of_glb = texture["psnr"]["held_out"]
    glb, field = (float(np.mean(list(scores.values()))) for scores in (of_glb, of_field))
    metrics = [
        Metric("psnr_glb", glb, "dB", better="higher", note="at least 27 is asked"),
        Metric("psnr_loss_vs_field", field - glb, "dB", better="lower", note="at most 1.5 is asked"),
        Metric("faces", mesh["faces"], better="lower", note="at most 50000"),
        Metric("watertight", int(mesh["watertight"]), better="higher"),
        Metric("size_mb", texture["bytes"] / 1e6, "MB", better="lower"),
        Metric(
            "cpu_min",
            sum(one["cpu_s"] for one in spent.values()) / 60,
            "min",
            better="lower",
            note="mesh, atlas, texture; at most 5 is asked",
        ),
    ]
    rows = [[name, of_glb[name], of_field[name], of_field[name] - of_glb[name]] for name in of_glb]
    columns = ["view", Column("GLB", "dB", 2), Column("field", "dB", 2), Column("loss", "dB", 2)]
    return BenchmarkResult(metrics, [Table(columns, rows)])


def field_psnr(made: Path) -> dict[str, float]:
    """Of the field's own renders of a product's held-out views, at the pixels that a GLB is judged by."""
    config, backend = open_run(field_folder(made))
    scene = open_scene(config)
    found = {}
    for number in scene.split(config.train.hold_out_every)[1]:
        picture = scene.views[number].load()
        rendered = backend.render(ray_camera(scene, number), GREYS["white"])
        wanted, inside = over(picture.pixels, 1.0), inside_mask(picture.pixels, picture.usable)
        found[scene.views[number].name] = psnr(rendered.rgb, wanted, inside)
    return found
