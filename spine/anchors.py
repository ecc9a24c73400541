"""The heights of VP and of the base mid-point, from how the outline and the middle of the back change towards
the ends of the scan.

Near its upper end a scan of a back shows the shoulders rise into the neck; near its lower end the sacrum, the
dimples and the start of the cleft. What is seen there, row by row from the end inwards (width of the outline,
slope of the middle, height of the skin beside the middle over it), tells by kernel ridge regression how far
the landmark lies from the end. The regression is learned on simulated scans (`spine.landmark_training`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spine.heightmap import HeightMap, smoothed

FROM_END_MM = np.arange(6.0, 150.0, 8.0)
"""Rows looked at, from either end of the scan inwards."""
BESIDE_MM = (16.0, 36.0, 70.0)
ACROSS_MM = (-12.0, -6.0, 0.0, 6.0, 12.0)
FEATURES = len(FROM_END_MM) * (2 + len(BESIDE_MM))
RIDGE, WIDE = 0.01, 3.0
"""Of the regression: what is added to the kernel's diagonal, and its square width over the median square
distance between scans. Chosen among twelve pairs by the error on the simulated people held out."""
LEAST_ROW_MM = 60.0
"""A row belongs to the back if at least this much of it is seen."""


@dataclass(frozen=True)
class Ends:
    """Lowest and highest row of a back, and the middle and width of its outline at all rows (mm, NaN off the
    back)."""

    bottom_mm: float
    top_mm: float
    middle_mm: Float[np.ndarray, " ny"]
    width_mm: Float[np.ndarray, " ny"]


@dataclass(frozen=True)
class EndModel:
    """distance from the end = offset + weights . k(features), mm, with Gaussian kernels about the n scans it
    was learned on:

        k_i = exp(-|features - support_i|^2 / width^2)

    sigma_mm: on simulated scans held out.
    """

    support: Float[np.ndarray, "n f"]
    weights: Float[np.ndarray, " n"]
    width: float
    offset_mm: float
    sigma_mm: float

    def __post_init__(self) -> None:
        if self.support.ndim != 2 or self.weights.shape != (len(self.support),):
            raise ValueError(
                f"end model: support {self.support.shape} and weights {self.weights.shape} must match"
            )
        numbers = np.array([self.width, self.offset_mm, self.sigma_mm])
        finite = all(np.isfinite(values).all() for values in (self.support, self.weights, numbers))
        if not finite or self.width <= 0 or self.sigma_mm < 0:
            raise ValueError("end model: every value must be finite, width above 0 and sigma_mm not below 0")

    def distance_mm(self, features: Float[np.ndarray, " f"]) -> float:
        """How far the landmark lies inside the end of the scan, at least 0."""
        near = _kernel(features[None], self.support, self.width)[0]
        return max(0.0, float(near @ self.weights + self.offset_mm))


def ends(height: HeightMap) -> Ends:
    """Where the back ends, and its outline."""
    seen, x = height.observed, height.x_mm
    any_seen = seen.any(1)
    left = np.where(any_seen, x[np.argmax(seen, axis=1)], np.nan)
    right = np.where(any_seen, x[::-1][np.argmax(seen[:, ::-1], axis=1)], np.nan)
    rows = height.y_mm[seen.sum(1) * height.spacing_mm > LEAST_ROW_MM]
    if not len(rows):
        rows = height.y_mm[any_seen]
    return Ends(float(rows.min()), float(rows.max()), (left + right) / 2, right - left)


def end_features(height: HeightMap, at_top: bool) -> Float[np.ndarray, " f"]:
    """What is seen from one end of the scan inwards, scaled to about unit size."""
    outline = ends(height)
    y = outline.top_mm - FROM_END_MM if at_top else outline.bottom_mm + FROM_END_MM
    known = np.isfinite(outline.middle_mm)
    middle = np.interp(y, height.y_mm[known], outline.middle_mm[known])
    width = np.clip(np.interp(y, height.y_mm[known], outline.width_mm[known]), 0, 340)
    skin = smoothed(height, 4.0, 8.0)
    z = np.mean([skin.sample(middle + across, y) for across in ACROSS_MM], axis=0)
    slope = np.diff(z, prepend=2 * z[0] - z[1]) / (FROM_END_MM[1] - FROM_END_MM[0])
    beside = [
        np.clip((skin.sample(middle + o, y) + skin.sample(middle - o, y)) / 2 - z, -40, 40) for o in BESIDE_MM
    ]
    return np.concatenate([width / 30, np.clip(slope, -1.5, 1.5) * 8, *(b / 4 for b in beside)])


def middle_at(height: HeightMap, y_mm: float, reach_mm: float = 12.0) -> float:
    """x of the middle of the outline around a height: the first guess of a landmark's place."""
    outline = ends(height)
    near = (np.abs(height.y_mm - y_mm) <= reach_mm) & np.isfinite(outline.middle_mm)
    if not near.any():
        near = np.isfinite(outline.middle_mm)
    return float(np.median(outline.middle_mm[near]))


def fit_end_model(
    features: Float[np.ndarray, "n f"],
    distance_mm: Float[np.ndarray, " n"],
    held_out: int,
    ridge: float = RIDGE,
) -> EndModel:
    """Kernel ridge regression on all but the last `held_out` rows, its error on those."""
    n = len(features) - held_out
    if n < 1 or held_out < 1:
        raise ValueError(f"end model: {len(features)} scans of which {held_out} are held out")
    features = features.astype(np.float32).astype(np.float64)  # as a file keeps them
    seen, offset = features[:n], float(distance_mm[:n].mean())
    width = float(np.sqrt(WIDE * np.median(_square_distances(seen, seen)))) or 1.0
    gram = _kernel(seen, seen, width) + ridge * np.eye(n)
    weights = np.linalg.solve(gram, distance_mm[:n] - offset)
    error = _kernel(features[n:], seen, width) @ weights + offset - distance_mm[n:]
    return EndModel(seen, weights, width, offset, float(np.sqrt((error**2).mean())))


def _kernel(
    a: Float[np.ndarray, "m f"], b: Float[np.ndarray, "n f"], width: float
) -> Float[np.ndarray, "m n"]:
    return np.exp(-_square_distances(a, b) / width**2)


def _square_distances(a: Float[np.ndarray, "m f"], b: Float[np.ndarray, "n f"]) -> Float[np.ndarray, "m n"]:
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.maximum(square, 0.0)
