"""What is due at a share of the training: rates, levels, batch, size of the pictures, sharpness.

All are pure functions, so that a training that goes on later goes on exactly.
"""

from __future__ import annotations

from nerfrecon.backends.base import Pace
from nerfrecon.config import DensityStart
from nerfrecon.fields.grid import grid_layout
from nerfrecon.fields.schedule import active_levels, scheduled_sharpness
from nerfrecon.options import (
    BigMlpFieldOptions,
    DensityFieldOptions,
    OptimiserOptions,
    ScheduledSharpness,
    SdfFieldOptions,
    TrainOptions,
)

FULL_BATCH_AT = 0.5

AnyField = DensityFieldOptions | SdfFieldOptions | BigMlpFieldOptions


def pace_at(field: AnyField, train: TrainOptions, progress: float | int, step: int) -> Pace:
    """Rates, levels and batch at `progress` (0 to 1), which step number `step` is the first to have."""
    factor = rate_factor(train.optimiser, progress, step)
    batch = train.batch
    grown = min(max(progress, 0) / FULL_BATCH_AT, 1)
    return Pace(
        grid_lr=train.optimiser.grid_lr * factor,
        network_lr=train.optimiser.network_lr * factor,
        active_levels=levels_at(field, progress),
        samples=round(batch.first_samples + grown * (batch.last_samples - batch.first_samples)),
    )


def rate_factor(options: OptimiserOptions, progress: float | int, step: int) -> float:
    """Grows with the steps of the warm-up, then falls by a constant factor a share of the training."""
    warm = min((step + 1) / options.warm_up_steps, 1.0) if options.warm_up_steps else 1.0
    left = 1 - options.decay_from
    late = min(max((progress - options.decay_from) / left, 0), 1) if left > 0 else 0.0
    return warm * min(options.final_share, 1.0) ** late


def levels_at(field: AnyField, progress: float | int) -> int:
    """Levels of the grid that are active; 1 for a field without a grid."""
    if isinstance(field, BigMlpFieldOptions):
        return 1
    return active_levels(field.active, len(grid_layout(field.grid).levels), progress)


def sharpness_at(field: AnyField, progress: float | int) -> float | None:
    """s of a signed distance whose sharpness has a schedule; None for all other fields."""
    if isinstance(field, SdfFieldOptions) and isinstance(field.sharpness, ScheduledSharpness):
        return scheduled_sharpness(field.sharpness, progress)
    return None


def prior_at(start: DensityStart, progress: float | int) -> float:
    """Weight of what the density found, at `progress` of the whole training; falls by a constant factor."""
    first, last = start.prior
    if not first or not last:
        return 0.0
    since = min(max((progress - start.share) / (1 - start.share), 0), 1)
    return first * (last / first) ** since


def picture_scale_at(train: TrainOptions, progress: float | int) -> float:
    """Size of the training pictures: reduced at first, then whole."""
    return 1 / train.coarse_images if progress < train.coarse_share else 1.0
