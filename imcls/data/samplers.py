"""Which images an epoch holds, and in which order: pure functions of labels, seed and epoch."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from imcls.data.options import Balanced, Pk, Sampling, Shuffle
from suite.engine.order import epoch_generator, epoch_order
from suite.errors import BadInput

_STREAM = 0x5A3D  # apart from other draws of the same seed and epoch


def sample_order(
    labels: np.ndarray, sampling: Sampling, seed: int, epoch: int, batch_size: int
) -> Int64[np.ndarray, " m"]:
    """Positions in ``labels`` ((n,) int64 or (n, k) multi-hot) in the order of an epoch; consecutive
    ``batch_size`` of them are a batch.

    Raises BadInput where the sampling asks for what the labels do not have.
    """
    if isinstance(sampling, Shuffle):
        return epoch_order(len(labels), seed, epoch)
    random = epoch_generator(seed, epoch, _STREAM)
    if isinstance(sampling, Balanced):
        return _balanced(labels, sampling.power, random)
    if batch_size != sampling.p * sampling.k:
        raise ValueError(f"a batch of {batch_size} is not {sampling.p} classes of {sampling.k} images")
    return _classes_of_images(labels, sampling, random)


def occurrences(order: Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
    """How often each position came earlier in the order: 0 at its first time."""
    sort = np.argsort(order, kind="stable")
    ordered = order[sort]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    earlier = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    counted = np.empty(len(order), np.int64)
    counted[sort] = earlier
    return counted


def _balanced(labels: np.ndarray, power: float | int, random: np.random.Generator) -> np.ndarray:
    """n positions, each image as often as its class is rare: expected counts, rounded up or down by one
    systematic draw, so that no image comes more than once above its share."""
    share = _rarity(labels) ** float(power)
    order = random.permutation(len(labels))
    reach = np.cumsum(share[order])
    reach *= len(labels) / reach[-1]
    reach[-1] = len(labels)
    upto = np.floor(reach + random.random() - 1e-12).astype(np.int64)
    upto[-1] = len(labels)
    times = np.diff(upto, prepend=0)
    return random.permutation(np.repeat(order, times))


def _rarity(labels: np.ndarray) -> np.ndarray:
    """One over the number of images of the class; of the rarest class where there are several, and of no
    class as of a class of its own."""
    if labels.ndim == 1:
        return 1.0 / np.bincount(labels)[labels]
    counts = labels.sum(axis=0, dtype=np.int64)
    rarest = np.where(labels > 0, counts, len(labels) + 1).min(axis=1)
    return 1.0 / np.where(labels.any(axis=1), rarest, max(1, int((~labels.any(axis=1)).sum())))


def _classes_of_images(labels: np.ndarray, sampling: Pk, random: np.random.Generator) -> np.ndarray:
    if labels.ndim != 1:
        raise BadInput(
            "images with several labels cannot be drawn by class",
            where="input.sampling",
            hint="use balanced or shuffle",
        )
    classes = np.unique(labels)
    if len(classes) < sampling.p:
        raise BadInput(
            f"batches of {sampling.p} classes, but the training images have {len(classes)}",
            where="input.sampling.p",
            hint=f"use p: {len(classes)} or fewer",
        )
    members = {c: np.flatnonzero(labels == c) for c in classes}
    queues = {c: np.zeros(0, np.int64) for c in classes}
    order = []
    for _ in range(max(1, len(labels) // (sampling.p * sampling.k))):
        for c in random.choice(classes, sampling.p, replace=False):
            if len(members[c]) < sampling.k:
                order.append(random.choice(members[c], sampling.k, replace=True))
                continue
            if len(queues[c]) < sampling.k:
                queues[c] = random.permutation(members[c])
            order.append(queues[c][: sampling.k])
            queues[c] = queues[c][sampling.k :]
    return np.concatenate(order)
