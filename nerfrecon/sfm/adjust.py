"""Robust bundle adjustment: poses, lenses and points of a group once more, without heed to what is wrong.

Mapping ends with plain least squares over whatever lies within 4 px. Some of that is wrong: features at an
outline slide over the surface as the view changes, highlights wander. Under Cauchy's loss (Hartley and
Zisserman, Multiple View Geometry, 2nd ed., A6.8) what misses by many times the usual hardly pulls; the usual
is read off the observations themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from nerfrecon.sfm.colmap_calls import colmap, run_step
from nerfrecon.sfm.mapping import FoundModel

ROUNDS = 2
"""The second with the scale that is left after the first."""
LEAST_PX = 0.02
"""Of the loss's scale: perfect observations would make it nought."""


def adjust(model: FoundModel) -> FoundModel:
    """The same group, its reconstruction adjusted in place; its points' errors are those after it."""
    pycolmap: Any = colmap()
    found = model.reconstruction
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.solver_options.num_threads = 1  # repeatable
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    for _ in range(ROUNDS):
        errors = reprojection_errors_px(model)
        if not len(errors):
            return model
        options.ceres.loss_function_scale = max(float(np.median(errors)), LEAST_PX)
        run_step(
            "Adjusting cameras and points",
            lambda token: pycolmap.bundle_adjustment(found, options, token),
        )
    found.update_point_3d_errors()
    return model


def reprojection_errors_px(model: FoundModel) -> Float[np.ndarray, " n"]:
    """Of all observations of points in front of their camera, one after the other."""
    found = model.reconstruction
    points = {number: point.xyz for number, point in found.points3D.items()}
    errors = []
    for image in model.images:
        observed = [one for one in image.points2D if one.has_point3D()]
        if not observed:
            continue
        xyz = np.array([points[one.point3D_id] for one in observed])
        local = xyz @ image.cam_from_world().matrix()[:, :3].T + image.cam_from_world().matrix()[:, 3]
        ahead = local[:, 2] > 0
        pixels = found.camera(image.camera_id).img_from_cam(local[ahead])
        seen = np.array([one.xy for one in observed])[ahead]
        errors.append(np.linalg.norm(pixels - seen, axis=1))
    return np.concatenate(errors) if errors else np.zeros(0)
