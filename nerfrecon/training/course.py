"""How far a training is: what is written into a checkpoint beside the field, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nerfrecon.backends.base import StepReport
from nerfrecon.options import TrainOptions


@dataclass
class Course:
    """What is spent, what is done of what is due once, and a line of figures for each look.

    `cpu_s` is of steps, carving and visibility; reading pictures, looks and checkpoints are not in it.
    """

    step: int = 0
    cpu_s: float | int = 0.0
    rays: int = 0
    samples_marched: int = 0
    samples_kept: int = 0
    steps_refused: int = 0
    phase: str = "field"
    """`density` while a density field goes before a signed distance."""
    phase_step: int = 0
    """The first step of this phase: an optimiser that begins anew warms up anew."""
    looks: int = 0
    hidden: int = 0
    """How often cells that nobody sees were given up."""
    picture_scale: float | int = 0.0
    """Of the pictures that are learned from; 0 before the first."""
    history: list[dict[str, float | int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def progress(self, options: TrainOptions) -> float:
        """Share of the training that is done, 0 to 1: by steps or by CPU time, whichever is further."""
        shares = []
        if options.steps is not None:
            shares.append(self.step / options.steps)
        if options.cpu_s is not None:
            shares.append(self.cpu_s / options.cpu_s)
        return min(max(shares), 1.0)

    def add(self, report: StepReport) -> None:
        """Take in what a run of steps did; its time is counted by whoever had it run."""
        self.step += report.steps + report.steps_refused
        self.rays += report.rays
        self.samples_marched += report.samples_marched
        self.samples_kept += report.samples_kept
        self.steps_refused += report.steps_refused

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Course:
        return cls(**values)
