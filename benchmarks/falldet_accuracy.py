"""The shipped detectors on hospital_bed's test split: AP, false alarms about people in beds, cost of
training.

106 pictures of 12 clips that nothing was trained or chosen on; the same rooms and cameras occur in training,
so that `falldet_cross` is the figure for other places. Thresholds are those on the models' cards, chosen on
training clips that were held back. Pictures are scaled to the long side on the card.

- `ap50_fallen`, `ap50_not_fallen`, `ap` (.50 to .95): at least .70, .72 and .38 are asked of the default.
- `false_fallen_rate`: share of people tagged lie, sit or danger who are called fallen; at most .10 is asked.
- `train_cpu_h`: CPU hours of its training, from its card; at most 4 are asked.
"""

from __future__ import annotations

from benchmarks import BenchmarkResult, Data
from benchmarks._falldet import coco, judged, shipped
from falldet.report.tables import comparison_table
from suite.report.metric import Metric

_KEYS = (
    "ap50_fallen",
    "ap50_not_fallen",
    "ap",
    "recall_fallen",
    "precision_fallen",
    "false_fallen_rate",
    "frame_f1",
)


def run(data: Data) -> BenchmarkResult:
    """Every shipped model; the metrics are the default's, the table has all. About a CPU minute."""
    labelled = coco(data("falldet/hospital_bed") / "test.json")
    models = shipped()
    found = [judged(model, labelled, f"{model.card.name}, {model.card.model.type}") for model in models]
    metrics = [metric for metric in found[0].metrics() if metric.key in _KEYS]
    hours = float(models[0].card.settings["train_cpu_s"]) / 3600
    metrics.append(Metric("train_cpu_h", hours, "h", "lower", note="from the model's card"))
    return BenchmarkResult(metrics, [comparison_table([(one.name, one) for one in found])])
