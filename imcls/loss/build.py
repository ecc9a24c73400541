"""From the settings to the loss of a batch: the one place where a criterion is chosen."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from imcls.loss import criteria
from imcls.loss.options import (
    Asymmetric,
    BalancedSoftmax,
    BinaryCrossEntropy,
    CrossEntropy,
    Focal,
    Ldam,
    LossOptions,
)
from imcls.loss.targets import class_shares, class_weights, smooth, smooth_yes_or_no, weighted
from imcls.loss.triplet import NO_IDENTITY, batch_hard
from suite.errors import BadInput

_KEY = "loss.criterion"
_ONE_LABEL = {CrossEntropy: "cross_entropy", Ldam: "ldam", BalancedSoftmax: "balanced_softmax"}


@runtime_checkable
class Judged(Protocol):
    """What a loss needs of a model's output: logits (n, k), features (n, d), thresholds (n, 1) or None."""

    @property
    def logits(self) -> Tensor: ...
    @property
    def features(self) -> Tensor: ...
    @property
    def thresholds(self) -> Tensor | None: ...


def build_loss(
    options: LossOptions, class_counts: np.ndarray, multi_label: bool, *, mixed: bool = False
) -> ImclsLoss:
    """The loss of an experiment; ``class_counts`` (k,) are of the training images.

    ``mixed`` says whether mixup or cutmix are on. BadInput, naming the key, for a criterion that does not fit
    the labels, class weights that do not fit the classes, or a triplet loss without identities.
    """
    name = _ONE_LABEL.get(type(options.criterion))
    if multi_label and name is not None:
        raise BadInput(
            f"{name} is for one label an image, but these images may have several",
            where=f"{_KEY}.type",
            hint="use bce, focal or asymmetric",
        )
    if options.triplet is not None and (multi_label or mixed):
        why = "images with several labels" if multi_label else "mixed images"
        hint = "remove it" if multi_label else "remove it, or set mix.mixup and mix.cutmix to 0"
        raise BadInput(f"{why} have no one class to be near to", where="loss.triplet", hint=hint)
    return ImclsLoss(options, np.asarray(class_counts), multi_label)


class ImclsLoss(nn.Module):
    """Criterion, triplet and threshold of a batch, and their sum. What depends on the training images alone
    (weights, margins, prior) is computed once and moves with the module."""

    weights: Tensor | None
    margins: Tensor | None
    log_prior: Tensor | None

    def __init__(self, options: LossOptions, class_counts: np.ndarray, multi_label: bool) -> None:
        super().__init__()
        self.options = options
        self.multi_label = multi_label
        criterion, counts = options.criterion, torch.tensor(class_counts, dtype=torch.float32)
        weights = None
        if not isinstance(criterion, Asymmetric | BalancedSoftmax):
            weights = class_weights(criterion.class_weights, class_counts, f"{_KEY}.class_weights")
        margins = log_prior = None
        if isinstance(criterion, Ldam):
            margins = criteria.ldam_margins(counts, criterion.largest_margin, criterion.scale)
        if isinstance(criterion, BalancedSoftmax):
            log_prior = (counts.clamp_min(1) / counts.clamp_min(1).sum()).log()
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("margins", margins, persistent=False)
        self.register_buffer("log_prior", log_prior, persistent=False)

    def forward(self, output: Judged, targets: Tensor) -> dict[str, Tensor]:
        """`loss`, the sum, to be minimised, and its parts: `criterion`, where there are any `triplet` and
        `threshold`.

        ``targets`` (n,) int64, or (n, k) float: soft shares that sum to 1, or multi-hot.
        """
        logits = _full_precision(output.logits)
        shares = class_shares(targets, logits.shape[1]).to(logits.dtype)
        parts = {"criterion": self.criterion(logits, shares)}
        total = parts["criterion"]
        if self.options.triplet is not None:
            features = _full_precision(output.features)
            parts["triplet"] = batch_hard(features, _identities(targets), self.options.triplet.margin)
            total = total + self.options.triplet.weight * parts["triplet"]
        if output.thresholds is not None:
            parts["threshold"] = threshold_loss(logits, _full_precision(output.thresholds), shares)
            total = total + parts["threshold"]
        return {"loss": total, **parts}

    def criterion(self, z: Tensor, t: Tensor) -> Tensor:
        """The chosen criterion of logits (n, k) and shares (n, k)."""
        w = self.weights
        match self.options.criterion:
            case CrossEntropy(smoothing=smoothing, smoothing_mode=mode):
                return criteria.cross_entropy(z, smooth(weighted(t, w), smoothing, mode))
            case Focal(gamma=gamma):
                return (
                    criteria.binary_focal(z, t, gamma, w)
                    if self.multi_label
                    else criteria.focal(z, t, gamma, w)
                )
            case BinaryCrossEntropy(smoothing=smoothing):
                softened = smooth_yes_or_no(t, smoothing) if self.multi_label else smooth(t, smoothing)
                return criteria.binary_cross_entropy(z, softened, w)
            case Asymmetric(gamma_positive=positive, gamma_negative=negative, clip=clip):
                return criteria.asymmetric(z, t, positive, negative, clip)
            case Ldam():
                assert self.margins is not None
                return criteria.ldam(z, t, self.margins, w)
            case BalancedSoftmax(smoothing=smoothing):
                assert self.log_prior is not None
                return criteria.balanced_softmax(z, smooth(t, smoothing), self.log_prior)


def threshold_loss(logits: Tensor, thresholds: Tensor, shares: Tensor) -> Tensor:
    """Cross entropy of "logit above the image's threshold" (Li et al. 2017, Improving pairwise ranking for
    multi-label image classification).

    The logits are detached: they are what the criterion makes of them, and the threshold, which alone gets a
    gradient, settles where among them the yes begins. Otherwise the two would only move together.
    """
    return binary_cross_entropy_with_logits(logits.detach() - thresholds, shares)


def _full_precision(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _identities(targets: Tensor) -> Tensor:
    """The class of each image, (n,) int64; NO_IDENTITY for a mixture."""
    if targets.ndim == 1:
        return targets
    share, label = targets.max(dim=1)
    return torch.where(share > 1 - 1e-6, label, NO_IDENTITY)
