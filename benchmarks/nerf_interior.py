"""The inside of a shoe and a boot, which photographs show only through the opening, with and without depth.

Scored apart (nerfrecon.surface_score): points that less than 45 % of an even sky's light reaches and that
two views see, on the true mesh for recall and on the exported one for precision. Pictures of a closed
opening look right from most sides, so PSNR says nothing of it. Captures and settings are those of
nerf_object, quality standard; with depth, the simulated depth maps of the same views are learned from too.

- `f1_without_depth`, `f1_with_depth`: mean F-score at 1 % of the interiors of both; .80 and .90 are asked.
- `f1_gain`: what depth adds.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks import BenchmarkResult, Data
from benchmarks._nerf import work_folder
from benchmarks._nerf_product import configured, judged, product
from benchmarks.nerf_object import CAPTURE, HELD_OUT_EVERY, MESHES
from nerfrecon.simulate.capture import simulate
from nerfrecon.simulate.subject import read_subject
from suite.report.metric import Metric
from suite.report.table import Table

SUBJECTS = ("shoe", "boot")
DEPTH_WEIGHT = 1.0


def run(data: Data) -> BenchmarkResult:
    """Four products: about forty minutes of CPU time."""
    found = {}
    with work_folder("nerf_interior") as work:
        for name in SUBJECTS:
            folder, file = MESHES[name]
            for depth in (False, True):
                found[name, depth] = interior(data(folder) / file, work / name, depth)
    means = {
        depth: _mean([found[name, depth]["interior_f_1"] for name in SUBJECTS]) for depth in (False, True)
    }
    metrics = [
        Metric("f1_with_depth", means[True], "", "higher"),
        Metric("f1_without_depth", means[False], "", "higher"),
        Metric("f1_gain", means[True] - means[False], "", "higher"),
    ]
    keys = (
        "interior_f_0.5",
        "interior_f_1",
        "interior_precision_1",
        "interior_recall_1",
        "f_1",
        "psnr_field",
    )
    rows = [
        [f"{name}, {'with' if d else 'without'} depth", *(one[k] for k in keys)]
        for (name, d), one in found.items()
    ]
    columns = [
        "of",
        "inside F at 0.5 %",
        "inside F at 1 %",
        "precision",
        "recall",
        "F at 1 %, all",
        "field, dB",
    ]
    return BenchmarkResult(metrics, [Table(columns, rows)])


def interior(path: Path, work: Path, depth: bool) -> dict[str, float]:
    """Photograph a mesh, make its product, and score it."""
    scene = work / "scene"
    if not scene.exists():
        simulate(read_subject(path), scene, CAPTURE)
    given = ["viewer.baked=false", f"field.train.hold_out_every={HELD_OUT_EVERY}"]
    if depth:
        given += [f"poses={scene}", f"field.losses.depth={DEPTH_WEIGHT}"]
    else:
        given += [f"poses={_without_depth(scene)}"]
    made = product(configured("standard", *given), work / ("with-depth" if depth else "without-depth"))
    return judged(made, path)


def _without_depth(scene: Path) -> Path:
    """The same scene as a file that names no depth."""
    path = scene / "transforms_without_depth.json"
    document = json.loads((scene / "transforms.json").read_text(encoding="utf-8"))
    for frame in document["frames"]:
        frame.pop("depth_path", None)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def _mean(values: list[float]) -> float:
    return float(np.mean(values))
