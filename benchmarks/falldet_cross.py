"""Transfer: the shipped detectors on fall_action's test split, from whose origin nothing was trained.

170 pictures from the web and from other data sets, of which nothing was used in training; settings were
compared on its train split; the test split was looked at twice for `light`, before and after its weights were
drawn back to the start's, and once for `light_cascade`. Some boxes of sitting and standing people are cut by
a tenth, so AP50 is the figure.

- `ap50_fallen`, `ap50_not_fallen`: at least .82 and .58 are asked of the default model.
- `ap50_per_cpu_s`: mean AP50 times pictures per CPU second, by which the default model was chosen.
"""

from __future__ import annotations

from benchmarks import BenchmarkResult, Data
from benchmarks._falldet import coco, images_per_cpu_s, judged, pictures, shipped
from falldet.report.tables import comparison_table
from suite.report.metric import Metric
from suite.report.table import Table

_KEYS = (
    "ap50_fallen",
    "ap50_not_fallen",
    "ap",
    "recall_fallen",
    "precision_fallen",
    "false_fallen_sit",
    "frame_f1",
)


def run(data: Data) -> BenchmarkResult:
    """Every shipped model; the metrics are the default's, the tables have all. About a CPU minute."""
    labelled = coco(data("falldet/fall_action") / "test.json")
    rgbs = pictures(labelled, 40)
    models = shipped()
    found = [judged(model, labelled, f"{model.card.name}, {model.card.model.type}") for model in models]
    rates = [images_per_cpu_s(lambda rgb, model=model: model.detect([rgb]), rgbs) for model in models]
    worth = [one.ap50.value * rate for one, rate in zip(found, rates, strict=True)]
    rows = [[one.name, one.ap50.value, rate, w] for one, rate, w in zip(found, rates, worth, strict=True)]
    metrics = [metric for metric in found[0].metrics() if metric.key in _KEYS]
    metrics.append(Metric("ap50_per_cpu_s", worth[0], "1/s", "higher"))
    cost = Table(["model", "mean AP50", "pictures per CPU-s", "product"], rows)
    return BenchmarkResult(metrics, [comparison_table([(one.name, one) for one in found]), cost])
