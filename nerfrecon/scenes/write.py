"""A scene as a transforms.json that nerfstudio and instant-ngp open too."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from nerfrecon.scene import Scene, SparsePoints, View
from nerfrecon.scenes.frames import OPENCV_OPENGL
from suite.errors import BadInput
from suite.files import atomic_write
from suite.geometry.mesh import PointCloud
from suite.geometry.ply import write_ply


def write_transforms(path: str | Path, scene: Scene) -> None:
    """Cameras, poses and box as `path`; sparse points, where there are any, as a PLY beside it, and who sees
    them as an NPZ. Pictures, masks and depth stay where they are and are named relative to it. Atomic.

    `read_scene` gives the same scene back. Raises BadInput where views have depth in different units.
    """
    path = Path(path)
    if len(units := {view.depth_unit for view in scene.views if view.depth_path}) > 1:
        raise BadInput("views have depth in different units", path, hint="write depth in one unit")
    middle = scene.box.mean(axis=0)
    document: dict[str, Any] = {
        "camera_model": "OPENCV",
        "aabb": (middle + (scene.box - middle) / scene.aabb_scale).tolist(),
        "aabb_scale": scene.aabb_scale,
    }
    if units:
        document["integer_depth_scale"] = units.pop()
    if scene.up is not None:
        document["up"] = np.asarray(scene.up).tolist()
    if scene.points is not None:
        cloud = path.with_name(f"{path.stem}_points.ply")
        write_ply(cloud, PointCloud(scene.points.positions, scene.points.colours))
        document["ply_file_path"] = cloud.name
        if scene.points.sightings is not None:
            document["sightings_path"] = _write_sightings(cloud, scene.points)
    document["frames"] = [_frame(view, path.parent) for view in scene.views]
    with atomic_write(path, "w") as out:
        json.dump(document, out, indent=1)


def _write_sightings(cloud: Path, points: SparsePoints) -> str:
    """Rows (frame, point) and reprojection errors, beside the points; the file's name."""
    path = cloud.with_name(f"{cloud.stem}_sightings.npz")
    errors = np.zeros(0) if points.errors_px is None else points.errors_px
    with atomic_write(path) as out:
        np.savez_compressed(out, sightings=np.asarray(points.sightings, np.int32), errors_px=errors)
    return path.name


def _frame(view: View, folder: Path) -> dict[str, Any]:
    pinhole = view.camera.pinhole
    frame: dict[str, Any] = {
        "file_path": _relative(view.image_path, folder),
        "w": pinhole.width,
        "h": pinhole.height,
        "fl_x": pinhole.fx,
        "fl_y": pinhole.fy,
        "cx": pinhole.cx + 0.5,
        "cy": pinhole.cy + 0.5,
        **dict(zip(("k1", "k2", "p1", "p2", "k3"), view.camera.distortion, strict=True)),
        "transform_matrix": (view.T_world_camera @ OPENCV_OPENGL).tolist(),
    }
    if view.mask_path is not None:
        frame |= {"mask_path": _relative(view.mask_path, folder), "mask_shows": view.mask_shows}
    if view.depth_path is not None:
        frame["depth_path"] = _relative(view.depth_path, folder)
    return frame


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
