"""Cameras around an object: rings at several heights, as one walks around it with a phone."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera


def ring_poses(
    middle: Float[np.ndarray, " 3"],
    distance: float | int,
    count: int,
    lowest_deg: float | int = -20.0,
    highest_deg: float | int = 82.0,
    rings: int = 6,
    up: Float[np.ndarray, " 3"] | None = None,
) -> Float[np.ndarray, "count 4 4"]:
    """T_world_camera of `count` cameras that look at `middle`, ring after ring from below.

    A ring has views in proportion to its circumference, but at least two; rings are turned against one
    another by the golden angle. `up` is y unless told.
    """
    if count < 2 * rings or not -89 <= lowest_deg < highest_deg <= 89:
        raise BadInput(
            f"{count} views in {rings} rings from {lowest_deg:g} to {highest_deg:g} degrees",
            hint="give at least two views a ring, and heights between -89 and 89 degrees",
        )
    up = np.array([0.0, 1.0, 0.0]) if up is None else np.asarray(up, np.float64) / np.linalg.norm(up)
    across = np.cross(up, [1.0, 0, 0] if abs(up[0]) < 0.9 else [0, 1.0, 0])
    across /= np.linalg.norm(across)
    ahead = np.cross(up, across)
    heights = np.deg2rad(np.linspace(lowest_deg, highest_deg, rings))
    poses = []
    for ring, (height, views) in enumerate(zip(heights, shares(np.cos(heights), count), strict=True)):
        turns = 2 * np.pi * np.arange(views) / views + ring * np.pi * (3 - 5**0.5)
        for turn in turns:
            level = np.cos(turn) * across + np.sin(turn) * ahead
            away = np.cos(height) * level + np.sin(height) * up
            right = np.cross(-away, up)
            right /= np.linalg.norm(right)
            T = np.eye(4)
            T[:3, :3] = np.stack([right, np.cross(-away, right), -away], 1)
            T[:3, 3] = middle + distance * away
            poses.append(T)
    return np.stack(poses)


def shares(weights: Float[np.ndarray, " n"], count: int) -> list[int]:
    """`count` split in proportion to the weights, each part at least 2."""
    left = count - 2 * len(weights)
    exact = left * weights / weights.sum()
    parts = np.floor(exact).astype(int)
    parts[np.argsort(parts - exact)[: left - parts.sum()]] += 1  # the largest remainders
    return [2 + int(part) for part in parts]


def fitting_camera(side_px: int, distance: float | int, radius: float | int) -> PinholeCamera:
    """A square camera that sees a ball of `radius` at `distance` from border to border, and 3 % around."""
    sine = 1.03 * radius / distance
    if not 0 < sine < 1:
        raise BadInput(f"a camera at {distance:g} from a ball of radius {radius:g}", hint="move it away")
    middle = (side_px - 1) / 2
    focal = side_px / 2 / np.tan(np.arcsin(sine))
    return PinholeCamera(width=side_px, height=side_px, fx=focal, fy=focal, cx=middle, cy=middle)
