"""Which cells of the unit cube training cameras see: all in their pictures, or those before surfaces.

A cell is kept where at least one camera has its centre in the picture and, with surfaces known, not behind
the one that is seen there: what no training ray reaches before it ends can never be learned (dynamic
visibility).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int32

from nerfrecon.backends.base import RayCamera, Rendered
from nerfrecon.render.rays import distort, projected

OPAQUE = 0.98
"""Opacity from which a pixel hides what is behind it."""
CELLS_AT_ONCE = 1 << 17


def seen_cells(
    cameras: Sequence[RayCamera],
    resolution: int,
    surfaces: Sequence[Rendered] | None = None,
    margin: float | int = 0.0,
    among: Bool[np.ndarray, " cells"] | None = None,
) -> Bool[np.ndarray, " cells"]:
    """Cells that a camera sees; `surfaces` are renderings, `margin` is a length behind them that stays.

    `among` says which cells are looked at; the others count as not seen.
    """
    seen = np.zeros(resolution**3, bool)
    radius = 3**0.5 / 2 / resolution
    for number, camera in enumerate(cameras):
        reach = None if surfaces is None else _reach(surfaces[number], margin + radius)
        open_ = np.flatnonzero(~seen if among is None else ~seen & among)
        for cells in np.array_split(open_, max(1, -(-len(open_) // CELLS_AT_ONCE))):
            seen[cells[_sees(camera, _centres(cells, resolution), reach, radius)]] = True
    return seen


def views_into(
    cameras: Sequence[RayCamera],
    surfaces: Sequence[Rendered],
    points: Float[np.ndarray, "n 3"],
    margin: float | int,
) -> Int32[np.ndarray, " n"]:
    """How many cameras have points of the unit cube in the picture, at most `margin` behind its surface."""
    count = np.zeros(len(points), np.int32)
    for camera, surface in zip(cameras, surfaces, strict=True):
        ends = np.where(surface.opacity > 0.5, surface.depth, np.inf)
        for part in np.array_split(np.arange(len(points)), len(points) // CELLS_AT_ONCE + 1):
            pixels, away = projected(camera, points[part])
            most = [camera.width - 1, camera.height - 1]
            with np.errstate(invalid="ignore"):
                inside = np.all((pixels > -0.5) & (pixels < np.array(most) + 0.5), axis=1)
            column, row = np.where(inside[:, None], np.rint(pixels), 0).clip(0, most).astype(np.int64).T
            count[part] += inside & (away < ends[row, column] + margin)
    return count


def _sees(
    camera: RayCamera, points: Float[np.ndarray, "n 3"], reach: np.ndarray | None, radius: float | int
) -> np.ndarray:
    T = camera.T_unit_camera
    local = (points - T[:3, 3]) @ T[:3, :3]
    length = np.linalg.norm(local, axis=1)
    close = length < 2 * radius  # a cell around the camera is seen, whatever its centre is
    front = local[:, 2] > 1e-6
    plane = local[:, :2] / np.where(front, local[:, 2], 1.0)[:, None]
    pixels = distort(plane, camera.distortion) * [camera.fx, camera.fy] + [camera.cx, camera.cy]
    # A cell reaches into the picture by its radius.
    slack = radius * max(camera.fx, camera.fy) / np.where(front, local[:, 2], 1.0) + 0.5
    low, high = -slack[:, None], np.array([camera.width - 1, camera.height - 1]) + slack[:, None]
    inside = front & ((pixels >= low) & (pixels <= high)).all(1)
    if reach is not None:
        most = [camera.width - 1, camera.height - 1]
        column, row = np.where(inside[:, None], np.rint(pixels), 0).clip(0, most).astype(np.int64).T
        inside &= length <= reach[row, column]
    return inside | close


def _reach(rendered: Rendered, margin: float | int) -> np.ndarray:
    """How far each pixel sees; the furthest of its neighbours, since a cell covers more than one."""
    import cv2

    ends = np.where(rendered.opacity >= OPAQUE, rendered.depth + margin, np.float32(1e9))
    return cv2.dilate(ends.astype(np.float32), np.ones((3, 3), np.uint8))


def _centres(cells: np.ndarray, resolution: int) -> Float[np.ndarray, "n 3"]:
    xyz = np.stack([cells % resolution, cells // resolution % resolution, cells // resolution**2], 1)
    return (xyz + 0.5) / resolution
