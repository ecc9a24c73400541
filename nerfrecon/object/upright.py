"""Up, and the plane that the object stands on.

The plane is the one with most points near the place that the cameras look at, on one side of which all
cameras are and (nearly) nothing on the other. Walls are such planes too: the cameras' own up decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from nerfrecon.scene import View

_TRIALS = 1500
_SAMPLE = 3000
_THICK = 0.006
"""Of the plane, in distances of the cameras."""
_NEAR = 0.8
"""Points count that lie this near the place looked at, in distances of the cameras."""
_LEAST_SHARE = 0.08
_LEVEL_DEG = 20.0
_MOST_TILT = 50.0
"""Degrees between the plane's normal and the cameras' up."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Unit up and what it is from; the plane n . x + d = 0 that the object stands on (or hangs on: then n is
    not up), or None; the share of near points on it, and their spread."""

    up: Float[np.ndarray, " 3"]
    up_from: Literal["option", "file", "sfm", "points", "cameras"]
    plane: Float[np.ndarray, " 4"] | None = None
    share: float = 0.0
    thickness: float = 0.0

    @property
    def is_wall(self) -> bool:
        """Whether the plane is far from level."""
        level = np.cos(np.deg2rad(_LEVEL_DEG))
        return self.plane is not None and bool(self.plane[:3] @ self.up < level)


def camera_up(views: Sequence[View]) -> tuple[Float[np.ndarray, " 3"], float]:
    """Up of cameras that are held level, upright or on their side, and how sure that is in [0, 1].

    One of a picture's axes is level then: the direction most at right angles to these.
    """
    R = np.stack([view.T_world_camera[:3, :3] for view in views])
    best, sure = -R[:, :, 1].mean(0), 0.0
    for axis in (0, 1):
        level = R[:, :, axis]
        values, ways = np.linalg.eigh(np.einsum("ni,nj->ij", level, level) / len(level))
        clear = 1 - 3 * values[0] if values[1] > 0.05 else 0.0
        if clear > sure:
            other = -R[:, :, 1] if axis == 0 else R[:, :, 0]
            way = ways[:, 0]
            lean = float((other @ way).mean())
            if axis == 1 or lean == 0:
                # On their side up may be left or right; cameras stand higher than what they look at.
                lean = -float((R[:, :, 2] @ way).mean())
            best, sure = way * (1 if lean > 0 else -1), clear
    return best / max(float(np.linalg.norm(best)), 1e-12), sure


def find_plane(
    positions: Float[np.ndarray, "n 3"],
    views: Sequence[View],
    centre: Float[np.ndarray, " 3"],
    up: Float[np.ndarray, " 3"] | None,
    seed: int = 0,
) -> Ground | None:
    """The ground under `centre`; None where there is none. `up` is a guess, good to 50 degrees."""
    cameras = np.stack([view.position for view in views])
    distance = float(np.median(np.linalg.norm(cameras - centre, axis=1)))
    near = positions[np.linalg.norm(positions - centre, axis=1) < _NEAR * distance]
    if len(near) < 40:
        return None
    rng = np.random.default_rng(seed)
    sample = near[rng.choice(len(near), min(len(near), _SAMPLE), replace=False)]
    corner = sample[rng.integers(len(sample), size=(_TRIALS, 3))]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    length = np.linalg.norm(normal, axis=1)
    good = length > 1e-6 * distance**2
    normal, start = normal[good] / length[good, None], corner[good, 0]
    offset = -(normal * start).sum(1)
    above = (cameras @ normal.T + offset > 0).mean(0)
    flip = np.where(above < 0.5, -1.0, 1.0)
    normal, offset, above = normal * flip[:, None], offset * flip, np.maximum(above, 1 - above)
    usable = above > 0.9
    if up is not None:
        usable &= normal @ up > np.cos(np.deg2rad(_MOST_TILT))
    normal, offset = normal[usable], offset[usable]
    if not len(normal):
        return None
    thick = _THICK * distance
    height = sample @ normal.T + offset
    score = (np.abs(height) < thick).mean(0) - 1.5 * (height < -3 * thick).mean(0)
    n, d = normal[score.argmax()], float(offset[score.argmax()])
    for _ in range(5):
        on = near[np.abs(near @ n + d) < thick]
        middle = on.mean(0)
        fitted = np.linalg.svd(on - middle, full_matrices=False)[2][2]
        n = fitted if fitted @ n > 0 else -fitted
        d = -float(n @ middle)
    if up is not None and n @ up < np.cos(np.deg2rad(_MOST_TILT)):
        return None  # what few points said there was no plane
    height = near @ n + d
    on = np.abs(height) < thick
    if on.mean() < _LEAST_SHARE or (height < -3 * thick).mean() > 0.25:
        return None
    spread = 1.4826 * float(np.median(np.abs(height[on])))
    return Ground(n, "points", np.array([*n, d]), float(on.mean()), spread)
