"""What a step of `suite.engine.fit` costs over the same step written by hand."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from suite.engine.loop import fit
from suite.engine.options import Constant, EngineOptions, Sgd

ROUNDS = 5
STEPS = 150
WARM_UP = 20
BATCH = 16
Batch = tuple[Tensor, Tensor]


def measure() -> float:
    """Milliseconds of CPU that a step of `fit` takes beyond one of a plain loop; one thread.

    A tiny CNN under SGD with momentum, logged every 20 steps. The two loops take their steps in turn, so that
    whatever else the machine does meets both; of each round the median of the differences counts, and of the
    rounds the median.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return statistics.median(_round() for _ in range(ROUNDS))
    finally:
        torch.set_num_threads(threads)


def _round() -> float:
    options = EngineOptions(
        epochs=1,
        optimizer=Sgd(lr=0.01),
        schedule=Constant(),
        warmup_epochs=0,
        precision="fp32",
        channels_last="no",
        accelerator="cpu",
    )
    turns = _Turns()
    with tempfile.TemporaryDirectory() as folder:
        fit(_tiny_cnn(), _loss, turns, options, Path(folder), describe="Engine overhead")
    return 1e3 * statistics.median(turns.differences_s[WARM_UP:])


class _Turns:
    """Batches for `fit`; each time it asks for one, a plain loop first takes its own step with the last."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.batches = [
            (torch.randn(BATCH, 3, 32, 32, generator=random), torch.randint(10, (BATCH,), generator=random))
            for _ in range(4)
        ]
        self.differences_s: list[float] = []
        self.model = _tiny_cnn().train()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), 0.01, 0.9, nesterov=True, weight_decay=5e-4, fused=True
        )
        self.total = 0.0

    def __len__(self) -> int:
        return STEPS

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for number in range(start, STEPS):
            batch = self.batches[number % len(self.batches)]
            began = time.process_time()
            yield batch
            engine_s = time.process_time() - began
            began = time.process_time()
            self.plain_step(batch)
            self.differences_s.append(engine_s - (time.process_time() - began))

    def plain_step(self, batch: Batch) -> None:
        loss = _loss(self.model, batch)["loss"]
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.total += loss.item()


def _tiny_cnn() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def _loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    return {"loss": cross_entropy(model(batch[0]), batch[1])}


if __name__ == "__main__":
    print(f"{measure():.3f} ms a step")
