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
        plane = points[..., :2] / np.where(points[..., 2:] > 0, points[..., 2:], np.nan)
        inside = np.sum(plane * plane, axis=-1, keepdims=True) < self._fold_r2
        pinhole = self.pinhole
        focal, principal = np.array([pinhole.fx, pinhole.fy]), np.array([pinhole.cx, pinhole.cy])
        return focal * self._distorted(np.where(inside, plane, np.nan)) + principal

    def directions(self, pixels: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
        """Directions (x, y, 1) in the camera frame, float64, of the rays through pixel positions (u, v).

        The distortion is undone by Newton's method to 1e-6 px; NaN where a position has no ray.
        """
        pinhole = self.pinhole
        focal, principal = np.array([pinhole.fx, pinhole.fy]), np.array([pinhole.cx, pinhole.cy])
        goal = (np.asarray(pixels, np.float64) - principal) / focal
        plane = goal.copy()
        if self.is_distorted:
            with np.errstate(all="ignore"):
                for _ in range(_NEWTON_STEPS):
                    xx, xy, yy = np.moveaxis(self._slope(plane), -1, 0)
                    x, y = np.moveaxis(goal - self._distorted(plane), -1, 0)
                    step = np.stack([yy * x - xy * y, xx * y - xy * x], -1) / (xx * yy - xy * xy)[..., None]
                    plane = plane + step
                    if not np.any(np.abs(step) > 1e-15):
                        break
                off_px = np.linalg.norm((goal - self._distorted(plane)) * focal, axis=-1, keepdims=True)
                r2 = np.sum(plane * plane, axis=-1, keepdims=True)
                plane = np.where((off_px < _CLOSE_PX) & (r2 < self._fold_r2), plane, np.nan)
        return np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1)

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

    def _distorted(self, plane: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
        k1, k2, p1, p2, k3 = self.distortion
        x, y = plane[..., 0], plane[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        return np.stack(
            [
                x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
            ],
            axis=-1,
        )

    def _slope(self, plane: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
        """dx'/dx, dx'/dy = dy'/dx, dy'/dy."""
        k1, k2, p1, p2, k3 = self.distortion
        x, y = plane[..., 0], plane[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        growth = 2 * (k1 + r2 * (2 * k2 + 3 * k3 * r2))
        return np.stack(
            [
                radial + growth * x * x + 2 * p1 * y + 6 * p2 * x,
                growth * x * y + 2 * p1 * x + 2 * p2 * y,
                radial + growth * y * y + 6 * p1 * y + 2 * p2 * x,
            ],
            axis=-1,
        )
