"""A pinhole camera with the lens distortion that OpenCV, COLMAP's OPENCV model and nerfstudio share.

With x, y on the plane z = 1 and r2 = x^2 + y^2 (OpenCV, camera calibration and 3D reconstruction):

    x' = x (1 + k1 r2 + k2 r2^2 + k3 r2^3) + 2 p1 x y + p2 (r2 + 2 x^2)
    y' = y (1 + k1 r2 + k2 r2^2 + k3 r2^3) + p1 (r2 + 2 y^2) + 2 p2 x y
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

_NEWTON_STEPS = 30
_CLOSE_PX = 1e-6


@dataclass(frozen=True)
class LensCamera:
    """Pinhole intrinsics and OpenCV's distortion (k1, k2, p1, p2, k3).

    Axes, pixels and units are those of `PinholeCamera`. Raises BadInput for a distortion that is not finite
    or that folds the picture onto itself before its border, so that a pixel has no one ray.
    """

    pinhole: PinholeCamera
    distortion: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if len(self.distortion) != 5 or not all(math.isfinite(value) for value in self.distortion):
            raise BadInput(
                f"lens distortion is {self.distortion}", hint="give five finite numbers: k1, k2, p1, p2, k3"
            )
        if self.is_distorted:
            w, h = self.width - 0.5, self.height - 0.5
            u, v = np.meshgrid([-0.5, (w - 0.5) / 2, w], [-0.5, (h - 0.5) / 2, h])
            if not np.isfinite(self.directions(np.stack([u, v], -1))).all():
                raise BadInput(
                    "the lens distortion folds the picture onto itself before its border",
                    hint="check k1, k2, p1, p2, k3, or undistort the pictures",
                )

    @property
    def width(self) -> int:
        """Of the picture, in pixels."""
        return self.pinhole.width

    @property
    def height(self) -> int:
        """Of the picture, in pixels."""
        return self.pinhole.height

    @property
    def is_distorted(self) -> bool:
        """Whether any coefficient is not zero."""
        return any(self.distortion)

    def project(self, points_camera: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
        """Pixels (u, v) of points in the camera frame; NaN for points not in front of the camera, or so far
        to the side that the distortion says nothing about them."""
        points = np.asarray(points_camera, np.float64)
        z = np.where(points[..., 2] > 0, points[..., 2], np.nan)
        x, y = points[..., 0] / z, points[..., 1] / z
        inside = x * x + y * y < self._fold_r2
        x, y = self._distorted(np.where(inside, x, np.nan), np.where(inside, y, np.nan))
        pinhole = self.pinhole
        return np.stack([pinhole.fx * x + pinhole.cx, pinhole.fy * y + pinhole.cy], axis=-1)

    def directions(self, pixels: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
        """Directions (x, y, 1) in the camera frame, float64, of the rays through pixel positions (u, v).

        The distortion is undone by Newton's method to 1e-6 px; NaN where a position has no ray.
        """
        at, pinhole = np.asarray(pixels, np.float64), self.pinhole
        goal_x, goal_y = (at[..., 0] - pinhole.cx) / pinhole.fx, (at[..., 1] - pinhole.cy) / pinhole.fy
        if not self.is_distorted:
            return np.stack([goal_x, goal_y, np.ones_like(goal_x)], axis=-1)
        x, y = goal_x.copy(), goal_y.copy()
        with np.errstate(all="ignore"):
            for _ in range(_NEWTON_STEPS):
                now_x, now_y = self._distorted(x, y)
                xx, xy, yy = self._slope(x, y)
                determinant = xx * yy - xy * xy
                off_x, off_y = goal_x - now_x, goal_y - now_y
                step_x, step_y = (
                    (yy * off_x - xy * off_y) / determinant,
                    (xx * off_y - xy * off_x) / determinant,
                )
                x, y = x + step_x, y + step_y
                if not np.any(np.abs(step_x) + np.abs(step_y) > 1e-15):
                    break
            now_x, now_y = self._distorted(x, y)
            off_px = np.hypot((goal_x - now_x) * pinhole.fx, (goal_y - now_y) * pinhole.fy)
            found = (off_px < _CLOSE_PX) & (x * x + y * y < self._fold_r2)
        return np.stack([np.where(found, x, np.nan), np.where(found, y, np.nan), np.ones_like(x)], axis=-1)

    def contains(self, pixels: Float[np.ndarray, "*batch 2"]) -> Bool[np.ndarray, "*batch"]:
        """Whether each pixel position lies on the picture; False for NaN."""
        return self.pinhole.contains(pixels)

    def scaled(self, factor: float | int) -> LensCamera:
        """The camera of the picture resized by `factor`; the distortion, on z = 1, stays."""
        return LensCamera(self.pinhole.scaled(factor), self.distortion)

    @cached_property
    def _fold_r2(self) -> float:
        """Where the radial part stops growing: the first root of d/dr of r (1 + k1 r2 + k2 r2^2 + k3
        r2^3)."""
        k1, k2, _, _, k3 = self.distortion
        slope = [value if abs(value) > 1e-9 else 0.0 for value in (7 * k3, 5 * k2, 3 * k1)]
        roots = np.roots(np.trim_zeros([*slope, 1.0], "f"))
        growing = [root.real for root in roots if abs(root.imag) < 1e-12 and root.real > 0]
        return float(min(growing, default=math.inf))

    def _distorted(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        return (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        )

    def _slope(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """dx'/dx, dx'/dy = dy'/dx, dy'/dy."""
        k1, k2, p1, p2, k3 = self.distortion
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        growth = 2 * (k1 + r2 * (2 * k2 + 3 * k3 * r2))
        return (
            radial + growth * x * x + 2 * p1 * y + 6 * p2 * x,
            growth * x * y + 2 * p1 * x + 2 * p2 * y,
            radial + growth * y * y + 6 * p1 * y + 2 * p2 * x,
        )
