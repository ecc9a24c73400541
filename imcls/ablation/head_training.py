"""Neck and head trained on frozen features: all tricks that do not need pixels, in seconds a training.

Mixup mixes feature vectors (Verma et al. 2019, Manifold mixup, at the last layer). Mirrored features stand
for mirrored images: as augmentation each image shows one of its views at random; at evaluation logits are
averaged over the views that `evaluation.tta` asks for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from imcls.config import ImclsConfig
from imcls.data.samplers import sample_order
from imcls.loss.build import build_loss
from imcls.model.classifier import Output
from imcls.model.heads import MultiLabel, build_head
from imcls.model.necks import Neck
from imcls.predictions import Predictions
from suite.engine.loop import fit
from suite.errors import BadInput

Logits = Callable[[Sequence[np.ndarray]], np.ndarray]
"""Views of n images, (n, d) each -> logits (n, k) float32, averaged over the views."""


class FeatureBatch(NamedTuple):
    """``features`` (n, d) float32 and ``targets`` (n,) int64 or (n, k) float32."""

    features: Tensor
    targets: Tensor


class FrozenHead(nn.Module):
    """Standardisation by the training features, then neck and head as in a Classifier."""

    def __init__(self, X: Tensor, config: ImclsConfig, classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", X.mean(dim=0))
        self.register_buffer("scale", X.std(dim=0).clamp_min(1e-6))
        self.neck = Neck(config.model.neck, nn.Identity(), X.shape[1])
        self.head = build_head(config.model.head, X.shape[1], classes)

    def forward(self, features: Tensor, targets: Tensor | None = None) -> Output:
        standard = (features - self.get_buffer("mean")) / self.get_buffer("scale")
        embedding = self.neck(standard)
        thresholds = self.head.thresholds(embedding) if isinstance(self.head, MultiLabel) else None
        return Output(self.head(embedding, targets), standard, thresholds)


class FeatureBatches:
    """Batches of features, a pure function of (seed, epoch, number); incomplete ones are left out."""

    def __init__(
        self, views: Sequence[np.ndarray], labels: np.ndarray, config: ImclsConfig, classes: int, seed: int
    ) -> None:
        self.views = torch.from_numpy(np.stack([np.asarray(view, np.float32) for view in views]))
        self.labels, self.config, self.classes, self.seed = labels, config, classes, seed
        self.batch_size = min(config.input.batch_size, len(labels))

    def __len__(self) -> int:
        return max(1, len(self.labels) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[FeatureBatch]:
        size = self.batch_size
        order = sample_order(self.labels, self.config.input.sampling, self.seed, epoch, size)
        for number in range(start, len(self)):
            chosen = order[number * size : (number + 1) * size]
            random = np.random.default_rng((self.seed, epoch, number))
            view = random.integers(len(self.views), size=len(chosen))
            x = self.views[torch.from_numpy(view), torch.from_numpy(chosen)]
            progress = (epoch + number / len(self)) / self.config.train.epochs
            yield self._mixed(x, torch.from_numpy(self.labels[chosen]), progress, random)

    def _mixed(
        self, x: Tensor, targets: Tensor, progress: float, random: np.random.Generator
    ) -> FeatureBatch:
        options = self.config.mix
        targets = targets.float() if targets.ndim == 2 else targets
        if not options.mixup or progress >= options.until or random.random() >= options.probability:
            return FeatureBatch(x, targets)
        shares = targets if targets.ndim == 2 else nn.functional.one_hot(targets, self.classes).float()
        keep = float(random.beta(options.mixup, options.mixup))
        other = torch.from_numpy(random.permutation(len(x)))
        return FeatureBatch(torch.lerp(x[other], x, keep), torch.lerp(shares[other], shares, keep))


def train_head(
    views: Sequence[np.ndarray], labels: np.ndarray, config: ImclsConfig, classes: int, seed: int
) -> Logits:
    """Train neck and head of ``config`` on the ``views`` (n, d) of labelled images; a function to judge
    others with.

    Raises BadInput for cutmix, which needs pixels.
    """
    if config.mix.cutmix:
        raise BadInput("cutmix needs pixels", where="mix.cutmix", hint="frozen features know mixup only")
    torch.manual_seed(seed)
    batches = FeatureBatches(views, labels, config, classes, seed)
    model = FrozenHead(batches.views[0], config, classes)
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
    criterion = build_loss(config.loss, counts, labels.ndim == 2, mixed=config.mix.mixup > 0)

    def loss(net: nn.Module, batch: FeatureBatch) -> dict[str, Tensor]:
        return criterion(net(batch.features, batch.targets), batch.targets)

    plain = {
        "seed": seed,
        "precision": "fp32",
        "channels_last": "no",
        "accelerator": "cpu",
        "tensorboard": False,
    }
    with tempfile.TemporaryDirectory() as folder:
        options = config.train.model_copy(update=plain)
        trained = fit(model, loss, batches, options, Path(folder), describe=f"Head, seed {seed}").model

    def logits(views: Sequence[np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            said = [trained(torch.from_numpy(np.asarray(view, np.float32))).logits for view in views]
        return torch.stack(said).mean(dim=0).numpy()

    return logits


def head_out_of_fold(
    plain: np.ndarray,
    mirrored: np.ndarray | None,
    predictions: Predictions,
    config: ImclsConfig,
    seed: int,
) -> Predictions:
    """Out-of-fold predictions of heads trained on each fold's others; ``predictions`` gives names, labels and
    folds.

    Mirrored features (n, d) are learned from where they are given and there is a mirroring transform in
    `input.augment`, and judged with where `evaluation.tta.flips` names `horizontal`.
    """
    from dataclasses import replace

    from imcls.data.transform_options import Flip

    labels, folds = predictions.labels, predictions.folds
    if labels is None or folds is None:
        raise BadInput("heads need labels and folds")
    flips = any(isinstance(t, Flip) and t.direction == "horizontal" for t in config.input.augment.transforms)
    tta = "horizontal" in config.evaluation.tta.flips
    if mirrored is None and tta:
        raise BadInput("there are no mirrored features", where="evaluation.tta.flips")
    learn = [plain] if mirrored is None or not flips else [plain, mirrored]
    judge = [plain] if mirrored is None or not tta else [plain, mirrored]
    logits = np.empty_like(predictions.logits)
    for fold in np.unique(folds):
        inside = folds == fold
        head = train_head(
            [view[~inside] for view in learn], labels[~inside], config, len(predictions.classes), seed
        )
        logits[inside] = head([view[inside] for view in judge])
    return replace(predictions, logits=logits, thresholds=None)
