"""The surface where a function of space is zero, looked at finely only near it.

Marching cubes as of T. Lewiner et al., "Efficient implementation of marching cubes' cases with topological
guarantees", 2003 (scikit-image). The lattice is surrounded by what is outside, so the surface is closed:
where the function says that matter goes on to the border, as under an object that stands on the ground, it
gets a plane cap.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from suite.errors import BadInput
from suite.geometry.mesh import Mesh

NEAR_CELLS = 2.5
"""Coarse cells from the surface within which a signed distance is looked at finely."""
_CHUNK = 1 << 19
_DILATION = 2

Function = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]]


def level_set(
    value: Function,
    hull: Bool[np.ndarray, "c c c"],
    coarse_cells: int,
    finer: int,
    near: float | int | None = None,
    smooth_cells: float | int = 0.0,
) -> Mesh:
    """The zero of `value` (positive outside, in the unit cube) as a closed mesh in the unit cube.

    Cells (z, y, x) beside `hull` are outside. Where the coarse lattice says that |value| is above `near`
    (`NEAR_CELLS` coarse cells where it is not given: for signed distances) its interpolation is enough;
    infinite: all of the hull is looked at finely. Raises BadInput where nothing is inside.
    """
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    n = coarse_cells * finer
    near = NEAR_CELLS / coarse_cells if near is None else near
    outside = 0.5 / n
    f = _coarse(value, hull, coarse_cells, finer, near)
    allowed = _resampled(hull, n)
    close = np.flatnonzero((np.abs(f) < near) & allowed)
    for start in range(0, len(close), _CHUNK):
        some = close[start : start + _CHUNK]
        z, y, x = np.unravel_index(some, f.shape)
        f.reshape(-1)[some] = value(((np.stack([x, y, z], 1) + 0.5) / n).astype(np.float32))
    f[~allowed] = np.maximum(f[~allowed], outside)
    if smooth_cells > 0:
        f = gaussian_filter(f, smooth_cells, mode="nearest")
        f[~allowed] = np.maximum(f[~allowed], outside)
    if not (f < 0).any():
        raise BadInput(
            "the field has no surface: nothing in the box is inside",
            hint="train longer, or check that box and masks hold the object",
        )
    f = np.pad(f, 1, constant_values=outside)
    corners, faces, _, _ = marching_cubes(f, 0.0)
    vertices = (corners[:, ::-1].astype(np.float64) - 0.5) / n
    return Mesh(vertices, faces[:, ::-1].astype(np.int64))


def lattice(n: int) -> Float[np.ndarray, "cells 3"]:
    """Middles (x, y, z) of the n x n x n cells of the unit cube, float32; x runs fastest."""
    middle = (np.arange(n, dtype=np.float32) + 0.5) / n
    z, y, x = np.meshgrid(middle, middle, middle, indexing="ij")
    return np.stack([x, y, z], -1).reshape(-1, 3)


def _coarse(value: Function, hull: np.ndarray, cells: int, finer: int, near: float | int) -> np.ndarray:
    """The lattice interpolated from coarse cells; zeros where nothing coarse needs to be asked."""
    from scipy.ndimage import binary_dilation, zoom

    n = cells * finer
    if math.isinf(near):
        return np.zeros((n, n, n), np.float32)
    asked = binary_dilation(_touched(hull, cells), np.ones((3, 3, 3)), _DILATION)
    f = np.full(cells**3, 1.0, np.float32)
    places = np.flatnonzero(asked)
    f[places] = value(lattice(cells)[places])
    f = f.reshape((cells,) * 3)
    return np.ascontiguousarray(zoom(f, finer, order=1, mode="nearest", grid_mode=True))


def _resampled(hull: np.ndarray, n: int) -> np.ndarray:
    places = ((np.arange(n) + 0.5) / n * len(hull)).astype(int)
    return hull[np.ix_(places, places, places)]


def _touched(hull: np.ndarray, cells: int) -> np.ndarray:
    """Coarse cells that hold a middle of the hull's finer cells, or whose middle lies in it."""
    touched = _resampled(hull, cells).copy()
    z, y, x = np.nonzero(hull)
    places = [((axis + 0.5) / len(hull) * cells).astype(int) for axis in (z, y, x)]
    touched[tuple(places)] = True
    return touched
