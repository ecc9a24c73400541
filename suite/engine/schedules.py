"""The learning rate over a training, as a factor of the full rate.

All but one schedule are pure functions of the step; the plateau remembers, and its memory is saved.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from suite.engine.options import Constant, Cosine, EngineOptions, Linear, MultiStep, Plateau, Schedule


def lr_factor(schedule: Schedule, step: int, total: int, warmup: int) -> float:
    """Factor for optimizer step ``step`` of 0 ... ``total`` - 1.

    Over the first ``warmup`` steps it rises linearly, ending at 1 in step ``warmup`` - 1; what follows runs
    over the remaining steps, so that the last one would reach the schedule's end at step ``total``.
    """
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    match schedule:
        case Cosine():
            return schedule.end + (1 - schedule.end) * 0.5 * (1 + math.cos(math.pi * done))
        case Linear():
            return 1 - (1 - schedule.end) * done
        case MultiStep():
            return schedule.gamma ** sum(step >= share * total for share in schedule.milestones)
        case Plateau() | Constant():
            return 1.0


class LearningRate:
    """The factor of each step of a training of ``epochs`` x ``steps`` optimizer steps."""

    def __init__(self, options: EngineOptions, steps: int, better: Literal["lower", "higher"]) -> None:
        self.schedule = options.schedule
        self.total = options.epochs * steps
        self.warmup = min(round(options.warmup_epochs * steps), self.total)
        self._sign = 1 if better == "lower" else -1
        self._plateau = {"factor": 1.0, "best": math.inf, "waited": 0}

    def __call__(self, step: int) -> float:
        return self._plateau["factor"] * lr_factor(self.schedule, step, self.total, self.warmup)

    def end_epoch(self, figure: float) -> None:
        """Tell the plateau how the epoch went; the other schedules do not listen."""
        if not isinstance(self.schedule, Plateau):
            return
        memory, value = self._plateau, self._sign * figure
        if value < memory["best"] - self.schedule.threshold:
            memory.update(best=value, waited=0)
            return
        memory["waited"] += 1
        if memory["waited"] >= self.schedule.patience:
            memory.update(factor=memory["factor"] * self.schedule.gamma, waited=0)

    def state_dict(self) -> dict[str, Any]:
        return dict(self._plateau)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._plateau = dict(state)
