"""A ball whose density and colour are known everywhere, as a source to bake, and a model baked from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ball_views import camera

from nerfrecon.backends.base import Colour, RayCamera, Rendered
from nerfrecon.bake.bake import Placed
from nerfrecon.bake.options import BakeOptions
from nerfrecon.render.rays import camera_rays, pixel_grid

CENTRE, RADIUS, DENSITY, SHEEN = np.array([0.5, 0.48, 0.52]), 0.3, 400.0, 0.2
OPTIONS = BakeOptions(most_resolution=48, fit_steps=60, look_rays=16384, rays=2048, orbit=0)
TURN = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
T_UNIT_WORLD = np.block(
    [[0.25 * TURN, np.array([[0.5], [0.45], [0.5]])], [np.zeros((1, 3)), np.ones((1, 1))]]
)
PLACED = Placed(T_UNIT_WORLD, np.array([0.0, 1.0, 0.0]))


class Ball:
    """Even density; colour by where a ray enters, and brighter seen along x."""

    occupied = np.ones((32, 32, 32), bool)

    def density(self, points: np.ndarray) -> np.ndarray:
        return DENSITY * (np.linalg.norm(points - CENTRE, axis=1) < RADIUS)

    def render(self, camera: RayCamera, background: Colour) -> Rendered:
        rays = camera_rays(camera, pixel_grid(camera))
        o, d = (part.numpy().astype(np.float64) for part in rays)
        middle = (d * (CENTRE - o)).sum(1)
        half = np.sqrt((middle**2 - ((o - CENTRE) ** 2).sum(1) + RADIUS**2).clip(0))
        opacity = 1 - np.exp(-2 * DENSITY * half)
        colour = 0.5 + 0.25 * np.sin(9 * (o + (middle - half)[:, None] * d)) + SHEEN * d[:, :1]
        rgb = opacity[:, None] * colour + (1 - opacity)[:, None] * np.array(background)
        size = (camera.height, camera.width)
        arrays = (rgb.reshape(*size, 3), (middle - half).reshape(size), opacity.reshape(size))
        return Rendered(*(one.astype(np.float32) for one in arrays))


def cameras(count: int = 12) -> list[RayCamera]:
    """A ring at changing heights; none is at a turn of 0.26."""
    turns = 2 * np.pi * np.arange(count) / count
    return [sized(camera(turn, 0.6 * float(np.sin(1.7 * k)))) for k, turn in enumerate(turns)]


def held_out() -> RayCamera:
    """Between two of them, with a lens that is off the middle."""
    return replace(sized(camera(0.26, 0.2)), cx=25.0, cy=22.0, fy=54.0)


def sized(one: RayCamera) -> RayCamera:
    return replace(one, width=48, height=44, fx=56.0, fy=56.0, cx=23.5, cy=21.5)
