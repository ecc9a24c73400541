"""The observed skin of a height map as triangles, for pictures and files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spine.heightmap import HeightMap, smoothed
from spine.surface import BackSurface
from suite.geometry.mesh import Mesh

SKIN_RGB = (222, 184, 160)


def skin_mesh(surface: BackSurface, most_vertices: int = 20_000, color: Sequence[int] | None = None) -> Mesh:
    """The seen skin in the body frame, mm, of at most `most_vertices`; lightly smoothed, holes left open."""
    area = float(surface.height().observed.sum()) * surface.height().spacing_mm ** 2
    spacing = max(2.0, float(np.ceil(2 * np.sqrt(1.03 * area / most_vertices)) / 2))
    height = surface.height(spacing)
    while height.observed.sum() > most_vertices:
        spacing += 0.5
        height = surface.height(spacing)
    mesh = triangles(smoothed(height, 3.0, 5.0))
    return mesh if color is None else mesh.with_color(color)


def triangles(height: HeightMap) -> Mesh:
    """Two triangles for every square of four observed cells, facing the viewer; unused vertices dropped."""
    seen, (ny, nx) = height.observed, height.z_mm.shape
    index = np.arange(ny * nx).reshape(ny, nx)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    whole = seen[:-1, :-1] & seen[:-1, 1:] & seen[1:, 1:] & seen[1:, :-1]
    faces = np.concatenate(
        [np.stack([corner[whole] for corner in t], axis=1) for t in ((a, b, c), (a, c, d))]
    )
    used, faces = np.unique(faces, return_inverse=True)
    x, y = np.meshgrid(height.x_mm, height.y_mm)
    vertices = np.stack([x.ravel(), y.ravel(), height.z_mm.ravel()], axis=1)[used]
    return Mesh(vertices, faces.reshape(-1, 3), name="skin")
