"""CIFAR-10 (as JPEG files) from scratch on one CPU core: accuracy, CPU seconds, and time to 85 % beside timm.

Ours is the shipped recipe `cifar10` on all 50,000 training images, judged once on the 10,000 test images with
flips and shifts; its CPU seconds begin before the files are decoded and end with the last step.

Time to 85 %: the same network in both pipelines, judged after each epoch with one view; the judging is not
counted. Ours takes the recipe over 6 epochs. The plain pipeline trains that network (random first layer,
trained like the others) with timm.data.create_loader (PIL, random resized crop, flip), fp32, SGD with
Nesterov momentum and a cosine schedule of timm, smoothing as ours; its loader counts.

Settings of ours were chosen on 5,000 held-back training images, those of the plain pipeline are usual ones
and were not tuned; nothing was chosen on the test images.
"""

from __future__ import annotations

import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import BenchmarkResult, Data
from suite.report.metric import Metric
from suite.report.table import Table

SET, ARCHIVE, RECIPE = "imcls/cifar10_jpeg", "cifar10-jpg.tar.xz", "cifar10"
ENOUGH = 0.85
SHORT = ("train.epochs=6", "train.warmup_epochs=1.2", "evaluation.every_epochs=1")
PLAIN_EPOCHS, PLAIN_LR, PLAIN_BATCH = 10, 0.1, 128


def run(data: Data) -> BenchmarkResult:
    """All three trainings, one after the other: a little over an hour on one core."""
    with unpacked(data(SET)) as folder:
        best = train_ours(folder, ["evaluation.every_epochs=0"])
        short = train_ours(folder, SHORT)
        plain = train_plain(folder)
    return compared(best, short, plain)


def compared(best: dict[str, Any], short: dict[str, Any], plain: dict[str, Any]) -> BenchmarkResult:
    """The figures of the three trainings."""
    ours_s, plain_s = seconds_to(short["curve"]), seconds_to(plain["curve"])
    metrics = [
        Metric("accuracy", best["accuracy"], better="higher", note="10,000 test images, with TTA; aim 0.90"),
        Metric("train_cpu_s", best["cpu_s"], "s", "lower", note="decoding included, one core; aim 1200"),
        Metric("ours_to_85_cpu_s", ours_s, "s", "lower"),
        Metric("timm_to_85_cpu_s", plain_s, "s", "lower"),
        Metric("speedup_to_85_vs_timm", plain_s / ours_s, "x", "higher", note="aim 2"),
    ]
    rows = [
        [name, epoch + 1, cpu_s, accuracy]
        for name, found in (("ours", short), ("plain timm", plain))
        for epoch, (cpu_s, accuracy) in enumerate(found["curve"])
    ]
    return BenchmarkResult(
        metrics, [Table(["pipeline", "epoch", "CPU s", "accuracy"], rows, caption="one view")]
    )


def seconds_to(curve: list[tuple[float, float]], enough: float = ENOUGH) -> float:
    """CPU seconds at the end of the first epoch that reaches ``enough``; NaN where none does."""
    return next((cpu_s for cpu_s, accuracy in curve if accuracy >= enough), float("nan"))


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """The archive's `train` and `test` folders of class folders, in a temporary place."""
    with tempfile.TemporaryDirectory() as name:
        with tarfile.open(source / ARCHIVE) as archive:
            archive.extractall(name, filter="data")
        yield Path(name)


def train_ours(folder: Path, settings: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """Our recipe: accuracy with its TTA, CPU seconds, and (CPU s, accuracy) after each epoch that was
    judged."""
    from imcls.judging import judge
    from imcls.member_training import train_member
    from imcls.metrics.summary import accuracy

    config = recipe(folder, settings)
    with tempfile.TemporaryDirectory() as members:
        started = time.process_time()
        experiment = all_for_training(config)
        ready = time.process_time() - started
        member, trained = train_member(experiment, 0, Path(members))
        cpu_s = time.process_time() - started
        curve, judged = [], 0.0
        for row in trained.history:
            judged += row["evaluation_cpu_s"]
            if "accuracy" in row:
                curve.append((ready + row["cpu_s"] - judged, row["accuracy"]))
        rows = experiment.held_out(0)
        found = judge(member, experiment.table, experiment.cache, rows, config)
    return {"accuracy": accuracy(found), "cpu_s": cpu_s, "curve": curve}


def recipe(folder: Path, settings: list[str] | tuple[str, ...] = ()) -> Any:
    """The shipped recipe for the images in ``folder``, with settings over it."""
    from imcls.config import ImclsConfig
    from suite.config import load_config

    file = Path(__file__).parents[1] / "imcls" / "configs" / f"{RECIPE}.yaml"
    places = [f"data.source.root={folder}", f"data.cache={folder / 'cache'}"]
    return load_config(ImclsConfig, file, [*places, *settings]).config


def all_for_training(config: Any) -> Any:
    """An experiment that learns from all of `train` and is judged on `test`: the folds are these two
    folders."""
    from imcls.data.cache import open_cache
    from imcls.data.fit import short_side_px
    from imcls.data.manifest import SplitManifest, label_names
    from imcls.data.options import FolderSource
    from imcls.data.sources import read_table
    from imcls.data.table import ImageTable
    from imcls.experiment import Experiment, cache_folder

    root = Path(config.data.source.root)
    parts = [read_table(FolderSource(root=root / name)) for name in ("test", "train")]
    table = ImageTable(
        names=tuple(
            f"{name}/{one}" for name, part in zip(("test", "train"), parts, strict=True) for one in part.names
        ),
        paths=tuple(path for part in parts for path in part.paths),
        labels=np.concatenate([part.labels for part in parts]),
        classes=parts[0].classes,
    )
    folds = np.repeat([0, 1], [len(part) for part in parts]).astype(np.int64)
    order = sorted(range(len(table)), key=table.names.__getitem__)
    labels = label_names(table)
    manifest = SplitManifest(
        names=tuple(table.names[i] for i in order),
        labels=tuple(labels[i] for i in order),
        sha256=("",) * len(table),
        folds=folds[order],
        groups=np.arange(len(table)),
        kinds=("",) * len(table),
        classes=table.classes,
        multi_label=False,
        k=2,
        seed=0,
    )
    short_px = short_side_px(config.input)
    cache = open_cache(table, cache_folder(config.data), short_px)
    return Experiment(config, table, manifest, folds, cache, short_px)


def train_plain(folder: Path) -> dict[str, Any]:
    """The same network in a plain timm pipeline: (CPU s, accuracy) after each epoch until one is good
    enough."""
    import torch
    from timm.data import create_dataset, create_loader  # pyright: ignore[reportPrivateImportUsage]
    from timm.optim import create_optimizer_v2  # pyright: ignore[reportPrivateImportUsage]
    from timm.scheduler import CosineLRScheduler  # pyright: ignore[reportPrivateImportUsage]

    from imcls.model.build import build_classifier
    from imcls.model.small_net import SMALL_MEAN, SMALL_STD

    torch.manual_seed(0)
    model = build_classifier(recipe(folder).model, 10, image_px=32)
    model.backbone.requires_grad_(True)
    shared: dict[str, Any] = {
        "input_size": (3, 32, 32),
        "mean": SMALL_MEAN,
        "std": SMALL_STD,
        "num_workers": 0,
        "use_prefetcher": False,
        "device": torch.device("cpu"),
        "persistent_workers": False,
        "pin_memory": False,
    }
    learned: Any = create_dataset("", root=str(folder / "train"), split="train", is_training=True)
    augment = {"scale": (0.7, 1.0), "hflip": 0.5, "color_jitter": None, "interpolation": "bilinear"}
    batches = create_loader(learned, batch_size=PLAIN_BATCH, is_training=True, **augment, **shared)
    held: Any = create_dataset("", root=str(folder / "test"), split="test", is_training=False)
    views = create_loader(held, batch_size=500, is_training=False, crop_pct=1.0, **shared)
    optimizer = create_optimizer_v2(model, opt="nesterov", lr=PLAIN_LR, momentum=0.9, weight_decay=5e-4)
    schedule = CosineLRScheduler(
        optimizer, PLAIN_EPOCHS * len(batches), warmup_t=len(batches), t_in_epochs=False
    )
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    curve: list[tuple[float, float]] = []
    spent, step = 0.0, 0
    for epoch in range(PLAIN_EPOCHS):
        started = time.process_time()
        model.train()
        for images, labels in batches:
            schedule.step_update(step)
            loss(model(images).logits, labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        spent += time.process_time() - started
        model.eval()
        with torch.inference_mode():
            right = sum(int((model(x).logits.argmax(1) == y).sum()) for x, y in views)
        curve.append((spent, right / len(held)))
        print(f"plain timm, epoch {epoch + 1}: {curve[-1][0]:.0f} CPU s, {curve[-1][1]:.4f}", flush=True)
        if curve[-1][1] >= ENOUGH:
            break
    return {"curve": curve}
