"""Cameras as they hang in rooms: in a corner under the ceiling, on a table, close by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from falldet.synthetic.scene import Scene

RNG = np.random.Generator


@dataclass(frozen=True, eq=False)
class View:
    """``R_world_camera`` has columns right, down, forward; ``focal`` is in half picture heights.

    A ray at the distance r from the axis is bent to r (1 + ``bend`` r^2), as wide lenses do.
    """

    eye_m: np.ndarray
    R_world_camera: np.ndarray
    focal: float
    bend: float
    width_px: int
    height_px: int

    def rays(self) -> Float[np.ndarray, "h w 3"]:
        """Unit directions in the world through the centre of each pixel."""
        half = self.height_px / 2
        x = (np.arange(self.width_px) + 0.5 - self.width_px / 2) / half / self.focal
        y = (np.arange(self.height_px) + 0.5 - half) / half / self.focal
        x, y = np.meshgrid(x, y)
        r = x**2 + y**2
        stretch = 1 + self.bend * r
        d = np.stack([x * stretch, y * stretch, np.ones_like(x)], axis=2)
        d /= np.linalg.norm(d, axis=2, keepdims=True)
        return d @ self.R_world_camera.T

    def project(self, points: Float[np.ndarray, "n 3"]) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (n, 2) and which points are before the camera."""
        local = (points - self.eye_m) @ self.R_world_camera
        front = local[:, 2] > 0.05
        q = local[:, :2] / np.where(front, local[:, 2], 1)[:, None]
        s = np.linalg.norm(q, axis=1)
        r = s.copy()
        for _ in range(6):  # the radius that is bent to s, by Newton's method
            r -= (r * (1 + self.bend * r**2) - s) / np.maximum(1 + 3 * self.bend * r**2, 0.2)
        q = q * (r / np.maximum(s, 1e-9))[:, None]
        half = self.height_px / 2
        return q * self.focal * half + (self.width_px / 2, half), front


def draw_view(scene: Scene, width_px: int, height_px: int, rng: RNG) -> View:
    """A camera in the room that looks at somebody, or about the room where nobody is."""
    half = np.asarray(scene.size_m) / 2
    top = min(3.2, scene.size_m[2] - 0.12)
    target = np.array([*(rng.uniform(-0.3, 0.3, 2) * scene.size_m[:2]), rng.uniform(0.2, 1.0)])
    if scene.people:
        person = scene.people[rng.integers(len(scene.people))].vertices
        target = 0.85 * (person.min(axis=0) + person.max(axis=0)) / 2 + 0.15 * target
    eye = target.copy()
    for _ in range(40):
        style = rng.random()
        if style < 0.4 and not (
            scene.outdoors or scene.backdrop
        ):  # under the ceiling, in a corner or at a wall
            eye = np.array(
                [*((half[:2] - rng.uniform(0.1, 0.5, 2)) * rng.choice([-1, 1], 2)), rng.uniform(0.8, 1) * top]
            )
            if rng.random() < 0.4:
                eye[rng.integers(2)] *= rng.uniform(-1, 1)
        else:
            near = style > 0.85
            distance, way = (
                (rng.uniform(1.0, 1.9) if near else rng.uniform(1.7, 5.0)),
                rng.uniform(0, 2 * np.pi),
            )
            eye = np.array(
                [*(target[:2] + distance * np.array([np.cos(way), np.sin(way)])), rng.uniform(0.7, top)]
            )
            if scene.backdrop:
                eye[2] = rng.uniform(1.2, 2.8)
        if (np.abs(eye[:2]) > half[:2] - 0.08).any() and not scene.backdrop:
            continue
        if any(block.inside(eye[None], -0.15).any() for block in scene.blocks):
            continue
        if all(np.linalg.norm(p.vertices[::20] - eye, axis=1).min() > 0.7 for p in scene.people):
            break
    else:
        eye = np.array([0.0, -half[1] + 0.1, top * 0.9])
    forward = target + rng.normal(0, 0.12, 3) - eye
    distance = float(np.linalg.norm(forward))
    forward /= distance
    right = np.cross(forward, [0, 0, 1.0])
    right /= max(float(np.linalg.norm(right)), 1e-9)
    down = np.cross(forward, right)
    roll = np.deg2rad(rng.normal(0, 3) if rng.random() < 0.9 else rng.normal(0, 14))
    right, down = np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right
    narrow = 2 * np.degrees(np.arctan(0.75 / max(distance, 0.8)))  # about a person's length fills the height
    fov = float(np.clip(rng.uniform(0.75, 2.7) * narrow, 22, 88))
    bend = float(rng.uniform(0.05, 0.35)) if rng.random() < 0.3 else 0.0
    return View(
        eye,
        np.stack([right, down, forward], axis=1),
        1 / np.tan(np.deg2rad(fov) / 2),
        bend,
        width_px,
        height_px,
    )
