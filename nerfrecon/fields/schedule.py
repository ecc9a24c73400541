"""What changes in a field as its training goes on: active levels and the sharpness of surfaces."""

from __future__ import annotations

import math

from nerfrecon.options import LevelSchedule, ScheduledSharpness


def active_levels(schedule: LevelSchedule, levels: int, progress: float | int) -> int:
    """Levels that are active at `progress` (0 to 1); they come in one by one, evenly."""
    first = min(schedule.first, levels)
    if schedule.share == 0 or progress >= schedule.share:
        return levels
    return first + math.floor((levels - first) * max(progress, 0) / schedule.share)


def scheduled_sharpness(schedule: ScheduledSharpness, progress: float | int) -> float:
    """s at `progress` (0 to 1): from `first` to `last` by a constant factor."""
    share = min(max(progress, 0) / schedule.share, 1) if schedule.share > 0 else 1
    return schedule.first * (schedule.last / schedule.first) ** share
