"""The jobs of an ablation on frozen features: neck and head trained anew for each fold, seconds a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from imcls.ablation.compare import RunOne
from imcls.ablation.head_training import head_out_of_fold
from imcls.config import ImclsConfig
from imcls.data.cache import ImageCache
from imcls.data.table import ImageTable
from imcls.frozen.features import View, features
from imcls.model.build import build_classifier
from imcls.predictions import Predictions
from suite.config import dump, load_config
from suite.errors import BadInput
from suite.files import atomic_write

Load = Callable[[Sequence[str]], ImclsConfig]
"""Overrides -> the experiment with them; ConfigError where they do not fit."""


def overrides_of(base: ImclsConfig, folder: Path) -> Load:
    """Overrides on top of ``base``, which is kept as ``folder``/base.yaml."""
    path = folder / "base.yaml"
    with atomic_write(path, "w") as stream:
        stream.write(dump(base))
    return lambda overrides: load_config(ImclsConfig, path, overrides).config


def frozen_runs(
    base: ImclsConfig,
    load: Load,
    table: ImageTable,
    cache: ImageCache,
    folds: np.ndarray,
    folder: Path | None,
) -> RunOne:
    """Jobs that train neck and head on the features of ``base``'s frozen backbone, plain and mirrored.

    What a variant may change are loss, mix, sampling, training, the neck behind the pooling, the head and
    horizontal flips; BadInput, naming the section, for anything else that the features depend on.
    """
    model = build_classifier(
        base.model, len(table.classes), image_px=base.input.image_px, allow_code=base.allow_code
    )
    model.requires_grad_(False).eval()
    plain, mirrored = features(model, cache, table, base, folder, [View(), View(mirrored=True)])
    kept = cache.kept
    part = table.subset(kept)
    nothing = np.zeros((len(part), len(part.classes)), np.float32)
    known = Predictions(part.names, part.classes, nothing, part.labels, folds[kept], part.multi_label)

    def run_one(overrides: Sequence[str], seed: int, place: Path) -> Predictions:
        config = load(overrides)
        _refuse_other_features(base, config)
        return head_out_of_fold(np.asarray(plain)[kept], np.asarray(mirrored)[kept], known, config, seed)

    return run_one


def _refuse_other_features(base: ImclsConfig, config: ImclsConfig) -> None:
    parts = {
        "data": (base.data, config.data),
        "model.backbone": (base.model.backbone, config.model.backbone),
        "model.neck.pooling": (base.model.neck.pooling, config.model.neck.pooling),
        "input.image_px": (base.input.image_px, config.input.image_px),
        "input.crop_share": (base.input.crop_share, config.input.crop_share),
        "input.fit": (base.input.fit, config.input.fit),
        "evaluation.tta.crops": (base.evaluation.tta.crops, config.evaluation.tta.crops),
        "evaluation.tta.scales": (base.evaluation.tta.scales, config.evaluation.tta.scales),
    }
    for name, (before, after) in parts.items():
        if before != after:
            raise BadInput("frozen features cannot vary this", where=name, hint="set mode=finetune")
