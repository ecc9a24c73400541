"""Pixels to rays in the unit cube, with OpenCV's lens distortion undone.

Normalised image coordinates (x, y) = (X / Z, Y / Z) are distorted to (OpenCV, "Camera Calibration and 3D
Reconstruction", r^2 = x^2 + y^2)

    x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2)
    y' = y (...) / (...) + p1 (r^2 + 2 y^2) + 2 p2 x y,        u = fx x' + cx,   v = fy y' + cy

and undone by Newton's method, in float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from nerfrecon.backends.base import RayCamera
from nerfrecon.render.random import Draw, torch_below, torch_uniform

NEWTON_STEPS = 20
LONGEST_NEWTON_STEP = 0.5
Lens = tuple[float | int, ...]
"""k1, k2, p1, p2, k3, k4, k5, k6, or the first of these."""


class Rays(NamedTuple):
    """Where rays begin, and unit directions, in the unit cube."""

    origins: Float32[Tensor, "n 3"]
    directions: Float32[Tensor, "n 3"]


class Pixels(NamedTuple):
    """Pixels of training views."""

    view: Int64[Tensor, " n"]
    column: Int64[Tensor, " n"]
    row: Int64[Tensor, " n"]


def draw_pixels(
    seed: int, step: int, rays: Int64[Tensor, " n"], sizes_px: Int64[Tensor, "views 2"]
) -> Pixels:
    """The pixels that the rays of these numbers see in a step; `sizes_px` are (width, height) of the views.

    Each view is as likely as the others, and within it each pixel.
    """
    view = torch_below(len(sizes_px), seed, step, rays, Draw.VIEW)
    width, height = sizes_px[view].unbind(1)
    column = torch_below(width, seed, step, rays, Draw.COLUMN)
    return Pixels(view, column, torch_below(height, seed, step, rays, Draw.ROW))


def draw_backgrounds(seed: int, step: int, rays: Int64[Tensor, " n"]) -> Float32[Tensor, "n 3"]:
    """A random colour behind each ray, so that no colour of the field can pass for what shines through."""
    channels = (Draw.BACKGROUND_RED, Draw.BACKGROUND_GREEN, Draw.BACKGROUND_BLUE)
    return torch.stack([torch_uniform(seed, step, rays, which) for which in channels], 1)


def pixel_grid(camera: RayCamera) -> Float[np.ndarray, "n 2"]:
    """All pixel centres (u, v), row by row."""
    v, u = np.mgrid[: camera.height, : camera.width]
    return np.stack([u, v], -1).reshape(-1, 2).astype(np.float64)


def camera_rays(camera: RayCamera, pixels: Float[np.ndarray, "n 2"]) -> Rays:
    """The rays through pixel positions (u, v)."""
    T = camera.T_unit_camera
    directions = camera_directions(camera, pixels) @ T[:3, :3].T
    directions = torch.from_numpy(directions.astype(np.float32))
    origin = torch.from_numpy(T[:3, 3].astype(np.float32))
    return Rays(origin.expand(len(directions), 3).contiguous(), directions)


def camera_directions(camera: RayCamera, pixels: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
    """Unit directions in the camera frame; their z turns a length along the ray into a depth."""
    x = (pixels[:, 0] - camera.cx) / camera.fx
    y = (pixels[:, 1] - camera.cy) / camera.fy
    plane = undistort(np.stack([x, y], -1), camera.distortion)
    directions = np.concatenate([plane, np.ones((len(plane), 1))], 1)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def projected(
    camera: RayCamera, points: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Pixels of points of the unit cube, NaN behind the camera, and their distances from it."""
    T = camera.T_unit_camera
    local = (points - T[:3, 3].astype(np.float32)) @ T[:3, :3].astype(np.float32)
    z = np.where(local[:, 2] > 1e-6, local[:, 2], np.nan)
    plane = distort(local[:, :2] / z[:, None], camera.distortion)
    focal, centre = ([camera.fx, camera.fy], [camera.cx, camera.cy])
    pixels = plane * np.array(focal, plane.dtype) + np.array(centre, plane.dtype)
    return pixels, np.linalg.norm(local, axis=1)


def distort(points: Float[np.ndarray, "n 2"], distortion: Lens) -> Float[np.ndarray, "n 2"]:
    """Where OpenCV's lens puts normalised image coordinates."""
    return _distort(points, distortion)[0] if any(distortion) else points


def undistort(points: Float[np.ndarray, "n 2"], distortion: Lens) -> Float[np.ndarray, "n 2"]:
    """The points that `distort` takes to these.

    Beyond the lens's fold, where there are none, the result is finite and of no meaning.
    """
    if not any(distortion):
        return points
    found = np.array(points, np.float64)
    for _ in range(NEWTON_STEPS):
        there, J = _distort(found, distortion)
        residual = there - points
        if np.abs(residual).max(initial=0) < 1e-13:
            break
        determinant = J[:, 0, 0] * J[:, 1, 1] - J[:, 0, 1] * J[:, 1, 0]
        determinant = np.where(np.abs(determinant) < 1e-9, 1e-9, determinant)
        dx = (J[:, 1, 1] * residual[:, 0] - J[:, 0, 1] * residual[:, 1]) / determinant
        dy = (J[:, 0, 0] * residual[:, 1] - J[:, 1, 0] * residual[:, 0]) / determinant
        found -= np.clip(np.stack([dx, dy], -1), -LONGEST_NEWTON_STEP, LONGEST_NEWTON_STEP)
    return found


def _distort(points: np.ndarray, distortion: Lens) -> tuple[np.ndarray, np.ndarray]:
    """Distorted points and the derivative (n, 2, 2) of them by the points."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*distortion, *(0.0,) * (8 - len(distortion)))
    x, y = points[:, 0], points[:, 1]
    q = x * x + y * y
    over, under = 1 + q * (k1 + q * (k2 + q * k3)), 1 + q * (k4 + q * (k5 + q * k6))
    radial = over / under
    slope = (k1 + q * (2 * k2 + 3 * q * k3) - radial * (k4 + q * (2 * k5 + 3 * q * k6))) / under
    there = np.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (q + 2 * x * x),
            y * radial + p1 * (q + 2 * y * y) + 2 * p2 * x * y,
        ],
        -1,
    )
    across = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    J = np.empty((len(points), 2, 2))
    J[:, 0, 0] = radial + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
    J[:, 1, 1] = radial + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
    J[:, 0, 1] = J[:, 1, 0] = across
    return there, J
