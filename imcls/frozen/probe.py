"""Frozen-feature mode: a linear classifier for each fold, in seconds, on features that are computed once.

Nothing of a validation fold is used for its own predictions: standardisation, weights and the choice of the
penalty come from the other folds, and the penalty is chosen by leaving out each of those in turn, so that
groups and near-duplicates stay together there too.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from imcls.config import ImclsConfig
from imcls.data.cache import ImageCache
from imcls.data.table import ImageTable
from imcls.frozen.features import features
from imcls.frozen.linear_models import Axes, LinearModel, fit_lda, fit_ridge, logistic_path, one_hot
from imcls.frozen.options import ProbeOptions
from imcls.model.build import build_classifier
from imcls.model.classifier import Classifier
from imcls.model.options import LinearHead, MultiLabelHead
from imcls.predictions import Predictions
from suite.errors import BadInput
from suite.progress import track


@dataclass(frozen=True)
class ProbeResult:
    """Out-of-fold ``predictions`` of the images in the folds that were used, and what made them.

    ``models`` are the linear models by the fold that they have not seen. ``config`` is the experiment with
    the neck and head that a probe has. CPU seconds are this process's.
    """

    predictions: Predictions
    models: dict[int, LinearModel]
    classifier: Classifier
    config: ImclsConfig
    features_cpu_s: float
    fit_cpu_s: float

    def member(self, fold: int) -> Classifier:
        """The whole classifier for images like those of ``fold``: the frozen part and the probe as its
        head."""
        return with_head(self.classifier, self.models[fold])


def probe_run(
    config: ImclsConfig,
    table: ImageTable,
    cache: ImageCache,
    folds: np.ndarray,
    folder: Path | None = None,
) -> ProbeResult:
    """Features of all images, then a probe for each fold of ``config.data.split.use``.

    ``folds`` (n,) int64 are the table's; ``folder`` keeps features between runs. Raises BadInput for a fold
    that does not exist and for an image without a label, SuiteError for features that are not finite.
    """
    started = time.process_time()
    config = frozen_config(config, table.multi_label)
    model = build_classifier(
        config.model, len(table.classes), image_px=config.input.image_px, allow_code=config.allow_code
    )
    model.requires_grad_(False).eval()
    views = features(model, cache, table, config, folder)
    seen = time.process_time()
    kept = cache.kept
    logits, models = probe(
        [np.asarray(view)[kept] for view in views],
        table.labels[kept],
        folds[kept],
        config.probe,
        len(table.classes),
        config.data.split.use,
    )
    judged = np.isin(folds[kept], list(models))
    part = table.subset(kept[judged])
    predictions = Predictions(
        part.names, part.classes, logits[judged], part.labels, folds[kept][judged], table.multi_label
    )
    return ProbeResult(predictions, models, model, config, seen - started, time.process_time() - seen)


def probe(
    views: Sequence[np.ndarray],
    labels: np.ndarray,
    folds: np.ndarray,
    options: ProbeOptions,
    classes: int,
    use: Sequence[int] | str = "all",
) -> tuple[np.ndarray, dict[int, LinearModel]]:
    """Out-of-fold logits (n, k) float32, NaN outside the folds that are used, and the model of each fold.

    ``views`` are (n, d) features of the same images; a probe learns from all and its logits are averaged over
    them.
    """
    numbers = np.unique(folds)
    chosen = [int(fold) for fold in (numbers if isinstance(use, str) else use)]
    for fold in chosen:
        if fold not in numbers:
            raise BadInput(f"there is no fold {fold}", hint=f"folds are {numbers.min()} to {numbers.max()}")
    if labels.ndim == 1 and (labels < 0).any():
        raise BadInput("an image has no label", hint="leave it out of what is learned from")
    logits = np.full((len(labels), classes), np.nan, np.float32)
    models: dict[int, LinearModel] = {}
    for fold in track(chosen, "Linear probes"):
        inside = folds == fold
        models[fold] = fit_probe(
            [v[~inside] for v in views], labels[~inside], folds[~inside], options, classes
        )
        logits[inside] = np.mean([models[fold].logits(view[inside]) for view in views], axis=0)
    return logits, models


def fit_probe(
    views: Sequence[np.ndarray],
    labels: np.ndarray,
    folds: np.ndarray,
    options: ProbeOptions,
    classes: int,
) -> LinearModel:
    """One probe, its penalty chosen by leaving out each of ``folds`` in turn (with one fold only, each
    half)."""
    multi_label = labels.ndim == 2
    X = np.concatenate([np.asarray(view, np.float64) for view in views])
    Y = np.tile(one_hot(labels, classes), (len(views), 1))
    if options.method == "lda":
        if multi_label:
            raise BadInput("linear discriminants know one label an image", hint="set probe.method=logistic")
        return fit_lda(X, Y)
    axes = Axes(X)
    if options.method == "ridge":
        return fit_ridge(axes, Y, options.strengths, multi_label)
    numbers = np.unique(folds)
    parts = folds if len(numbers) > 1 else _halves(labels)
    splits = [np.tile(parts == number, len(views)) for number in np.unique(parts)]
    return logistic_path(axes, Y, options.strengths, splits, multi_label)[0]


def frozen_config(config: ImclsConfig, multi_label: bool) -> ImclsConfig:
    """The experiment as a probe can do it: the backbone and its pooling, no BNNeck or dropout, a linear
    head."""
    neck = config.model.neck.model_copy(update={"bnneck": False, "dropout": 0.0})
    head = MultiLabelHead() if multi_label else LinearHead()
    return config.model_copy(update={"model": config.model.model_copy(update={"neck": neck, "head": head})})


def with_head(classifier: Classifier, linear: LinearModel) -> Classifier:
    """A copy of ``classifier``, sharing nothing, whose linear head has the weights of ``linear``."""
    model = copy.deepcopy(classifier)
    layers = [part for part in model.head.modules() if isinstance(part, nn.Linear)]
    if len(layers) != 1 or layers[0].weight.shape != linear.weight.shape or layers[0].bias is None:
        raise ValueError("a probe goes into a head of one linear layer of its own shape")
    with torch.no_grad():
        layers[0].weight.copy_(torch.from_numpy(linear.weight))
        layers[0].bias.copy_(torch.from_numpy(linear.bias))
    return model.eval()


def _halves(labels: np.ndarray) -> np.ndarray:
    """0 or 1 for each image, alternating within each class."""
    order = np.argsort(
        labels if labels.ndim == 1 else labels @ (1 << np.arange(labels.shape[1]) % 60), kind="stable"
    )
    halves = np.empty(len(labels), np.int64)
    halves[order] = np.arange(len(labels)) % 2
    return halves
