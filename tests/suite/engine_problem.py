"""A small problem that uses all of the engine; run as a script it trains, and can end itself on the way.

python engine_problem.py FOLDER {plain,ranks} [SIGNAL EPOCH BATCH]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from suite.engine.loop import Trained, fit
from suite.engine.options import Ema, EngineOptions, Plateau, Sgd
from suite.engine.order import epoch_generator, epoch_order, rank_slice
from suite.errors import SuiteError

SIZE, CLASSES, BATCH = 52, 3, 8


class Batch(NamedTuple):
    images: Tensor
    targets: Tensor
    epoch: int
    number: int


def images_and_targets() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(7)
    images = torch.randn(SIZE, 3, 6, 6, generator=random)
    return images, images[:, :, :2].mean(dim=(2, 3)).argmax(1)


class Batches:
    """Seven batches an epoch, the last one smaller; noise that depends on (seed, epoch, index)."""

    def __init__(self, batch: int = BATCH, noise: float = 0.1, rank: int = 0, world: int = 1) -> None:
        self.images, self.targets = images_and_targets()
        self.batch, self.noise, self.rank, self.world = batch, noise, rank, world

    def __len__(self) -> int:
        return -(-SIZE // self.batch)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        order = epoch_order(SIZE, 3, epoch)
        for number in range(start, len(self)):
            chosen = order[number * self.batch : (number + 1) * self.batch]
            index = rank_slice(chosen, self.rank, self.world)
            noise = [epoch_generator(3, epoch, int(i)).normal(0, self.noise, (3, 6, 6)) for i in index]
            images = self.images[index] + torch.tensor(np.stack(noise), dtype=torch.float32)
            yield Batch(images, self.targets[index], epoch, number)


def network(dropout: float = 0.2, norm: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8) if norm else nn.Identity(),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Flatten(),
        nn.Linear(128, CLASSES),
    )


def loss(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    value = cross_entropy(model(batch.images), batch.targets)
    return {"loss": value, "twice": 2 * value}


def accuracy(model: nn.Module, epoch: int) -> dict[str, float]:
    images, targets = images_and_targets()
    return {"accuracy": (model(images).argmax(1) == targets).float().mean().item()}


def options(**changes: Any) -> EngineOptions:
    """Momentum, average, accumulation, clipping and a plateau; a checkpoint every second optimizer step."""
    given = {
        "epochs": 3,
        "optimizer": Sgd(lr=0.1),
        "schedule": Plateau(patience=1),
        "ema": Ema(decay=0.9),
        "accumulate": 2,
        "clip_norm": 1.0,
        "precision": "fp32",
        "channels_last": "no",
        "accelerator": "cpu",
        "checkpoint_steps": 2,
        "log_steps": 3,
    }
    return EngineOptions(**(given | changes))


def train(folder: Path, end: tuple[int, int, int] | None = None, **keywords: Any) -> Trained:
    """Train; ``end`` is a signal that the process sends itself in that epoch and batch."""

    def loss_that_may_end(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        if end is not None and (batch.epoch, batch.number) == end[1:]:
            os.kill(os.getpid(), end[0])
        return loss(model, batch)

    keywords = {"evaluate": accuracy, "watch": "accuracy", "better": "higher", **keywords}
    settings = keywords.pop("options", options())
    return fit(network(), loss_that_may_end, Batches(), settings, folder, **keywords)


def ranks_options() -> EngineOptions:
    return options(epochs=2, schedule=Plateau(patience=9), ema=Ema(decay=0.5), accumulate=2)


def train_ranks(folder: Path) -> Trained:
    """The same training whatever the number of processes: no dropout, no batch norm, even batches."""
    from suite.engine.distributed import rank_and_world

    rank, world = rank_and_world()
    batches = Batches(batch=4, rank=rank, world=world)
    return fit(network(0, norm=False), loss, batches, ranks_options(), folder, evaluate=accuracy)


if __name__ == "__main__":
    torch.set_num_threads(1)
    target, kind, *ending = sys.argv[1:]
    try:
        if kind == "ranks":
            train_ranks(Path(target))
        else:
            signal_number, epoch, batch = map(int, ending)
            train(Path(target), (signal_number, epoch, batch))
    except SuiteError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
