"""From the raw arrays of a file to a geometry that can be trusted: the end of every reader here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suite.errors import BadInput
from suite.geometry.mesh import Mesh, PointCloud


def checked_geometry(
    where: Path,
    points: Any,
    faces: np.ndarray | None = None,
    colors: np.ndarray | None = None,
    normals: np.ndarray | None = None,
) -> Mesh | PointCloud:
    """Mesh where there are faces, otherwise PointCloud, without the points that are not finite.

    Faces that use a dropped point go with it. Raises BadInput where nothing is left or a face points outside.
    """
    points = np.asarray(points, np.float64).reshape(-1, 3)
    if not len(points):
        raise BadInput("holds no points", where, hint="export the scan again")
    finite = np.isfinite(points).all(axis=1)
    dropped = int((~finite).sum())
    if dropped == len(points):
        raise BadInput(f"all {dropped} points are NaN or infinite", where, hint="export the scan again")
    if faces is not None and len(faces):
        outside = ((faces < 0) | (faces >= len(points))).any(axis=1)
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise BadInput(
                f"triangle {row} uses vertices {faces[row].tolist()} but there are {len(points)}",
                where,
                hint="the file is damaged: export it again",
            )
        if dropped:
            faces = (np.cumsum(finite) - 1)[faces[finite[faces].all(axis=1)]]
    if dropped:
        points = points[finite]
        colors = None if colors is None else colors[finite]
        normals = None if normals is None else normals[finite]
    colors = None if colors is None else _bytes(colors)
    if faces is not None and len(faces):
        return Mesh(points, faces, colors, dropped=dropped)
    if normals is not None:
        normals = np.where(np.isfinite(normals).all(axis=1, keepdims=True), normals, 0.0)
    return PointCloud(points, colors, normals, dropped=dropped)


def fan(polygons: Sequence[Sequence[int]]) -> np.ndarray:
    """Triangles (m, 3) of convex polygons, from the first corner of each; two corners give none."""
    triangles = [(p[0], p[k], p[k + 1]) for p in polygons for k in range(1, len(p) - 1)]
    return np.array(triangles, np.int64).reshape(-1, 3)


def _bytes(colors: np.ndarray) -> np.ndarray:
    """Colours as uint8: 16-bit scaled down; floats are in [0, 1] or, where larger ones occur, [0, 255]."""
    if colors.dtype == np.uint8:
        return colors
    values = np.nan_to_num(colors.astype(np.float64))
    if colors.dtype.kind == "f":
        values = values * (255.0 if values.max(initial=0.0) <= 1.0 else 1.0)
    elif colors.dtype.itemsize == 2:
        values = values / 257.0
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
