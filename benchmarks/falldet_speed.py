"""Speed of the shipped detectors: pictures of 640 x 640 in memory, scaled to 320 px, looked at one by one.

CPU seconds of one thread, from the decoded picture to boxes in its pixels, best of three rounds over 40
pictures of hospital_bed's test split; the two ways of each model and the models alternate.

- `images_per_cpu_s`: PyTorch; at least 15 are asked of the default model.
- `ort_images_per_cpu_s`: ONNX Runtime, one thread, with all preparation in the graph; at least 25 are asked.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import BenchmarkResult, Data
from benchmarks._falldet import coco, images_per_cpu_s, pictures, shipped
from falldet.onnx.export import export
from falldet.onnx.run_onnx import detect, open_model
from suite.report.metric import Metric
from suite.report.table import Table

LONG_PX = 320


def run(data: Data) -> BenchmarkResult:
    """Every shipped model; the metrics are the default's. About two CPU minutes."""
    rgbs = pictures(coco(data("falldet/hospital_bed") / "test.json"), 40)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model in [model.at_size(LONG_PX) for model in shipped()]:
            file = Path(folder) / f"{model.card.name}.onnx"
            export(model, file, rgbs[:4])
            session, _ = open_model(str(file), 1)
            own = images_per_cpu_s(lambda rgb, model=model: model.detect([rgb]), rgbs)
            other = images_per_cpu_s(lambda rgb, session=session: detect(session, rgb), rgbs)
            rows.append([f"{model.card.name}, {model.card.model.type}", own, other])
    metrics = [
        Metric("images_per_cpu_s", rows[0][1], "1/s", "higher", note="PyTorch"),
        Metric("ort_images_per_cpu_s", rows[0][2], "1/s", "higher", note="ONNX Runtime"),
    ]
    return BenchmarkResult(metrics, [Table(["model", "PyTorch, 1/s", "ONNX Runtime, 1/s"], rows)])
