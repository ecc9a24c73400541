"""Twenty photographs of the fox to a textured mesh, beside what open tools take for it on a CPU.

The same 20 of instant-ngp's fox (50 photographs), averaged down to 0.15 MP, cameras not known. COLMAP and
OpenMVS took 103 + 292 = 395 CPU-seconds for them on a 2-core machine, and made 324,000 faces of object and
surroundings.

- `cpu_s_total`: all stages from photographs to GLB; at most 395 are asked.
- `psnr_mesh_held_out`: of the GLB where it is seen, at every 5th view, which nothing learned from; each
  view with the gain of each colour that suits it best.
- `registered`: of the 20.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from benchmarks import BenchmarkResult, Data
from benchmarks._nerf import work_folder
from benchmarks._nerf_product import configured, costs, judged, product
from nerfrecon.product_folder import read_json
from suite.data.images import read_image, write_image
from suite.report.metric import Metric
from suite.report.table import Column, Table

COUNT, PIXELS, HELD_OUT_EVERY = 20, 150_000, 5
FIELD_CPU_S = 120.0
SETTINGS = (
    f"field.train.cpu_s={FIELD_CPU_S}",
    f"field.train.hold_out_every={HELD_OUT_EVERY}",
    "viewer.baked=false",
)


def run(data: Data) -> BenchmarkResult:
    """One product. About six CPU minutes."""
    with work_folder("nerf_cpu_alternative") as work:
        photographs = work / "photographs"
        small_photographs(data("nerfrecon/fox") / "images", photographs)
        made = product(configured("draft", f"source={photographs}", *SETTINGS), work / "product")
        spent, found = costs(made), judged(made)
        sfm, mesh = read_json(made / "sfm/sfm.json"), read_json(made / "mesh/mesh.json")
    metrics = [
        Metric("cpu_s_total", sum(one["cpu_s"] for one in spent.values()), "s", "lower"),
        Metric("psnr_mesh_held_out", found["psnr_glb"], "dB", "higher", note="where the mesh is seen"),
        Metric("psnr_field_held_out", found["psnr_field"], "dB", "higher", note="there too"),
        Metric("registered", sfm["registered"], "", "higher", note=f"of {COUNT}"),
        Metric("faces", mesh["faces"], "", None),
    ]
    columns = ["stage", Column("CPU time", "s", 1), Column("memory", "GB", 2)]
    rows = [[name, one["cpu_s"], one["peak_gb"]] for name, one in spent.items()]
    return BenchmarkResult(metrics, [Table(columns, rows)])


def small_photographs(images: Path, folder: Path) -> None:
    """Every so many of them, in the order of their names, averaged down; they carry no EXIF."""
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    chosen = [paths[int(k)] for k in np.linspace(0, len(paths) - 1, COUNT).round()]
    for path in chosen:
        target = folder / f"{path.stem}.png"
        if not target.is_file():
            pixels = read_image(path)[..., :3]
            factor = (PIXELS / (pixels.shape[0] * pixels.shape[1])) ** 0.5
            size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
            write_image(target, np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8))
