"""Five kinds of flowers, 5 leak-free folds: a frozen probe from a cold start, fine-tuning, both together.

1,500 photographs of 227 px, 300 a class; near-duplicates, mirrored ones too, share a fold. Every figure is of
out-of-fold predictions of all images on the same folds, with 95 % bootstrap intervals over images.

- `probe_accuracy`: the frozen backbone's features under linear probes, all settings as they are by default;
  penalties are chosen inside each training part. At least .88 is asked.
- `probe_cpu_s`: CPU seconds of a new process from its first import to the predictions on disk, on one thread:
  hashing and comparing images, folds, decoding with an empty cache, features, probes. At most 60 are asked.
- `finetune_accuracy`: the same backbone trained from its fourth stage on: 5 epochs at 160 px of AdamW, random
  parts, flips, smoothing and EMA; judged at 224 px, mirrored too. At least .92 is asked. The learning rate is
  the better of 2e-4 and 5e-4 by accuracy on fold 1 after training on folds 2 to 4; nothing else was chosen.
- `ensemble_accuracy`: both, weighted by `imcls.voting.ensemble` on the other folds; to be no worse is asked.
- `fold_leaks`: pairs of images in different folds that show the same, counted by comparing every pair in
  full; 0 is asked.

Times are CPU seconds, one thread.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import BenchmarkResult, Data
from benchmarks._imcls_flowers import CACHE, cold_probe, finetune_config
from imcls.data.leaks import count_leaks
from imcls.data.prints import table_prints
from imcls.experiment import Experiment, prepare
from imcls.judging import joined, judge
from imcls.member_training import train_member
from imcls.metrics.bootstrap import bootstrap_mean
from imcls.metrics.summary import log_losses, right
from imcls.predictions import Predictions
from imcls.voting.ensemble import Ensemble, align, ensemble
from suite.report.metric import Metric
from suite.report.table import Column, Table

PROBE, TUNED = "frozen probe", "fine-tuned"


def run(data: Data) -> BenchmarkResult:
    """A probe, five trainings and their vote: about 25 CPU minutes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            probe, probe_cpu_s = cold_probe(folder)
            experiment = prepare(finetune_config(data, folder))
            tuned, tuned_cpu_s = fine_tuned(experiment)
            leaks = count_leaks(experiment.folds, table_prints(experiment.table, folder / CACHE))
    finally:
        torch.set_num_threads(threads)
    return compared(probe, tuned, {PROBE: probe_cpu_s, TUNED: tuned_cpu_s}, leaks)


def fine_tuned(experiment: Experiment) -> tuple[Predictions, float]:
    """Out-of-fold predictions of a member for each fold, and the CPU seconds of training and judging them."""
    began = time.process_time()
    parts = []
    for fold in experiment.members:
        with tempfile.TemporaryDirectory() as folder:
            member, _ = train_member(experiment, fold, Path(folder))
        rows = experiment.held_out(fold)
        parts.append(judge(member, experiment.table, experiment.cache, rows, experiment.config, fold=fold))
    return joined(parts), time.process_time() - began


def compared(probe: Predictions, tuned: Predictions, cpu_s: dict[str, float], leaks: int) -> BenchmarkResult:
    """The figures of two sets of out-of-fold predictions and of their ensemble."""
    probe, tuned = align([probe, tuned], [PROBE, TUNED])
    both = ensemble([probe, tuned], [PROBE, TUNED])
    gain = both.gain
    metrics = [
        _accuracy("probe_accuracy", probe, "at least .88 is asked"),
        Metric("probe_cpu_s", cpu_s[PROBE], "s", "lower", note="a new process, empty cache; 60 s are asked"),
        _accuracy("finetune_accuracy", tuned, "at least .92 is asked"),
        _accuracy("ensemble_accuracy", both.predictions, "weights from the other folds"),
        Metric(
            "ensemble_gain",
            gain.value,
            "",
            "higher",
            (gain.low, gain.high),
            "paired, over the better of the two",
        ),
        Metric("fold_leaks", leaks, "", "lower", note="every pair compared in full"),
    ]
    return BenchmarkResult(metrics, [_table(probe, tuned, both, cpu_s)])


def _accuracy(key: str, predictions: Predictions, note: str) -> Metric:
    found = bootstrap_mean(right(predictions).astype(np.float64))
    return Metric(key, found.value, "", "higher", (found.low, found.high), note)


def _table(probe: Predictions, tuned: Predictions, both: Ensemble, cpu_s: dict[str, float]) -> Table:
    assert probe.folds is not None
    folds = np.unique(probe.folds)
    columns = [
        "",
        *(Column(f"fold {fold}", "%", 1) for fold in folds),
        Column("all", "%", 2),
        Column("log loss", "nats", 3),
        Column("CPU", "s", 0),
        Column("weight", "", 2),
    ]
    weights = {name: float(w) for name, w in zip(both.names, both.weighting.weights, strict=True)}
    rows = []
    for name, said in (
        (PROBE, probe),
        (TUNED, tuned),
        ("ensemble", both.predictions),
        ("even vote", both.vote),
    ):
        correct = right(said)
        of_folds = [100 * float(correct[said.folds == fold].mean()) for fold in folds]
        loss = float(log_losses(said).mean())
        rows.append([name, *of_folds, 100 * float(correct.mean()), loss, cpu_s.get(name), weights.get(name)])
    caption = f"Accuracy on {len(probe)} images that were not learned from; method {both.weighting.method}"
    return Table(columns, rows, caption=caption)
