"""Batches of training pictures from several sources: a pure function of (seed, epoch, number)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from falldet.data.augment import Sample, augmented
from falldet.data.augment_options import AugmentOptions
from falldet.data.labelled import LabelledSet
from falldet.detections import FALLEN
from falldet.model.options import PixelOptions
from falldet.model.pixels import Size, normalised
from falldet.model.target import Target
from suite.data.images import read_image
from suite.errors import BadInput

_STEP_PX = 32


class Batch(NamedTuple):
    """n pictures of one size and the people in them."""

    images: Float32[Tensor, "n 3 px px"]
    sizes_px: list[Size]
    targets: list[Target]


class Pool(NamedTuple):
    """A set to draw pictures from. ``share`` is its part of each epoch, beside the other pools' shares."""

    labelled: LabelledSet
    share: float


class TrainBatches:
    """Batches of ``batch_size`` pictures, ``pictures`` an epoch, as `suite.engine` takes them.

    Pictures are drawn by the pools' shares; inside a pool each comes once before any comes twice, those with
    somebody fallen ``fallen_weight`` times as often. The canvas of a batch is drawn from ``scale_px``. Raises
    BadInput for a pool without pictures.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        pixels: PixelOptions,
        augment: AugmentOptions,
        *,
        batch_size: int,
        pictures: int,
        scale_px: tuple[int, int],
        fallen_weight: float = 1.0,
        seed: int = 0,
    ) -> None:
        for pool in pools:
            if not len(pool.labelled):
                raise BadInput("has no picture to train on", pool.labelled.name)
        self.pools, self.pixels, self.augment = pools, pixels, augment
        self.batch_size, self.pictures, self.scale_px = batch_size, pictures, scale_px
        self.fallen_weight, self.seed = fallen_weight, seed

    def __len__(self) -> int:
        return max(1, self.pictures // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches start, start + 1, ... of that epoch."""
        order = self.order(epoch)
        for number in range(start, len(self)):
            yield self.batch(order, epoch, number)

    def order(self, epoch: int) -> Int64[np.ndarray, "k 2"]:
        """(pool, picture) for every place of the epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        count = len(self) * self.batch_size
        shares = np.array([pool.share for pool in self.pools])
        pools = rng.permutation(_apportioned(shares / shares.sum(), count))
        order = np.empty((count, 2), np.int64)
        order[:, 0] = pools
        for k, pool in enumerate(self.pools):
            weights = [
                self.fallen_weight if FALLEN in image.labels else 1.0 for image in pool.labelled.images
            ]
            order[pools == k, 1] = _drawn(np.array(weights), int((pools == k).sum()), rng)
        return order

    def batch(self, order: Int64[np.ndarray, "k 2"], epoch: int, number: int) -> Batch:
        """One batch, prepared here and now."""
        rng = np.random.default_rng([self.seed, epoch, number, 1])
        low, high = self.scale_px
        canvas_px = _STEP_PX * int(rng.integers(low // _STEP_PX, high // _STEP_PX + 1))
        samples = []
        for place in range(number * self.batch_size, (number + 1) * self.batch_size):
            rng = np.random.default_rng([self.seed, epoch, place, 2])
            others = rng.integers(len(order), size=3) if rng.random() < self.augment.mosaic else ()
            drawn = [self._sample(*order[k].tolist()) for k in (place, *others)]
            samples.append(augmented(drawn, canvas_px, self.augment, rng))
        images = normalised(np.stack([sample.rgb for sample in samples]), self.pixels)
        targets = [
            Target(torch.from_numpy(sample.boxes_px), torch.from_numpy(sample.labels)) for sample in samples
        ]
        return Batch(images, [(canvas_px, canvas_px)] * len(samples), targets)

    def _sample(self, pool: int, picture: int) -> Sample:
        image = self.pools[pool].labelled.images[picture]
        return Sample(read_image(image.path), image.boxes_px, image.labels)


def _apportioned(shares: np.ndarray, count: int) -> Int64[np.ndarray, " count"]:
    """Pools in proportion, rounded such that all places are taken."""
    edges = np.round(np.cumsum(shares) * count).astype(np.int64)
    return np.repeat(np.arange(len(shares)), np.diff(edges, prepend=0))


def _drawn(weights: np.ndarray, count: int, rng: np.random.Generator) -> Int64[np.ndarray, " count"]:
    """Places in proportion to their weights, as evenly as whole numbers allow, in random order."""
    expected = weights / weights.sum() * count
    times = np.floor(expected).astype(np.int64)
    left = count - int(times.sum())
    if left:
        rest = expected - times
        times[rng.choice(len(weights), left, replace=False, p=rest / rest.sum())] += 1
    return rng.permutation(np.repeat(np.arange(len(weights)), times))
