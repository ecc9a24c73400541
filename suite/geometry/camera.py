"""Pinhole camera.

Camera frame: x right, y down, z forward (OpenCV, RealSense, Open3D). Pixel (u, v) = (column, row);
whole numbers are pixel centres, so the image covers [-0.5, width - 0.5] x [-0.5, height - 0.5].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from suite.errors import BadInput


@dataclass(frozen=True)
class PinholeCamera:
    """Image size, focal lengths and principal point, all in pixels; no lens distortion.

    Raises BadInput where the numbers cannot be those of a camera.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        for key in ("width", "height"):
            if getattr(self, key) < 1:
                raise BadInput(f"camera {key} is {getattr(self, key)}", hint="give the image size in pixels")
        for key in ("fx", "fy", "cx", "cy"):
            if not math.isfinite(getattr(self, key)):
                raise BadInput(f"camera {key} is {getattr(self, key)}", hint="give a number of pixels")
        for key in ("fx", "fy"):
            if getattr(self, key) <= 0:
                raise BadInput(
                    f"camera {key} is {getattr(self, key):g}", hint="focal lengths are positive, in pixels"
                )
        # A cropped view may put the principal point outside the image, but not by a multiple of its size.
        for key, size in (("cx", self.width), ("cy", self.height)):
            value = getattr(self, key)
            if not -size <= value <= 2 * size:
                raise BadInput(
                    f"camera {key} is {value:g} px in an image of {size} px",
                    hint="give the principal point in pixels of this image",
                )

    @property
    def matrix(self) -> Float[np.ndarray, "3 3"]:
        """Intrinsic matrix K, row-major: `(u, v, 1) ~ K @ (x, y, z)`."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    def project(self, points_camera: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
        """Pixels (u, v) of points in the camera frame; NaN for points not in front of the camera."""
        points = np.asarray(points_camera, np.float64)
        z = np.where(points[..., 2] > 0, points[..., 2], np.nan)
        u = self.fx * (points[..., 0] / z) + self.cx
        v = self.fy * (points[..., 1] / z) + self.cy
        return np.stack([u, v], axis=-1)

    def backproject(self, depth_m: Float[np.ndarray, "*batch h w"]) -> Float[np.ndarray, "*batch h w 3"]:
        """Points in the camera frame of a depth image (z along the optical axis); unit as the depth's.

        NaN where there is no depth: not finite, zero or negative. Raises BadInput for another image size.
        """
        depth = np.asarray(depth_m, np.float64)
        if depth.shape[-2:] != (self.height, self.width):
            raise BadInput(
                f"depth image is {_size(depth.shape)} px but the camera is {self.width} x {self.height} px",
                hint="use the intrinsics of this stream and resolution",
            )
        z = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
        x = z * ((np.arange(self.width) - self.cx) / self.fx)
        y = z * ((np.arange(self.height) - self.cy) / self.fy)[:, None]
        return np.stack([x, y, z], axis=-1)

    def contains(self, pixels: Float[np.ndarray, "*batch 2"]) -> Bool[np.ndarray, "*batch"]:
        """Whether each pixel position lies on the image; False for NaN."""
        u, v = np.asarray(pixels)[..., 0], np.asarray(pixels)[..., 1]
        return np.asarray((u >= -0.5) & (u < self.width - 0.5) & (v >= -0.5) & (v < self.height - 0.5))

    def scaled(self, factor: float) -> PinholeCamera:
        """The camera of the image resized by `factor`; its size is rounded to whole pixels."""
        if not (math.isfinite(factor) and factor > 0):
            raise BadInput(f"cannot scale a camera by {factor}", hint="give a positive factor")
        width, height = max(1, round(self.width * factor)), max(1, round(self.height * factor))
        sx, sy = width / self.width, height / self.height
        # Pixel edges, not centres, scale about the origin: hence the halves.
        return PinholeCamera(
            width, height, self.fx * sx, self.fy * sy, (self.cx + 0.5) * sx - 0.5, (self.cy + 0.5) * sy - 0.5
        )

    def cropped(self, left: int, top: int, width: int, height: int) -> PinholeCamera:
        """The camera of the part of the image that starts at column `left` and row `top`."""
        if left < 0 or top < 0 or left + width > self.width or top + height > self.height:
            raise BadInput(
                f"crop of {width} x {height} px at ({left}, {top}) "
                f"leaves the image of {self.width} x {self.height} px"
            )
        return PinholeCamera(width, height, self.fx, self.fy, self.cx - left, self.cy - top)

    def to_json(self) -> dict[str, int | float]:
        """Plain dict with the keys width, height, fx, fy, cx, cy."""
        return {k: getattr(self, k) for k in ("width", "height", "fx", "fy", "cx", "cy")}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str | Path | None = None) -> PinholeCamera:
        """Camera from a dict in one of three spellings; `where` is named in errors.

        - width, height, fx, fy, cx, cy (ours)
        - width, height, fx, fy, ppx, ppy, coeffs (librealsense)
        - width, height, intrinsic_matrix: nine numbers, column by column (Open3D)

        Raises BadInput for missing keys, text where numbers belong, and lens distortion other than zero.
        """
        given = dict(values)
        if "intrinsic_matrix" in given:
            given |= _from_column_major(given["intrinsic_matrix"], where)
        for ours, theirs in (("cx", "ppx"), ("cy", "ppy")):
            if ours not in given and theirs in given:
                given[ours] = given[theirs]
        keys = ("width", "height", "fx", "fy", "cx", "cy")
        if missing := [k for k in keys if k not in given]:
            raise BadInput(
                f"camera intrinsics lack {', '.join(missing)}",
                where,
                hint="give width, height, fx, fy, cx, cy in pixels, or width, height and intrinsic_matrix",
            )
        for k in keys:
            if isinstance(given[k], bool) or not isinstance(given[k], int | float):
                raise BadInput(f"camera {k} is {given[k]!r}, not a number", where)
        for k in ("width", "height"):
            if not float(given[k]).is_integer():
                raise BadInput(f"camera {k} is {given[k]}", where, hint="give a whole number of pixels")
        for k in ("coeffs", "distortion"):
            if any(abs(float(c)) > 1e-12 for c in given.get(k) or ()):
                raise BadInput(f"lens distortion ({k}) is not zero", where, hint="undistort the images first")
        try:
            return cls(*(int(given[k]) for k in keys[:2]), *(float(given[k]) for k in keys[2:]))
        except BadInput as error:
            raise BadInput(error.what, where, error.hint) from None


def _from_column_major(matrix: Any, where: str | Path | None) -> dict[str, float]:
    try:
        K = np.array(matrix, np.float64)
    except (TypeError, ValueError):
        K = np.empty(0)
    if K.shape == (9,):
        K = K.reshape(3, 3).T
    if K.shape != (3, 3) or np.any(K[[0, 1, 2, 2], [1, 0, 0, 1]] != 0) or K[2, 2] != 1:
        raise BadInput(
            "intrinsic_matrix is not a 3 x 3 pinhole matrix",
            where,
            hint="nine numbers column by column: fx, 0, 0, 0, fy, 0, cx, cy, 1",
        )
    return {"fx": float(K[0, 0]), "fy": float(K[1, 1]), "cx": float(K[0, 2]), "cy": float(K[1, 2])}


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in reversed(shape[-2:]))
