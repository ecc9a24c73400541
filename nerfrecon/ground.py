"""Which way is up, and the plane that things stand on, from cameras with poses and points.

Up is square to what people hold level: one axis of every picture. The ground is the plane with most points
near the place that is looked at, with the cameras on one side of it and hardly a point on the other. Walls
are such planes too: where up is known, it decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

_TRIALS = 1500
_SAMPLE = 3000
_THICK = 0.006
"""Of a plane, in distances of the cameras; a point is below where it is three times as far from it."""
_ABOVE, _BELOW = 0.9, 0.25
"""Shares: of the cameras that are above at least, of the points that are below at most."""
_LEAST_SHARE = 0.1
_FEWEST = 40
MOST_TILT_DEG = 50.0
"""Between a plane's normal and a guess of up."""
_LEVEL_DEG = 20.0
_TURNED, _LEVEL = 0.04, 0.12
"""Of the axes held level, in the plane that they turn in: how much they turn at least (least to most spread),
and how far they leave it at most (spread square to it, to the lesser one within)."""
_HELD = {1: (0, -1), 2: (0, -1), 3: (0, 1), 4: (0, 1), 5: (-1, 0), 6: (-1, 0), 7: (1, 0), 8: (1, 0)}
"""Up in the stored pixels (right, down) by EXIF's orientation: 6 is stored on its side, up points left."""

UpFrom = Literal["option", "file", "sfm", "points", "ring", "cameras"]


@dataclass(frozen=True, eq=False)
class Ground:
    """Unit up and what it is from; the plane n . x + d = 0 that the object stands on (or hangs on: then n is
    not up), or None; the share of near points on it, and their spread."""

    up: Float[np.ndarray, " 3"]
    up_from: UpFrom
    plane: Float[np.ndarray, " 4"] | None = None
    share: float = 0.0
    thickness: float = 0.0

    @property
    def is_wall(self) -> bool:
        """Whether the plane is far from level."""
        level = np.cos(np.deg2rad(_LEVEL_DEG))
        return self.plane is not None and bool(self.plane[:3] @ self.up < level)


def camera_up(
    T_world_camera: Float[np.ndarray, "n 4 4"], orientations: list[int] | None = None
) -> tuple[Float[np.ndarray, " 3"], bool]:
    """Unit up by how the pictures were held, and whether that is sure: they are level, and turn enough.

    `orientations` are EXIF's; without them all pictures are taken for upright or, where that fits better, all
    for lying on one side. Where it is not sure it is the mean of the pictures' own up; pictures taken from
    above say little, and count little: what is summed is the part of it that most have in common.
    """
    R = T_world_camera[:, :3, :3]
    held = np.array([_HELD.get(orientation, (0, -1)) for orientation in orientations or [1] * len(R)])
    ups = (R[:, :, :2] * held[:, None]).sum(2)
    mean = _common(ups)
    axis, leaves = _square_to(np.cross(ups, R[:, :, 2]))
    if orientations is None:
        other, leaves_other = _square_to(R[:, :, 1])
        if leaves_other < min(leaves, _LEVEL):  # up may be left or right; cameras stand higher than they look
            return other if (R[:, :, 2] @ other).mean() < 0 else -other, True
    if leaves < _LEVEL:
        return axis if axis @ mean > 0 else -axis, True
    return mean, False


def find_plane(
    points: Float[np.ndarray, "n 3"],
    cameras: Float[np.ndarray, "m 3"],
    centre: Float[np.ndarray, " 3"],
    up: Float[np.ndarray, " 3"] | None,
    *,
    near: float,
    seed: int = 0,
) -> Ground | None:
    """The ground under `centre`; None where there is none. `up` is a guess, good to 50 degrees.

    Points count that lie `near` the centre, in distances of the cameras.
    """
    distance = float(np.median(np.linalg.norm(cameras - centre, axis=1)))
    thick = _THICK * distance
    close = points[np.linalg.norm(points - centre, axis=1) < near * distance]
    if len(close) < _FEWEST:
        return None
    rng = np.random.default_rng(seed)
    sample = close[rng.choice(len(close), min(len(close), _SAMPLE), replace=False)]
    corner = sample[rng.integers(len(sample), size=(_TRIALS, 3))]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    length = np.linalg.norm(normal, axis=1)
    good = length > 1e-6 * distance**2
    normal, start = normal[good] / length[good, None], corner[good, 0]
    offset = -(normal * start).sum(1)
    above = (cameras @ normal.T + offset > 0).mean(0)
    flip = np.where(above < 0.5, -1.0, 1.0)
    normal, offset, above = normal * flip[:, None], offset * flip, np.maximum(above, 1 - above)
    level = np.cos(np.deg2rad(MOST_TILT_DEG))
    usable = above > _ABOVE
    if up is not None:
        usable &= normal @ up > level
    normal, offset = normal[usable], offset[usable]
    if not len(normal):
        return None
    height = sample @ normal.T + offset
    score = (np.abs(height) < thick).mean(0) - 1.5 * (height < -3 * thick).mean(0)
    n, d = normal[score.argmax()], float(offset[score.argmax()])
    for _ in range(5):
        on = close[np.abs(close @ n + d) < thick]
        middle = on.mean(0)
        fitted = np.linalg.svd(on - middle, full_matrices=False)[2][2]
        n = fitted if fitted @ n > 0 else -fitted
        d = -float(n @ middle)
    if up is not None and n @ up < level:
        return None  # what few points said there was no plane
    height = close @ n + d
    on = np.abs(height) < thick
    if on.mean() < _LEAST_SHARE or (height < -3 * thick).mean() > _BELOW:
        return None
    spread = 1.4826 * float(np.median(np.abs(height[on])))
    return Ground(n, "points", np.array([*n, d]), float(on.mean()), spread)


def _square_to(level: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, " 3"], float]:
    """The direction that unit vectors are most square to, and how far they leave its plane; 1 where they do
    not turn enough in it to tell."""
    values, ways = np.linalg.eigh(level.T @ level / len(level))
    tells = len(level) >= 3 and values[1] > _TURNED * values[2]
    return ways[:, 0], float(max(values[0], 0.0) / values[1]) if tells else 1.0


def _common(ups: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " 3"]:
    mean = ups.mean(0)
    for _ in range(10):
        mean = mean / max(float(np.linalg.norm(mean)), 1e-12)
        mean = (ups * np.clip(ups @ mean, 0, None)[:, None]).sum(0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)
