"""A density as a level whose zero is its surface, filled where nobody looked.

A density field leaves what it cannot see as it began, so the inside of an object is hollow and has a second
surface. What views look into is known from the depths that they see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from nerfrecon.backends.base import RayCamera, Rendered
from nerfrecon.training.visibility import views_into

LEAST_VIEWS = 2
"""What fewer views look into is filled."""
STEEP = 3.0
"""Logarithm of a density by the threshold from which a place counts as fully filled, or as empty."""


class FilledDensity:
    """A function of points of the unit cube: zero on the surface, 1 outside, -1 in what is filled.

    `threshold` is the density of the surface; a view looks into what is at most `margin` behind the depth it
    sees. The logarithm is nearly linear across a surface that a density field has learned.
    """

    def __init__(
        self,
        density: Callable[[np.ndarray], np.ndarray],
        render: Callable[[RayCamera], Rendered],
        cameras: Sequence[RayCamera],
        threshold: float | int,
        margin: float | int,
    ) -> None:
        self.density, self.cameras = density, list(cameras)
        self.threshold, self.margin = float(threshold), float(margin)
        self.densest = 0.0  # of all that it was asked for
        self._surfaces = [render(camera) for camera in cameras]

    def __call__(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """The level at points."""
        density = self.density(points)
        self.densest = max(self.densest, float(density.max(initial=0.0)))
        thin = np.log(self.threshold / np.maximum(density, 1e-6))
        level = np.clip(thin / STEEP, -1, 1)
        open_ = np.flatnonzero(level > -1)  # no view changes what is filled already
        hidden = views_into(self.cameras, self._surfaces, points[open_], self.margin) < LEAST_VIEWS
        level[open_[hidden]] = -1
        return level.astype(np.float32)
