"""The spine in 3D under a translucent skin."""

from __future__ import annotations

import numpy as np

from spine.heightmap import HeightMap
from spine.output import SKIN_RGB, spine_meshes
from spine.reconstruction import Reconstruction
from spine.report.maps import ASYMMETRY_MM, CURVATURE_PER_M, asymmetry, mean_curvature_per_m
from spine.skin_mesh import skin_mesh
from suite.report.view3d import View3D


def scene(result: Reconstruction, most_skin_vertices: int, heat: str) -> View3D:
    """Vertebrae, skin, spinous line and landmarks as layers; the skin's heat map is off at first."""
    view = View3D(alt="The reconstructed spine in 3D under the translucent skin of the back")
    view.meshes("Spine", spine_meshes(result), color="#e6d9bd")
    skin = skin_mesh(result.surface, most_skin_vertices)
    view.meshes("Skin", [skin], color=f"rgb{SKIN_RGB}", opacity=0.35)
    line, seen = result.landmarks.line, result.landmarks.line.seen
    points = np.stack([line.x_mm[seen], line.y_mm[seen], line.z_mm[seen] + 1.5], axis=1)
    view.line("Spinous line", points, color="#d55e00", width_px=5)
    named = [
        ("VP", result.landmarks.vp_mm),
        ("Base", result.landmarks.base_mm),
        ("DL", result.landmarks.dimple_left_mm),
        ("DR", result.landmarks.dimple_right_mm),
    ]
    found = [(name, point) for name, point in named if point is not None]
    view.points(
        "Landmarks",
        np.stack([p for _, p in found]) + np.array([0, 0, 2.0]),
        [n for n, _ in found],
        color="#0072b2",
    )
    if heat == "curvature":
        height, limit, label = result.surface.height(), CURVATURE_PER_M, "Mean curvature of the skin, 1/m"
        values = mean_curvature_per_m(height)
    else:
        (height, values), limit, label = (
            asymmetry(result),
            ASYMMETRY_MM,
            "Left-right asymmetry of the skin, mm",
        )
    on_grid = HeightMap(height.x_mm, height.y_mm, np.nan_to_num(values), height.observed)
    at = on_grid.sample(skin.vertices[:, 0], skin.vertices[:, 1])
    view.heat("Heat map", skin, at, label, limit=limit, visible=False)
    return view
