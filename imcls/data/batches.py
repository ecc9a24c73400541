"""Batches of training images: a pure function of (seed, epoch, number), whoever prepares them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8

from imcls.data.cache import ImageCache
from imcls.data.draws import Draws
from imcls.data.options import InputOptions, Pk
from imcls.data.samplers import occurrences, sample_order
from imcls.data.table import ImageTable
from imcls.data.transforms import augment
from imcls.data.transforms_policy import draws_from_torch
from suite.ahead import ahead
from suite.engine.order import rank_slice
from suite.errors import BadInput

_AHEAD = 2


class Batch(NamedTuple):
    """n images as training sees them.

    ``images`` are uint8 (n, 3, px, px), in channels_last memory. ``targets`` are (n,) int64 or (n, k)
    float32, ``index`` the places in the table. ``progress`` is the share of the training before this batch.
    """

    images: UInt8[torch.Tensor, "n 3 px px"]
    targets: torch.Tensor
    index: Int64[torch.Tensor, " n"]  # pyright: ignore[reportIncompatibleMethodOverride]
    progress: float
    epoch: int
    number: int


class TrainBatches:
    """The batches of a training over the images at ``indices`` of the table, as `suite.engine` takes them.

    ``batch_size`` of the options counts the images of all processes together; process ``rank`` of ``world``
    prepares its share, such that all shares are the batch that one process would have. An incomplete batch
    at the end of an epoch is left out, unless it is the only one.
    Raises BadInput for images without a label.
    """

    def __init__(
        self,
        cache: ImageCache,
        table: ImageTable,
        indices: np.ndarray,
        options: InputOptions,
        seed: int,
        epochs: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.cache, self.options = cache, options
        self.indices = np.asarray(indices, np.int64)
        self.labels = table.labels[self.indices]
        self.seed, self.epochs, self.rank, self.world = seed, epochs, rank, world
        _check(self.labels, [table.names[i] for i in self.indices])
        small = not isinstance(options.sampling, Pk) and len(self.indices) < options.batch_size
        self.batch_size = len(self.indices) if small else options.batch_size
        self._order: tuple[int, np.ndarray, np.ndarray] | None = None
        self._workers: _Workers | None = None

    def __len__(self) -> int:
        return max(1, len(self.indices) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches start, start + 1, ... of that epoch."""
        numbers = [(epoch, number) for number in range(start, len(self))]
        if self.options.workers:
            self._workers = self._workers or _Workers(self)
            return self._workers.prepare(numbers)
        here = (self.batch(*number) for number in numbers)
        return here if draws_from_torch(self.options.augment.transforms) else ahead(here, _AHEAD)

    def image_px(self, progress: float) -> int:
        """Side of the images when that share of the training has passed."""
        px = self.options.image_px
        for step in self.options.progressive:
            if step.start <= progress:
                px = step.image_px
        return px

    def batch(self, epoch: int, number: int) -> Batch:
        """One batch, prepared here and now."""
        order, times = self._epoch_order(epoch)
        whole = slice(number * self.batch_size, (number + 1) * self.batch_size)
        chosen = rank_slice(order[whole], self.rank, self.world)
        index = self.indices[chosen]
        progress = (epoch * len(self) + number) / (self.epochs * len(self))
        # An image that comes several times in an epoch looks different each time.
        draws = Draws(self.seed, epoch, index + (rank_slice(times[whole], self.rank, self.world) << 40))
        squares = augment(self.cache.images(index), self.options, self.image_px(progress), draws)
        labels = torch.from_numpy(self.labels[chosen])
        return Batch(
            images=torch.from_numpy(squares).permute(0, 3, 1, 2),
            targets=labels if labels.ndim == 1 else labels.to(torch.float32),
            index=torch.from_numpy(index),
            progress=progress,
            epoch=epoch,
            number=number,
        )

    def _epoch_order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the epoch, and how often each came before."""
        known = self._order
        if known is None or known[0] != epoch:
            options = self.options
            order = sample_order(self.labels, options.sampling, self.seed, epoch, self.batch_size)
            known = self._order = (epoch, order, occurrences(order))
        return known[1:]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_workers": None}


class _Workers:
    """Processes that stay over the epochs and prepare the batches they are told to."""

    def __init__(self, batches: TrainBatches) -> None:
        from torch.utils.data import DataLoader

        self.numbers: list[tuple[int, int]] = []
        self.loader: Any = DataLoader(
            _Numbered(batches),
            batch_size=None,
            sampler=self,  # type: ignore[arg-type]  # any iterable will do
            num_workers=batches.options.workers,
            persistent_workers=True,
            prefetch_factor=2,
            generator=torch.Generator(),  # else the loader would draw a seed from the model's generator
        )

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def prepare(self, numbers: list[tuple[int, int]]) -> Iterator[Batch]:
        """The batches of these (epoch, number), in order."""
        self.numbers = numbers
        return iter(self.loader)


class _Numbered(torch.utils.data.Dataset):
    """Batches by (epoch, number), in the shape that torch's loader asks for."""

    def __init__(self, batches: TrainBatches) -> None:
        self.batches = batches

    def __getitem__(self, number: tuple[int, int]) -> Batch:
        return self.batches.batch(*number)


def _check(labels: np.ndarray, names: list[str]) -> None:
    if not len(labels):
        raise BadInput("no images to train on", hint="use fewer folds or more images")
    if labels.ndim == 1 and labels.min() < 0:
        raise BadInput("has no label, and cannot be trained on", where=names[int(labels.argmin())])
