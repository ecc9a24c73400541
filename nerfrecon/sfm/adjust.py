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

from nerfrecon.sfm.colmap_calls import colmap
from nerfrecon.sfm.mapping import FoundModel
from suite.progress import status

ROUNDS = 2
"""The second with the scale that is left after the first."""
LEAST_PX = 0.02
"""Of the loss's scale: perfect observations would make it nought."""
PARTS, ITERATIONS = 10, 10
"""Of a round, at most: Ctrl-C is heard between parts."""
TOLERANCE = 1e-4
"""Relative change of the cost that ends a round: to the last digit takes seven times as long, and moves
cameras by less than they are off."""


def adjust(model: FoundModel) -> FoundModel:
    """The same group, its reconstruction adjusted in place; its points' errors are those after it."""
    pycolmap: Any = colmap()
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.solver_options.num_threads = 1  # repeatable
    options.ceres.solver_options.max_num_iterations = ITERATIONS
    options.ceres.solver_options.function_tolerance = TOLERANCE
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    with status("Adjusting cameras and points"):
        for _ in range(ROUNDS):
            errors = reprojection_errors_px(model)
            if not len(errors):
                return model
            options.ceres.loss_function_scale = max(float(np.median(errors)), LEAST_PX)
            _solve(model, options)
    model.reconstruction.update_point_3d_errors()
    return model


def _solve(model: FoundModel, options: Any) -> None:
    """pycolmap.bundle_adjustment would do as well, but talks on stderr whatever its log level."""
    pycolmap: Any = colmap()
    every = pycolmap.BundleAdjustmentConfig()
    for image in model.images:
        every.add_image(image.image_id)
    every.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    for _ in range(PARTS):
        solver = pycolmap.create_default_bundle_adjuster(options, every, model.reconstruction)
        if solver.solve().termination_type != pycolmap.BundleAdjustmentTerminationType.NO_CONVERGENCE:
            return


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
