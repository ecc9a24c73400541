"""A trunk by formulas, for the surface tests: points of its back or its front in the body frame, mm."""

from __future__ import annotations

import numpy as np

HEIGHT_MM = 480.0


def half_width_mm(u: np.ndarray) -> np.ndarray:
    """Outline from the hips (u = 0) over waist and shoulders to the neck (u = 1)."""
    return np.interp(u, [0, 0.25, 0.6, 0.85, 0.92, 1.0], [165, 135, 160, 175, 120, 62])


def sagittal_mm(u: np.ndarray) -> np.ndarray:
    """Skin of the back on the mid-line: hollow at the loins, convex at the thorax."""
    return -20.0 * np.sin(2 * np.pi * (u - 0.02)) * np.where(u < 0.5, 1.0, 1.2)


def back_height_mm(x: np.ndarray, u: np.ndarray, furrow_mm: float = 7.0, hump_mm: float = 0.0) -> np.ndarray:
    """z of the back at (x, u): an elliptic trunk flattened behind, furrowed, a hump on its right."""
    across = np.clip(np.abs(x) / half_width_mm(u), 0, 0.999)
    trunk = 95.0 * (1 - across**3.2) ** (1 / 2.4)
    furrow = -furrow_mm * np.exp(-0.5 * (x / 14) ** 2) * np.exp(-(((u - 0.4) / 0.4) ** 4))
    hump = hump_mm * np.exp(-0.5 * ((x - 70) / 35) ** 2 - 0.5 * ((u - 0.65) / 0.12) ** 2)
    return trunk + sagittal_mm(u) + furrow + hump


def front_height_mm(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """z of the front, towards a viewer before the subject: breasts, a round belly, no furrow."""
    across = np.clip(np.abs(x) / half_width_mm(u), 0, 0.999)
    trunk = 95.0 * np.sqrt(1 - across**2)
    belly = 32.0 * np.exp(-0.5 * (x / 75) ** 2 - 0.5 * ((u - 0.22) / 0.14) ** 2)
    breasts = 20.0 * np.exp(-0.5 * ((np.abs(x) - 65) / 32) ** 2 - 0.5 * ((u - 0.62) / 0.09) ** 2)
    clavicles = -45.0 * np.clip(u - 0.75, 0, 1)
    return trunk + belly + breasts + clavicles


def scan(
    side: str = "back", n: int = 20_000, noise_mm: float = 0.3, seed: int = 0, **shape: float
) -> np.ndarray:
    """(n, 3) points seen by a viewer before that side: x to the viewer's right, y up, z to the viewer."""
    random = np.random.default_rng(seed)
    u = random.random(4 * n)
    x = random.uniform(-1, 1, 4 * n) * 175
    inside = np.abs(x) < 0.97 * half_width_mm(u)
    x, u = x[inside][:n], u[inside][:n]
    z = back_height_mm(x, u, **shape) if side == "back" else front_height_mm(x, u)
    points = np.stack([x, u * HEIGHT_MM, z], axis=1)
    points[:, 2] += noise_mm * random.standard_normal(len(points))
    return points


def in_camera(points_mm: np.ndarray, distance_mm: float = 900.0) -> np.ndarray:
    """As a depth camera files them: metres, x right, y down, z away."""
    centred = points_mm - np.median(points_mm, axis=0)
    return (centred * [1, -1, -1] + [0, 0, distance_mm]) / 1000
