"""A scene's views as backends take them: in the unit cube, at a scale, with what is known of depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nerfrecon.backends.base import RayCamera, TrainingView
from nerfrecon.render.rays import camera_directions, pixel_grid
from nerfrecon.scene import Scene
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.training.depths import ViewDepths

LEAST_SIDE_PX = 16
"""Pictures are not reduced below this."""


def ray_camera(scene: Scene, view: int, scale: float | int = 1.0) -> RayCamera:
    """The camera of a view in the unit cube, of the picture averaged down by `scale`."""
    return _in_cube(scene, view, scene.views[view].camera.scaled(scale))


def training_views(scene: Scene, views: Sequence[int], scale: float | int = 1.0) -> list[TrainingView]:
    """Pictures, cameras and what is usable of these views. Raises BadInput for pictures that are damaged."""
    found = []
    for view in views:
        picture = scene.views[view].load(usable_scale(scene, view, scale))
        found.append(TrainingView(_in_cube(scene, view, picture.camera), picture.pixels, picture.usable))
    return found


def usable_scale(scene: Scene, view: int, scale: float | int) -> float:
    """`scale`, or what leaves a picture 16 px a side."""
    camera = scene.views[view].camera
    return min(1.0, max(scale, LEAST_SIDE_PX / min(camera.width, camera.height)))


def view_depths(scene: Scene, views: Sequence[int], scale: float | int = 1.0) -> list[ViewDepths]:
    """Depth maps and sparse points of these views, as lengths along rays in the unit cube.

    Points are trusted by their reprojection error e: exp(-(e / mean error)^2) (Deng et al., DS-NeRF, 2022,
    section 3.2, whose loss weighs them so).
    """
    found = []
    for view in views:
        scale_ = usable_scale(scene, view, scale)
        camera = ray_camera(scene, view, scale_)
        depth = scene.views[view].load_depth(scale_)
        if depth is not None:
            z = camera_directions(camera, pixel_grid(camera))[:, 2].reshape(depth.shape)
            depth = (depth / z / scene.side).astype(np.float32)
        found.append(ViewDepths(depth, *_points(scene, view, scale_)))
    return found


def _points(scene: Scene, view: int, scale: float | int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points = scene.points
    numbers = np.zeros(0, np.int64) if points is None else np.unique(points.seen_by(view))
    if points is None or not len(numbers):
        return np.zeros((0, 2)), np.zeros(0), np.zeros(0)
    seen = scene.views[view]
    world = points.positions[numbers]
    local = (world - seen.position) @ seen.T_world_camera[:3, :3]
    camera = seen.camera.scaled(scale)
    pixels = camera.project(local)
    trust = np.ones(len(numbers))
    if points.errors_px is not None and points.errors_px.mean() > 0:
        trust = np.exp(-np.square(points.errors_px[numbers] / points.errors_px.mean()))
    inside = camera.contains(pixels)
    return pixels[inside], (np.linalg.norm(local, axis=1) / scene.side)[inside], trust[inside]


def _in_cube(scene: Scene, view: int, camera: LensCamera) -> RayCamera:
    pinhole = camera.pinhole
    return RayCamera(
        pinhole.width,
        pinhole.height,
        pinhole.fx,
        pinhole.fy,
        pinhole.cx,
        pinhole.cy,
        scene.T_unit_camera(view),
        camera.distortion if camera.is_distorted else (),
    )
