"""Poses, lenses and points from what was matched: COLMAP's incremental or global mapping, by one thread with
one seed, so that the same pictures give the same cameras."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from nerfrecon.sfm.colmap_calls import colmap, run_step
from nerfrecon.sfm.options import SfmOptions

SMALLEST_GROUP = 3


@dataclass(frozen=True, eq=False)
class FoundModel:
    """One group of pictures with poses; `reconstruction` is pycolmap's."""

    reconstruction: Any

    @property
    def names(self) -> list[str]:
        """Of the pictures that have a pose, sorted."""
        return sorted(image.name for image in self.images)

    @property
    def images(self) -> list[Any]:
        """Registered images, by id."""
        ids = sorted(self.reconstruction.reg_image_ids())
        return [self.reconstruction.image(image_id) for image_id in ids]

    def poses(self) -> dict[str, Float[np.ndarray, "4 4"]]:
        """T_world_camera by name."""
        found = {}
        for image in self.images:
            T = np.eye(4)
            T[:3] = image.cam_from_world().inverse().matrix()
            found[image.name] = T
        return found

    def points(self) -> Float[np.ndarray, "n 3"]:
        """Points that three pictures see and that fit to 2 px; all where there are few such."""
        every = list(self.reconstruction.points3D.values())
        good = [point.xyz for point in every if point.track.length() >= 3 and point.error < 2]
        good = good if len(good) >= 20 else [point.xyz for point in every]
        return np.array(good, np.float64).reshape(-1, 3)


def find_models(
    database: Path, images: Path, work: Path, total: int, options: SfmOptions
) -> list[FoundModel]:
    """Groups of pictures, the largest first; none where no two pictures give a beginning."""
    pycolmap: Any = colmap()
    place = work / "models"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    if options.mapping == "global":
        settings = pycolmap.GlobalPipelineOptions()
        settings.num_threads, settings.random_seed = 1, options.seed
        settings.mapper.num_threads, settings.mapper.random_seed = 1, options.seed
        found = run_step(
            "Finding all poses at once",
            lambda _: pycolmap.global_mapping(database, images, place, settings),
        )
    else:
        settings = _incremental(options)
        placed = [0]

        def one_more() -> None:
            placed[0] += 1

        found = run_step(
            "Finding poses",
            lambda token: pycolmap.incremental_mapping(
                database, images, place, settings, "", one_more, one_more, token
            ),
            placed,
            total,
        )
    return _sorted(found.values())


def _incremental(options: SfmOptions) -> Any:
    settings = colmap().IncrementalPipelineOptions()
    settings.num_threads, settings.random_seed = 1, options.seed
    settings.mapper.num_threads, settings.mapper.random_seed = 1, options.seed
    settings.triangulation.random_seed = options.seed
    settings.min_model_size = SMALLEST_GROUP
    settings.mapper.abs_pose_min_num_inliers = 20
    return settings


def _sorted(found: Iterable[Any]) -> list[FoundModel]:
    models = [FoundModel(one) for one in found if one.num_reg_images() >= SMALLEST_GROUP]
    return sorted(models, key=lambda one: (-one.reconstruction.num_reg_images(), one.names))
