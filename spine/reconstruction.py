"""What one scan gives: surface, landmarks, fitted chain, indices, and how far to trust them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from spine.chain import SpineTemplate
from spine.measure import Indices
from spine.measure.angles import axial_rotation_deg, coronal_tilt_deg, sagittal_tilt_deg
from spine.quality import Check, verdict
from spine.solve import SpineFit
from spine.surface import BackSurface
from suite.report.flag import Flag

if TYPE_CHECKING:
    from spine.landmarks import Landmarks

INTERVAL = (5.0, 95.0)
"""Percentiles of every interval that is shown or written: 90 %."""


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """Everything `spine.pipeline.reconstruct` found; all coordinates in the body frame of `surface`, mm.

    `samples` are draws of the chain from its posterior, `flags` the quality checks, `notes` what was detected
    or assumed on the way, `timings_s` the wall-clock seconds of each stage.
    """

    surface: BackSurface
    landmarks: Landmarks
    template: SpineTemplate
    fit: SpineFit
    samples: Float[np.ndarray, "m 25 4 4"]
    indices: Indices
    flags: tuple[Check, ...]
    notes: tuple[str, ...]
    timings_s: Mapping[str, float]

    @property
    def verdict(self) -> Flag:
        """The worst of the quality flags."""
        return verdict(self.flags)

    @cached_property
    def intervals(self) -> VertebraIntervals:
        """90 % intervals of every vertebra's place and angles."""
        return vertebra_intervals(self.fit.T_body_vertebra, self.samples)


@dataclass(frozen=True, eq=False)
class VertebraIntervals:
    """Low and high ends (2, 25, ...) of the 90 % posterior intervals of centres (mm) and tilts (deg)."""

    centre_mm: Float[np.ndarray, "2 25 3"]
    coronal_deg: Float[np.ndarray, "2 25"]
    sagittal_deg: Float[np.ndarray, "2 25"]
    axial_deg: Float[np.ndarray, "2 25"]


def vertebra_intervals(
    T_body_vertebra: Float[np.ndarray, "25 4 4"], samples: Float[np.ndarray, "m 25 4 4"]
) -> VertebraIntervals:
    """5th to 95th percentile over the samples; an interval always holds the fitted value itself."""

    def spread(values: np.ndarray, fitted: np.ndarray, wraps: bool = False) -> np.ndarray:
        around = values - fitted
        if wraps:
            around = (around + 180) % 360 - 180
        low, high = np.percentile(around, INTERVAL, axis=0)
        return fitted + np.stack([np.minimum(low, 0), np.maximum(high, 0)])

    T = T_body_vertebra
    return VertebraIntervals(
        centre_mm=spread(samples[:, :, :3, 3], T[:, :3, 3]),
        coronal_deg=spread(coronal_tilt_deg(samples), coronal_tilt_deg(T)),
        sagittal_deg=spread(sagittal_tilt_deg(samples), sagittal_tilt_deg(T)),
        axial_deg=spread(axial_rotation_deg(samples), axial_rotation_deg(T), wraps=True),
    )
