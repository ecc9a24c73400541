"""A spine as it is drawn: centres and axial rotation with their intervals, from a result or from a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spine.anatomy import LEVELS
from spine.measure.angles import C7, axial_rotation_deg
from spine.reconstruction import Reconstruction
from suite.report.figure import PALETTE

DRAWN = LEVELS[C7:]
"""Levels that are drawn: the neck above follows from the template alone."""
REGION_COLOR = {"C": PALETTE[5], "T": PALETTE[0], "L": PALETTE[2], "S": PALETTE[1]}


@dataclass(frozen=True, eq=False)
class Trace:
    """C7 ... S1 of one spine in the body frame; `*_interval` hold low and high ends of the 90 % intervals."""

    label: str
    color: str
    centre_mm: Float[np.ndarray, "19 3"]
    centre_interval_mm: Float[np.ndarray, "2 19 3"]
    axial_deg: Float[np.ndarray, " 19"]
    axial_interval_deg: Float[np.ndarray, "2 19"]
    backwards: Float[np.ndarray, "19 3"]


def trace_of(result: Reconstruction, label: str = "spine", color: str = PALETTE[0]) -> Trace:
    """The trace of a result."""
    T, spread = result.fit.T_body_vertebra, result.intervals
    return Trace(
        label,
        color,
        T[C7:, :3, 3],
        spread.centre_mm[:, C7:],
        axial_rotation_deg(T)[C7:],
        spread.axial_deg[:, C7:],
        T[C7:, :3, 2],
    )
