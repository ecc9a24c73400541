"""Training images a CPU-second prepares, beside timm's loader, and what the training engine costs a step.

- `loader_ratio_vs_timm`: 1,500 JPEG photographs of 227 px to batches of 32 squares of 224 px: a random part
  of the image, a flip, normalised float32. Ours decodes once into a cache of pixels and counts from the
  second epoch on; timm's is ``timm.data.create_loader`` with the same steps and no others, which decodes with
  PIL each time; the faster of its two ways, with and without its prefetcher. One process, one thread, both in
  turns in the same run. At least 2 is asked.
- `loader_cold_ratio_vs_timm`: the same for the first epoch, the filling of the cache included.
- `engine_overhead_ms`: CPU time that a step of `suite.engine.fit` takes beyond the same step of a loop
  written by hand (a tiny CNN under SGD with momentum, batches of 16), the two in turns. At most 0.3 ms are
  asked.
"""

from __future__ import annotations

from benchmarks import BenchmarkResult, Data, _engine_overhead, _imcls_loader
from suite.report.metric import Metric
from suite.report.table import Column, Table


def run(data: Data) -> BenchmarkResult:
    """Both measurements, one after the other."""
    return summarised(_imcls_loader.measure(data("imcls/flowers5")), _engine_overhead.measure())


def summarised(loader: dict[str, float], overhead_ms: float) -> BenchmarkResult:
    """The figures of `_imcls_loader.measure` and `_engine_overhead.measure`."""
    metrics = [
        Metric(
            "loader_ratio_vs_timm", loader["warm_ratio_vs_timm"], "", "higher", note="at least 2 is asked"
        ),
        Metric(
            "loader_cold_ratio_vs_timm", loader["cold_ratio_vs_timm"], "", "higher", note="cache filled too"
        ),
        Metric("engine_overhead_ms", overhead_ms, "ms", "lower", note="a step; at most 0.3 is asked"),
    ]
    columns = ["loader", Column("rate", "images/CPU-s", 0)]
    named = {"imcls, from the second epoch": "warm", "imcls, first epoch": "cold", "timm": "timm"}
    rows = [[name, loader[f"{key}_images_per_cpu_s"]] for name, key in named.items()]
    return BenchmarkResult(metrics, [Table(columns, rows, caption="224 px, one process, one thread")])
