"""A trained field to one small file that a page draws in real time: read first.

field -> renderings at training views and a turn -> resolution by the budget of bytes
      -> voxels that views see -> fit to the renderings -> bytes -> file
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from nerfrecon.backends.base import RayCamera
from nerfrecon.bake.distil import Model, begin, fit
from nerfrecon.bake.file import NAME, packed, write_baked
from nerfrecon.bake.options import BakeOptions
from nerfrecon.bake.quantise import reduced, to_bytes
from nerfrecon.bake.render import Baked
from nerfrecon.bake.source import FieldSource, Source
from nerfrecon.bake.teacher import Teacher, teach
from nerfrecon.bake.voxels import BLOCK, MOST_BLOCKS
from nerfrecon.render_views import open_run, orbit_cameras
from nerfrecon.scene import Scene
from nerfrecon.train import open_scene
from nerfrecon.training.views import ray_camera, training_views
from suite.errors import BadInput, SuiteError
from suite.files import atomic_folder, atomic_write
from suite.progress import status

LEAST_RESOLUTION = 2 * BLOCK
CLOSE = 0.97
"""Aimed at of the budget when the resolution shrinks."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Where a source lies in the world."""

    T_unit_world: Float[np.ndarray, "4 4"]
    up: Float[np.ndarray, " 3"]

    @classmethod
    def of(cls, scene: Scene) -> Placed:
        up = np.array([0.0, 0.0, 1.0]) if scene.up is None else np.asarray(scene.up, np.float64)
        return cls(scene.T_unit_world, up / np.linalg.norm(up))


def bake(field_run: Path, out: Path, options: BakeOptions | None = None) -> Path:
    """Bake the field of a run into the folder `out`, which must not be there; returns its baked.bin.

    Raises BadInput for what is no run, and SuiteError for a field that shows nothing.
    """
    options = BakeOptions() if options is None else options
    began = time.process_time()
    config, backend = open_run(field_run)
    scene = open_scene(config)
    learned, _ = scene.split(config.train.hold_out_every)
    chosen, scale = _chosen(scene, learned, config.picture_scale, options)
    cameras = [ray_camera(scene, view, scale) for view in chosen]
    cameras += orbit_cameras(scene, options.orbit, scale)
    photographs = {}
    if options.learn_from == "photographs" and not config.train.exposure:
        photographs = _cut_out(scene, chosen, scale)
    source = FieldSource(backend)
    baked, notes = bake_source(source, cameras, Placed.of(scene), options, photographs)
    with atomic_folder(out) as made:
        size = write_baked(made / NAME, baked, {"name": config.name})
        notes |= {"bytes": size, "cpu_s": time.process_time() - began, "views": len(cameras)}
        with atomic_write(made / "bake.json", "w") as stream:
            json.dump(notes | {"options": options.model_dump(mode="json")}, stream, indent=1)
    return out / NAME


def bake_source(
    source: Source,
    cameras: Sequence[RayCamera],
    placed: Placed,
    options: BakeOptions,
    photographs: Mapping[int, UInt8[np.ndarray, "h w 4"]] | None = None,
) -> tuple[Baked, dict[str, Any]]:
    """The baked model of a source that these cameras see, within the budget; and what was done.

    `photographs` (RGBA) of some of the cameras, by their number, are learned from instead of renderings.
    """
    with status("Rendering what is to be baked"):
        teacher = teach(source, cameras, photographs)
    if not teacher.shown:
        raise SuiteError("nothing of the field is seen from its cameras; train it first, or check its box")
    resolution, tried = _finest(cameras, options), []
    while True:
        tried.append(resolution)
        with status(f"Baking {resolution}^3 voxels"):
            found = _attempt(source, teacher, placed, resolution, options)
        if isinstance(found, _Fitted):
            break
        resolution = _smaller(resolution, found, options)
    baked, losses = found
    quarter = max(1, len(losses) // 4)
    notes = {
        "resolution": resolution,
        "resolutions_tried": tried,
        "photographs": len(photographs or {}),
        "voxels": baked.voxels.count,
        "blocks": baked.voxels.blocks,
        "fit_steps": len(losses),
        "loss_first_quarter": float(np.mean(losses[:quarter])),
        "loss_last_quarter": float(np.mean(losses[-quarter:])),
    }
    return baked, notes


def _chosen(
    scene: Scene, learned: Sequence[int], picture_scale: float | int, options: BakeOptions
) -> tuple[list[int], float]:
    """Training views, spread evenly over them, and the scale at which no side is longer than asked."""
    spread = np.linspace(0, len(learned) - 1, min(options.views, len(learned))).astype(int)
    longest = max(max(scene.views[view].camera.width, scene.views[view].camera.height) for view in learned)
    return [learned[number] for number in spread], min(float(picture_scale), options.most_px / longest)


def _cut_out(scene: Scene, views: Sequence[int], scale: float | int) -> dict[int, UInt8[np.ndarray, "h w 4"]]:
    """Photographs that say what is object and are usable all over, by their place in `views`."""
    found = enumerate(training_views(scene, views, scale))
    return {number: one.pixels for number, one in found if one.pixels.shape[2] == 4 and one.usable is None}


def _finest(cameras: Sequence[RayCamera], options: BakeOptions) -> int:
    """Voxels a side by the width of a pixel at the cube's middle, as a multiple of blocks."""
    widths = [
        np.linalg.norm(camera.T_unit_camera[:3, 3] - 0.5) / max(camera.fx, camera.fy) for camera in cameras
    ]
    wanted = options.voxels_per_px / float(np.median(widths))
    return int(np.clip(round(wanted / BLOCK) * BLOCK, LEAST_RESOLUTION, options.most_resolution))


class _Fitted(NamedTuple):
    baked: Baked
    losses: list[float]


def _attempt(
    source: Source, teacher: Teacher, placed: Placed, resolution: int, options: BakeOptions
) -> _Fitted | float:
    """The model of this resolution, or the share of its voxels that the budget holds."""
    model = begin(source, teacher, resolution, options)
    if not model.voxels.count:
        raise SuiteError("no voxel of the field is dense enough to be seen; train it longer")
    # Before the long part: bytes do not become more by it.
    share = _share_that_fits(_placed(model, placed, options), options)
    if share < 1:
        return share
    model, losses = fit(model, teacher, options)
    voxels, table = reduced(model.voxels, model.table, np.ones(len(model.table), bool))
    baked = _placed(Model(voxels, table, model.shader), placed, options)
    share = _share_that_fits(baked, options)
    return _Fitted(baked, losses) if share >= 1 else share


def _placed(model: Model, placed: Placed, options: BakeOptions) -> Baked:
    values = to_bytes(model.table)[1:]
    return Baked(model.voxels, values, model.shader, options.optics, placed.T_unit_world, placed.up)


def _share_that_fits(baked: Baked, options: BakeOptions) -> float:
    return min(options.most_mb * 1e6 / len(packed(baked)), MOST_BLOCKS / baked.voxels.blocks)


def _smaller(resolution: int, share: float, options: BakeOptions) -> int:
    # What is kept is a surface: it goes with the square of the resolution.
    less = int(resolution * (CLOSE * share) ** 0.5 // BLOCK) * BLOCK
    if resolution == LEAST_RESOLUTION:
        raise BadInput(f"{options.most_mb:g} MB hold no model at all", "most_mb", hint="give a larger budget")
    return max(LEAST_RESOLUTION, min(less, resolution - BLOCK))
