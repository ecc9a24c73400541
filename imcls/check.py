"""An experiment tried out in seconds: files looked at, the model built, a few real batches trained on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from imcls.config import ImclsConfig
from imcls.data.batches import Batch, TrainBatches
from imcls.data.cache import open_cache
from imcls.data.fit import short_side_px
from imcls.data.normalise import normalise
from imcls.data.sources import read_table
from imcls.data.table import ImageTable
from imcls.loss.build import ImclsLoss, build_loss
from imcls.loss.mixing import Mix
from imcls.model.build import build_classifier
from imcls.model.classifier import Classifier
from suite.errors import BadInput, ConfigError
from suite.progress import status
from suite.report.table import Table

FEW = 10
"""Images of a class below which it is called out."""
_MOST_LINES = 20
_STEPS = 3


@dataclass(frozen=True)
class Checked:
    """What was found, as a table for a person, and what may be wrong though it can be trained."""

    table: Table
    warnings: tuple[str, ...]


def check_experiment(config: ImclsConfig) -> Checked:
    """Read the table, look for every file, train two batches and estimate the time of it all.

    Raises ConfigError with a line for each file that is missing or empty, BadInput for what else would
    end the training.
    """
    table = read_table(config.data.source, config.data.classes)
    test = None if config.data.test is None else read_table(config.data.test, table.classes)
    for one in (table, test):
        if one is not None:
            _look_for_files(one)
    with status("Building the model"):
        model = build_classifier(
            config.model, len(table.classes), image_px=config.input.image_px, allow_code=config.allow_code
        )
    mix = Mix(config.mix, len(table.classes))
    loss = build_loss(config.loss, table.class_counts(), table.multi_label, mixed=mix.on)
    tried = _try(model, loss, mix, table, config)
    split, folds = config.data.split, config.data.split.folds
    members = folds if split.use == "all" else len(split.use)
    learned = len(table) * (folds - 1) // folds
    batches = max(1, learned // config.input.batch_size)
    training_s = members * config.train.epochs * batches * tried.step_s
    parameters = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    counts = table.class_counts()
    rows = [
        ["images", f"{len(table)} in {len(table.classes)} classes, {counts.min()} to {counts.max()} of each"],
        ["held back for the test", "none" if test is None else str(len(test))],
        ["members", f"{members} of {folds} folds, each learns from {learned} images"],
        [
            "model",
            f"{config.model.backbone.type}, {parameters / 1e6:.2f} M parameters, "
            f"{trained / 1e6:.2f} M of them trained",
        ],
        ["loss of an untrained batch", f"{tried.loss:.3f}"],
        [
            "step",
            f"{config.input.batch_size} images of {config.input.image_px} px in {1e3 * tried.step_s:.0f} ms",
        ],
        [
            "training",
            f"{config.train.epochs} epochs of {batches} steps: about {_duration(training_s)} on this machine",
        ],
    ]
    return Checked(Table(["what", "found"], rows, caption=config.name), tuple(_warnings(table, config)))


@dataclass(frozen=True)
class _Tried:
    loss: float
    step_s: float


def _try(model: Classifier, loss: ImclsLoss, mix: Mix, table: ImageTable, config: ImclsConfig) -> _Tried:
    """Forward and backward on real images, prepared as the training prepares them; the best time of a few."""
    known = np.arange(len(table)) if table.multi_label else np.flatnonzero(table.labels >= 0)
    few = known[np.unique(np.linspace(0, len(known) - 1, config.input.batch_size).astype(int))]
    part = table.subset(few)
    cache = open_cache(part, None, short_side_px(config.input), config.data.unreadable)
    options = config.input.model_copy(update={"workers": 0})
    batches = TrainBatches(cache, part, cache.kept, options, config.train.seed, config.train.epochs)
    values, times = [], []
    with status("Trying a batch"):
        for _ in range(_STEPS):
            started = time.perf_counter()
            values.append(_step(model.train(), loss, mix, batches.batch(0, 0)))
            times.append(time.perf_counter() - started)
    if not np.isfinite(values).all():
        raise BadInput(
            "the loss of the first batch is not a number", where="loss", hint="check model.backbone.weights"
        )
    return _Tried(values[0], min(times))


def _step(model: Classifier, loss: ImclsLoss, mix: Mix, batch: Batch) -> float:
    images, targets = batch.images, batch.targets
    if mix.on:
        images, targets = mix(images, targets, 0.0, (0, 0, 0))
    hard = targets if targets.ndim == 1 else None
    output = model(normalise(images, model.mean, model.std), hard)
    value = loss(output, targets)["loss"]
    value.backward()
    model.zero_grad(set_to_none=True)
    return float(value.detach())


def _look_for_files(table: ImageTable) -> None:
    problems = []
    for path in dict.fromkeys(table.paths):
        try:
            if path.stat().st_size == 0:
                problems.append(f"{path}: is empty (0 bytes); copy or export it again")
        except OSError as error:
            problems.append(f"{path}: {(error.strerror or type(error).__name__).lower()}")
    if len(problems) > _MOST_LINES:
        more = len(problems) - _MOST_LINES
        problems = [*problems[:_MOST_LINES], f"... and {more} more files that cannot be read"]
    if problems:
        raise ConfigError(problems)


def _warnings(table: ImageTable, config: ImclsConfig) -> Iterator[str]:
    for name, count in zip(table.classes, table.class_counts(), strict=True):
        if count < FEW:
            yield f"class {name!r} has {count} images: too few to learn it well, or to judge how well"
    if not table.multi_label and (unknown := int((table.labels < 0).sum())):
        yield f"{unknown} images have no label and are not learned from"
    backbone = config.model.backbone
    if backbone.frozen_stages and backbone.weights is None:
        yield "model.backbone.frozen_stages holds random weights still: set model.backbone.weights"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
