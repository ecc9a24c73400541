"""Robust adjustment against least squares, on cameras and points that are known (COLMAP's synthetic data)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nerfrecon.sfm.adjust import adjust, reprojection_errors_px
from nerfrecon.sfm.colmap_calls import colmap
from nerfrecon.sfm.mapping import FoundModel

NOISE_PX, WRONG_PX, WRONG_SHARE = 0.2, 3.0, 0.15


def synthetic() -> FoundModel:
    """Twelve cameras around 300 points, all seen by all, without noise."""
    pycolmap: Any = colmap()
    pycolmap.set_random_seed(3)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 12, 300
    return FoundModel(pycolmap.synthesize_dataset(options))


def observed_with(model: FoundModel, wrong_share: float) -> None:
    """Every observation is off a little, and some by much, all of them to the same side of the picture."""
    rng = np.random.default_rng(0)
    for image in model.images:
        for seen in image.points2D:
            wrong = rng.random() < wrong_share
            seen.xy = seen.xy + rng.normal(0, NOISE_PX, 2) + [WRONG_PX * wrong, 0.0]


def turns_deg(model: FoundModel, true: FoundModel) -> np.ndarray:
    """Errors of the rotations between neighbouring cameras: they do not depend on the frame."""

    def between(of: FoundModel) -> np.ndarray:
        R = np.stack([image.cam_from_world().matrix()[:, :3] for image in of.images])
        return R[1:] @ R[:-1].transpose(0, 2, 1)

    cosine = (np.trace(between(model) @ between(true).transpose(0, 2, 1), axis1=1, axis2=2) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def test_wrong_observations_pull_little():
    true, plain, robust = synthetic(), synthetic(), synthetic()
    for model in (plain, robust):
        observed_with(model, WRONG_SHARE)
    options = colmap().BundleAdjustmentOptions()
    options.print_summary = False
    colmap().bundle_adjustment(plain.reconstruction, options)
    off = turns_deg(adjust(robust), true).mean()
    assert off < 0.5 * turns_deg(plain, true).mean()
    assert off < 0.02


def test_perfect_observations_are_left_as_they_are():
    model, true = synthetic(), synthetic()
    assert reprojection_errors_px(model).max() < 1e-6
    assert turns_deg(adjust(model), true).max() < 1e-3


def test_errors_are_those_of_colmap():
    model = synthetic()
    observed_with(model, 0.0)
    model.reconstruction.update_point_3d_errors()
    wanted = model.reconstruction.compute_mean_reprojection_error()
    assert reprojection_errors_px(model).mean() == pytest.approx(wanted, rel=1e-3)
    again = synthetic()
    observed_with(again, 0.0)
    np.testing.assert_array_equal(
        [image.cam_from_world().matrix() for image in adjust(model).images],
        [image.cam_from_world().matrix() for image in adjust(again).images],
    )


def test_it_is_quiet(capfd: pytest.CaptureFixture[str]):
    model = synthetic()
    observed_with(model, WRONG_SHARE)
    adjust(model)
    assert "bundle_adjustment" not in "".join(capfd.readouterr())
