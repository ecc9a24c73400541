"""The command `falldet` called in place, and the settings of a training of seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Command = Callable[..., tuple[object, str, list[str]]]
"""Arguments -> exit code, what went to stdout, lines of stderr."""

SMALL = (
    "name=tiny",
    "pixels.long_px=96",
    "model={type: dense, backbone: {type: shufflenet, width: 0.5x, frozen_stages: 0}, neck: {type: pan, "
    "channels: 32}, score: 0.02}",
    "batches={batch_size: 4, scale_px: [96, 96], augment: {mosaic: 0.25, scale: [0.8, 1.2]}}",
    "train.epochs=2",
    "train.optimizer={type: adamw, lr: 0.002}",
    "train.warmup_epochs=0.5",
    "train.clip_norm=10",
    "train.checkpoint_steps=1",
    "train.log_steps=2",
    "train.precision=fp32",
    "train.channels_last=no",
    "train.accelerator=cpu",
    "evaluation.bootstrap=100",
    "licence=made up",
)
"""Precision is given, since what `auto` measures may differ between two runs."""


def settings_of(train: Path, develop: Path, *more: str) -> tuple[str, ...]:
    """SMALL on two COCO files."""
    sets = (
        f"data.train=[{{source: {{type: coco, file: {train}}}}}]",
        f"data.develop={{type: coco, file: {develop}}}",
    )
    return (*SMALL, *sets, *more)
