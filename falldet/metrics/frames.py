"""Whole pictures: is anybody fallen in it, and is anybody called so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from falldet.metrics.intervals import Interval, Resampling


@dataclass(frozen=True)
class FrameFigures:
    """Pictures with somebody fallen (hits if said so, else missed), and without (false_alarms, quiet)."""

    hits: int
    missed: int
    false_alarms: int
    quiet: int
    recall: Interval
    precision: Interval
    f1: Interval
    specificity: Interval


def frame_figures(
    fallen: Bool[np.ndarray, " n"], called: Bool[np.ndarray, " n"], again: Resampling
) -> FrameFigures:
    """From whether each of n pictures has somebody fallen, and somebody called fallen."""
    hits, quiet = fallen & called, ~fallen & ~called
    return FrameFigures(
        hits=int(hits.sum()),
        missed=int((fallen & ~called).sum()),
        false_alarms=int((~fallen & called).sum()),
        quiet=int(quiet.sum()),
        recall=again.ratio(hits, fallen),
        precision=again.ratio(hits, called),
        f1=again.ratio(2 * hits, fallen.astype(np.int64) + called),
        specificity=again.ratio(quiet, ~fallen),
    )
