"""Where a training stands, and how long it took to get there."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from suite.engine.options import EngineOptions


@dataclass
class Position:
    """Where a training stands: what a checkpoint says besides tensors."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    lines: int = 0  # in the log
    best: float | None = None
    best_epoch: int | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    def note_best(self, figure: float, better: Literal["lower", "higher"]) -> None:
        """Remember the epoch if its ``figure`` is the best so far; one that is no number never is."""
        if math.isnan(figure):
            return
        if self.best is None or (figure < self.best if better == "lower" else figure > self.best):
            self.best, self.best_epoch = figure, self.epoch


class Clock:
    """Time spent, on top of what ``at`` says was spent before a resume, and since the last checkpoint."""

    def __init__(self, at: Position) -> None:
        self._at = at
        self._start = time.process_time() - at.cpu_s, time.monotonic() - at.wall_s
        self.saved(at.step)

    def note(self) -> None:
        self._at.cpu_s = time.process_time() - self._start[0]
        self._at.wall_s = time.monotonic() - self._start[1]

    def saved(self, step: int) -> None:
        self._last = step, time.monotonic()

    def due(self, step: int, options: EngineOptions) -> bool:
        if options.checkpoint_steps is not None:
            return step - self._last[0] >= options.checkpoint_steps
        return time.monotonic() - self._last[1] >= options.checkpoint_s
