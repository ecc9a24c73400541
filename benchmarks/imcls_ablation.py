"""What each trick is worth on five kinds of flowers: smoothing, mixup, EMA, BNNeck, TTA and the vote of all.

Neck and head are trained by `suite.engine` on the features of a frozen MobileNetV2 (the backbone never moves,
so what is measured is what a trick does to a light classifier on 1,200 images; on a whole network that
overfits, it may do more). Every variant changes one thing of the base, which is 20 epochs of AdamW under
cross-entropy, and is trained for each of 5 leak-free folds with 3 seeds. The vote takes all of them, the base
too, with equal weights.

Differences are to the base with the same seeds, in points; intervals are 95 %, bootstrapped in pairs over
images and seeds. No aim is set: the table says what helps. Times are CPU seconds a seed, all folds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks import BenchmarkResult, Data
from benchmarks._imcls_flowers import probe_config
from imcls.ablation.compare import Ablation, Row
from imcls.ablation.run import run_ablation
from imcls.ablation.table import markdown, table
from imcls.ablation.variants import BASE, Variant, checked
from imcls.config import ImclsConfig
from imcls.data.transform_options import AugmentOptions
from suite.engine.options import AdamW, EngineOptions
from suite.report.metric import Metric

SEEDS = 3
CHANGES = {
    "smoothing": "loss.criterion.smoothing=0.1",
    "mixup": "mix.mixup=0.2",
    "EMA": "train.ema={decay: 0.98}",
    "BNNeck": "model.neck.bnneck=true",
    "TTA": "evaluation.tta.flips=[horizontal]",
}
VOTE = "ensemble"
VARIANTS = checked(
    (
        Variant(BASE),
        *(Variant(name, (change,)) for name, change in CHANGES.items()),
        Variant(VOTE, of=(BASE, *CHANGES)),
    )
)


def run(data: Data) -> BenchmarkResult:
    """Six trainings for each seed and fold, 90 in all, about 3 CPU minutes; the table as Markdown on stdout
    too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            found = run_ablation(base_config(data, folder), VARIANTS, SEEDS, folder / "ablation")
    finally:
        torch.set_num_threads(threads)
    print(markdown(found))
    return summarised(found)


def base_config(data: Data, folder: Path) -> ImclsConfig:
    """What every variant changes one thing of."""
    config = probe_config(data, folder)
    return config.model_copy(
        update={
            "name": "flowers-ablation",
            "input": config.input.model_copy(
                update={"batch_size": 64, "augment": AugmentOptions(transforms=())}
            ),
            "train": EngineOptions(epochs=20, optimizer=AdamW(lr=1e-3, weight_decay=0.05)),
        }
    )


def summarised(found: Ablation) -> BenchmarkResult:
    """The base's accuracy, and each variant's difference to it in points."""
    base = next(row for row in found.rows if row.name == BASE)
    metrics = [Metric("base_accuracy", 100 * base.accuracy, "%", "higher")]
    metrics += [_difference(row) for row in found.rows if row.difference is not None]
    return BenchmarkResult(metrics, [table(found)])


def _difference(row: Row) -> Metric:
    d = row.difference
    assert d is not None
    interval = (100 * d.low, 100 * d.high)
    return Metric(
        f"{row.name.lower()}_difference", 100 * d.value, "points", "higher", interval, "to the base"
    )
