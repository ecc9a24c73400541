"""The watch over the loss: a value that is not finite ends the training and leaves the batch that made it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch

from suite.engine.batch import tensors
from suite.errors import SuiteError
from suite.files import atomic_write

BATCH = "nan_batch.pt"


class NotFinite(SuiteError):
    """The loss became NaN or infinite; ``path`` holds the tensors of the batch."""

    def __init__(self, value: float, epoch: int, batch: int, step: int, path: Path) -> None:
        super().__init__(value, epoch, batch, step, path)
        self.value, self.epoch, self.batch, self.step, self.path = value, epoch, batch, step, path

    def __str__(self) -> str:
        return (
            f"the loss is {self.value} in epoch {self.epoch}, batch {self.batch} (after {self.step} "
            f"optimizer steps, all counted from 0); the batch is in {self.path}; lower the learning rate, "
            f"clip the gradient (clip_norm) or look for values that are not finite in the batch"
        )


class _Look(NamedTuple):
    loss: torch.Tensor  # on the CPU, once ``ready``
    ready: torch.cuda.Event | None
    batch: Any
    epoch: int
    number: int
    step: int


class FiniteWatch:
    """Checks every loss: at once on the CPU; on a GPU one batch late, so that nobody waits for it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / BATCH
        self._open: _Look | None = None

    def look(self, loss: torch.Tensor, batch: Any, epoch: int, number: int, step: int) -> None:
        """Raises NotFinite, on a GPU at the next call or in :meth:`settle`."""
        if loss.device.type != "cuda":
            self._judge(_Look(loss, None, batch, epoch, number, step))
            return
        ready = torch.cuda.Event()
        copied = loss.detach().to("cpu", non_blocking=True)
        ready.record()
        self.settle()
        self._open = _Look(copied, ready, batch, epoch, number, step)

    def settle(self) -> None:
        """Judge the loss that is still open, if any."""
        if self._open is not None:
            look, self._open = self._open, None
            self._judge(look)

    def _judge(self, look: _Look) -> None:
        if look.ready is not None:
            look.ready.synchronize()
        value = look.loss.item()
        if not math.isfinite(value):
            with atomic_write(self.path) as stream:
                torch.save(tensors(look.batch), stream)
            raise NotFinite(value, look.epoch, look.number, look.step, self.path)
