"""One member: a classifier trained on all folds but one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imcls.config import TtaOptions
from imcls.data.batches import Batch, TrainBatches
from imcls.data.evaluation_batches import eval_batches
from imcls.data.normalise import normalise
from imcls.experiment import Experiment
from imcls.judging import judge
from imcls.loss.build import build_loss
from imcls.loss.mixing import Mix
from imcls.member import Member, card_of
from imcls.metrics.multilabel import average_precision
from imcls.metrics.summary import accuracy
from imcls.model.build import build_classifier
from imcls.model.classifier import Classifier, new_parameters, parameter_depths
from imcls.model.options import MultiLabelHead
from suite.engine.distributed import rank_and_world
from suite.engine.loop import Trained, fit
from suite.errors import BadInput

_START_IMAGES = 1024
"""Images that a start which depends on data looks at."""


def train_member(
    experiment: Experiment, fold: int, folder: Path, resume: bool = False
) -> tuple[Member, Trained]:
    """Train on what ``fold`` does not hold; checkpoints and logs go to ``folder``.

    Raises what :func:`suite.engine.loop.fit` raises, and BadInput for parts that do not fit each other.
    """
    config, table = experiment.config, experiment.table
    rows = experiment.learned_from(fold)
    torch.manual_seed(config.train.seed)
    model = build_classifier(
        config.model, len(table.classes), image_px=config.input.image_px, allow_code=config.allow_code
    )
    if table.multi_label != isinstance(config.model.head, MultiLabelHead):
        kind = "several labels an image" if table.multi_label else "one label an image"
        raise BadInput(
            f"does not fit data with {kind}",
            where=f"model.head.type={config.model.head.type}",
            hint="use multi_label" if table.multi_label else "use linear, cosine or arcface",
        )
    if model.backbone.starts_from_images:
        model.backbone.start_from(_first_images(experiment, rows, model))
    card = card_of(model, config, table.classes, fold=fold, short_px=experiment.short_px)
    mix = Mix(config.mix, len(table.classes))
    criterion = build_loss(config.loss, table.subset(rows).class_counts(), table.multi_label, mixed=mix.on)
    if config.train.accelerator != "cpu" and torch.cuda.is_available():
        criterion.to("cuda")
    seed = config.train.seed

    def loss(net: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        images = normalise(batch.images, model.mean, model.std)
        targets: Tensor = batch.targets
        if mix.on:
            images, targets = mix(images, targets, batch.progress, (seed, batch.epoch, batch.number))
        return criterion(net(images, targets if targets.ndim == 1 else None), targets)

    every, last = config.evaluation.every_epochs, config.train.epochs - 1

    def evaluate(net: nn.Module, epoch: int) -> dict[str, float]:
        if not every or ((epoch + 1) % every and epoch != last):
            return {}
        assert isinstance(net, Classifier)
        found = judge(
            Member(net, card), table, experiment.cache, experiment.held_out(fold), config, TtaOptions()
        )
        if table.multi_label:
            return {"mean_average_precision": float(np.nanmean(average_precision(found)))}
        return {"accuracy": accuracy(found)}

    rank, world = rank_and_world()
    batches = TrainBatches(
        experiment.cache, table, rows, config.input, seed, config.train.epochs, rank, world
    )
    watch, better = ("loss", "lower") if every != 1 else (_watched(table.multi_label), "higher")
    trained = fit(
        model,
        loss,
        batches,
        config.train,
        folder,
        evaluate=evaluate,
        layers=parameter_depths(model),
        new=new_parameters(model),
        watch=watch,
        better=better,
        resume=resume,
        describe=f"Training, fold {fold} held out",
        identity=_identity(experiment, fold),
    )
    model = model.to("cpu").to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    return Member(model.eval(), card), trained


def _watched(multi_label: bool) -> str:
    return "mean_average_precision" if multi_label else "accuracy"


def _first_images(experiment: Experiment, rows: np.ndarray, model: Classifier) -> Tensor:
    """Normalised images, evenly over ``rows``, as evaluation would show them."""
    config = experiment.config
    some = rows[np.unique(np.linspace(0, len(rows) - 1, min(_START_IMAGES, len(rows))).astype(int))]
    found = eval_batches(experiment.cache, some, config.input, config.input.image_px, 256)
    return torch.cat([normalise(squares, model.mean, model.std) for squares, _ in found])


def _identity(experiment: Experiment, fold: int) -> str:
    """Of what a checkpoint belongs to: everything that the weights depend on."""
    config = experiment.config.model_dump(mode="json")
    kept = {key: config[key] for key in ("mode", "input", "model", "loss", "mix", "train")}
    for free in ("log_steps", "tensorboard", "checkpoint_s", "checkpoint_steps"):
        kept["train"].pop(free)
    manifest = experiment.manifest
    data: list[Any] = [manifest.names, manifest.labels, manifest.sha256, manifest.folds.tolist(), fold]
    return hashlib.sha256(json.dumps([kept, data], sort_keys=True).encode()).hexdigest()
