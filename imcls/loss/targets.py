"""Targets as shares of classes, and what a class weighs.

Every criterion takes targets t (n, k) float: one-hot, mixed, or multi-hot. All but the margin of LDAM are
linear in t, so that a mixed image costs what its parts cost, in their shares.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from imcls.loss.options import ClassWeights
from suite.errors import BadInput

EFFECTIVE_BETA = 0.999  # beyond a thousand images or so, more of a class adds little (Cui et al. 2019)


def class_shares(targets: Tensor, classes: int) -> Float[Tensor, "n k"]:
    """One-hot (n, k) float32 of class indices (n,) int64; multi-hot (n, k) as float32; shares as they are."""
    shares = targets if targets.ndim == 2 else one_hot(targets, classes)
    return shares if shares.is_floating_point() else shares.float()


def smooth(
    shares: Float[Tensor, "n k"], smoothing: float | int, mode: Literal["uniform", "others"] = "uniform"
) -> Float[Tensor, "n k"]:
    """A part ``smoothing`` of each row given away; the row keeps its sum.

    `uniform`: to all k classes alike (Szegedy et al. 2016, section 7). `others`: to the k - 1 others, so that
    the true class keeps exactly 1 - smoothing.
    """
    total = shares.sum(dim=1, keepdim=True)
    classes = shares.shape[1]
    given = total / classes if mode == "uniform" else (total - shares) / (classes - 1)
    return (1 - smoothing) * shares + smoothing * given


def smooth_yes_or_no(shares: Float[Tensor, "n k"], smoothing: float | int) -> Float[Tensor, "n k"]:
    """Each of k answers moved towards one half: 0 becomes smoothing / 2."""
    return (1 - smoothing) * shares + smoothing / 2


def class_weights(which: ClassWeights, counts: np.ndarray, key: str) -> Tensor | None:
    """Weight of each class, (k,) float32, or None where all weigh the same.

    `balanced` is 1 / n_j; `effective` is (1 - b) / (1 - b^n_j) with b = 0.999 (Cui et al. 2019, eq. 4). All
    are scaled so that their mean over the labels of the training images is 1, which leaves the learning rate
    its meaning. A class without an image counts as one with one. BadInput, naming ``key``, for a wrong number
    of them.
    """
    seen = np.maximum(np.asarray(counts, np.float64), 1.0)
    if which == "none":
        return None
    if which == "balanced":
        weights = 1 / seen
    elif which == "effective":
        weights = -1 / np.expm1(seen * np.log(EFFECTIVE_BETA))
    elif len(which) != len(seen):
        raise BadInput(
            f"{len(which)} class weights for {len(seen)} classes",
            where=key,
            hint="give one number for each class, in their order, or `balanced`",
        )
    else:
        weights = np.array(which, np.float64)
    return torch.tensor(weights * seen.sum() / (weights * seen).sum(), dtype=torch.float32)


def weighted(shares: Float[Tensor, "n k"], weights: Float[Tensor, " k"] | None) -> Float[Tensor, "n k"]:
    """Each class's share times its weight."""
    return shares if weights is None else shares * weights.to(shares)
