"""The person in a depth image, apart from wall, floor, chair and stool: which pixels.

Blocks of pixels are joined where depth goes on without a jump; of the pieces the person is the one that fills
most of the image near its middle. Lengths in mm; the camera frame has z forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation, distance_transform_edt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from spine.cleaning import on_wall
from suite.data.sampling import block_camera, in_blocks, spread_out
from suite.geometry.camera import PinholeCamera

BLOCK_MM = 6.0
JUMP_MM = 25.0
"""Depth that changes by more than this from block to block belongs to different things."""
GATE_MM = 30.0
"""Pixels farther than this from the depth of the blocks around them are not of the person."""
FARTHEST_MM = 4000.0
_SEAT_MM, _SEAT_AREA_MM2, _UPWARDS = 15.0, 9000.0, 0.9
_FEWEST = 150  # blocks of a person


@dataclass(frozen=True, eq=False)
class Foreground:
    """Pixels of the person, and the depth (m) of the person continued over the whole image."""

    mask: Bool[np.ndarray, "h w"]
    around_m: Float[np.ndarray, "h w"]


def find_person(
    depth_m: Float[np.ndarray, "h w"], camera: PinholeCamera, down: Float[np.ndarray, " 3"] | None = None
) -> Foreground | None:
    """The person in a depth image; None where nothing is large enough. `down` (camera frame) helps to tell a
    seat from who sits on it."""
    seen = np.isfinite(depth_m) & (depth_m * 1000 < FARTHEST_MM)
    if not seen.any():
        return None
    near_mm = 1000 * float(np.percentile(depth_m[seen], 20))
    size = max(2, round(BLOCK_MM * camera.fx / near_mm))
    z = 1000 * in_blocks(np.where(seen, depth_m, np.nan), size, 0.5)
    points = block_camera(camera, size).backproject(z)
    for _ in range(3):  # a wall, a floor, another wall
        known = np.isfinite(z)
        if known.sum() < _FEWEST:
            return None
        wall = on_wall(points[known])
        if not wall.any():
            break
        z[np.nonzero(known)[0][wall], np.nonzero(known)[1][wall]] = np.nan
    person = _middle_piece(z)
    if person is not None and down is not None:
        seat = _seat(points, person, np.asarray(down, float))
        if seat.any():
            person = _middle_piece(np.where(person & ~seat, z, np.nan))
    if person is None:
        return None
    nearest: Any = distance_transform_edt(~person, return_distances=False, return_indices=True)
    around = z[nearest[0], nearest[1]] / 1000
    h, w = depth_m.shape
    rows = np.minimum(np.arange(h) // size, z.shape[0] - 1)
    columns = np.minimum(np.arange(w) // size, z.shape[1] - 1)
    around_m = around[rows[:, None], columns]
    close = spread_out(binary_dilation(person, np.ones((3, 3), bool)), size, h, w)
    with np.errstate(invalid="ignore"):
        mask = close & (np.abs(depth_m - around_m) < GATE_MM / 1000)
    return Foreground(mask, around_m)


def _middle_piece(z: Float[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"] | None:
    """The connected piece with the most blocks, those far from the middle counting less."""
    H, W = z.shape
    index = np.arange(H * W).reshape(H, W)
    pairs = []
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        joined = np.abs(z[a] - z[b]) < JUMP_MM
        pairs.append(np.stack([index[a][joined], index[b][joined]]))
    i, j = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(len(i), np.int8), (i, j)), shape=(H * W, H * W))
    label = connected_components(graph, directed=False)[1].reshape(H, W)
    row, column = np.mgrid[:H, :W]
    off = np.hypot((row - H / 2) / H, (column - W / 2) / W)
    known = np.isfinite(z)
    worth = np.bincount(label[known], np.exp(-0.5 * (off[known] / 0.3) ** 2), minlength=label.max() + 1)
    if not len(worth):
        return None
    best = known & (label == worth.argmax())
    return best if best.sum() >= _FEWEST else None


def _seat(
    points: Float[np.ndarray, "H W 3"], person: Bool[np.ndarray, "H W"], down: Float[np.ndarray, " 3"]
) -> Bool[np.ndarray, "H W"]:
    """Blocks of a level plane in the person's lower half, and all that is below it."""
    X = np.where(person[..., None], points, np.nan)
    n = np.full(X.shape, np.nan)
    across, along = X[1:-1, 2:] - X[1:-1, :-2], X[2:, 1:-1] - X[:-2, 1:-1]
    cross = np.cross(along, across)
    with np.errstate(invalid="ignore"):
        area = np.linalg.norm(cross, axis=2)
        n[1:-1, 1:-1] = cross / area[..., None]
    height = -(X @ down)
    half = np.nanmedian(height)
    area_mm2 = np.zeros(person.shape)
    area_mm2[1:-1, 1:-1] = area / 4
    with np.errstate(invalid="ignore"):
        level = (-(n @ down) > _UPWARDS) & (height < half)
    if not level.any():
        return np.zeros(person.shape, bool)
    bins = np.arange(np.nanmin(height), half + 2 * _SEAT_MM, _SEAT_MM / 2)
    total = np.histogram(height[level], bins, weights=area_mm2[level])[0]
    total = np.convolve(total, np.ones(2), "same")
    if total.max() < _SEAT_AREA_MM2:
        return np.zeros(person.shape, bool)
    top = bins[int(total.argmax()) + 1]
    return person & (height < top + _SEAT_MM)
