"""Depth seen from many views as one signed distance.

B. Curless, M. Levoy, "A volumetric method for building complex models from range images", 1996: each view
says how far a point lies before the surface that it sees there; the mean of what the views say, cut off, is a
signed distance near the surface. What no view has looked into stays filled, so that the surface is closed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from nerfrecon.backends.base import RayCamera, Rendered
from nerfrecon.render.rays import projected

_OPAQUE = 0.5


class FusedDepth:
    """A signed distance in the unit cube, within +-`truncation`, of the depth that `render` sees."""

    def __init__(
        self,
        render: Callable[[RayCamera], Rendered],
        cameras: Sequence[RayCamera],
        truncation: float | int,
    ) -> None:
        self.cameras = list(cameras)
        self.truncation = float(truncation)
        self._depths = []
        for camera in cameras:
            seen = render(camera)
            self._depths.append(np.where(seen.opacity > _OPAQUE, seen.depth, np.inf).astype(np.float32))

    def __call__(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Positive outside; minus the truncation where no view looks."""
        total = np.zeros(len(points), np.float32)
        count = np.zeros(len(points), np.float32)
        for camera, depth in zip(self.cameras, self._depths, strict=True):
            pixels, away = projected(camera, points)
            inside, before = _depth_at(depth, pixels, self.truncation)
            says = inside & (before - away > -self.truncation)
            total[says] += np.clip(before[says] - away[says], -self.truncation, self.truncation)
            count[says] += 1
        return np.where(count > 0, total / np.maximum(count, 1), -self.truncation).astype(np.float32)


def _depth_at(depth: np.ndarray, pixels: np.ndarray, smooth: float) -> tuple[np.ndarray, np.ndarray]:
    """Whether pixels lie in the picture, and depths there: bilinear on a smooth surface, else the nearest."""
    height, width = depth.shape
    with np.errstate(invalid="ignore"):
        inside = (pixels >= 0).all(1) & (pixels[:, 0] <= width - 1) & (pixels[:, 1] <= height - 1)
    u, v = np.where(inside[:, None], pixels, 0.0).T
    x, y = np.minimum(u.astype(np.int32), width - 2), np.minimum(v.astype(np.int32), height - 2)
    a, b = u - x, v - y
    corners = np.stack([depth[y, x], depth[y, x + 1], depth[y + 1, x], depth[y + 1, x + 1]])
    nearest = depth[(v + 0.5).astype(np.int32), (u + 0.5).astype(np.int32)]
    with np.errstate(invalid="ignore"):
        even = corners.max(0) - corners.min(0) < smooth
        mixed = (1 - b) * ((1 - a) * corners[0] + a * corners[1]) + b * (
            (1 - a) * corners[2] + a * corners[3]
        )
    return inside, np.where(even, mixed, nearest)
