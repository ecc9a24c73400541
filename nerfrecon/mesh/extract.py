"""A trained field as a closed mesh: read first.

    field -> surface in the unit cube (its zero, a density's level, or fused depth) -> largest part -> closed
          -> simplified -> mesh.ply in the scene's frame, mesh.json

The scene's frame is the object's where the scene comes from the stage `object`: metres, y up.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerfrecon.backends.base import Backend, RayCamera, Rendered
from nerfrecon.config import NerfreconConfig
from nerfrecon.mesh.components import largest_parts
from nerfrecon.mesh.cubes import Function, level_set
from nerfrecon.mesh.fusion import FusedDepth
from nerfrecon.mesh.options import MeshOptions
from nerfrecon.mesh.simplify import simplified
from nerfrecon.mesh.smooth import smoothed
from nerfrecon.mesh.watertight import closed, edge_faults
from nerfrecon.options import SdfFieldOptions
from nerfrecon.render_views import open_run
from nerfrecon.scene import Scene
from nerfrecon.train import open_scene
from nerfrecon.training.carving import first_cells
from nerfrecon.training.filled import FilledDensity
from nerfrecon.training.views import ray_camera, usable_scale
from suite.errors import BadInput
from suite.files import atomic_folder, atomic_write
from suite.geometry.mesh import Mesh
from suite.geometry.ply import write_ply
from suite.progress import status

MESH, NOTES = "mesh.ply", "mesh.json"
LOOKED_MARGIN_CELLS = 0.5


class Made(NamedTuple):
    """A mesh in the unit cube's or the world's frame, and what is to be told of it."""

    mesh: Mesh
    notes: dict[str, Any]


def extract_mesh(field_run: Path, out: Path, options: MeshOptions | None = None) -> Path:
    """Write mesh.ply and mesh.json of the field of a run into the folder `out`; returns the mesh's path.

    Raises BadInput for a run that is none, a field without a surface, and an `out` that is not empty.
    """
    options = MeshOptions() if options is None else options
    before = time.process_time()
    config, backend = open_run(field_run)
    scene = open_scene(config)
    with status("Meshing"):
        made = meshed(config, backend, scene, options)
    for line in made.notes["flags"]:
        print(line, file=sys.stderr)
    notes = {**made.notes, "cpu_s": round(time.process_time() - before, 2)}
    with atomic_folder(out) as folder:
        write_ply(folder / MESH, made.mesh)
        with atomic_write(folder / NOTES, "w") as stream:
            json.dump(notes, stream, indent=2)
    return out / MESH


def meshed(config: NerfreconConfig, backend: Backend, scene: Scene, options: MeshOptions) -> Made:
    """The field's mesh in the scene's frame, and what was done to it."""
    raw = _surface(config, backend, scene, options)
    kept = largest_parts(raw, options.keep_share)
    faults = edge_faults(kept.mesh)
    whole = closed(kept.mesh) if any(faults) else kept.mesh
    fewer = simplified(whole, options.faces)
    world = fewer.mesh.transformed(np.linalg.inv(scene.T_unit_world))
    flags = []
    if kept.dropped:
        flags.append(f"dropped {kept.dropped} loose parts, {kept.dropped_area_share:.1%} of the surface")
    if not world.is_watertight():
        flags.append(f"the mesh is not closed: {edge_faults(world).open} open edges")
    if len(world.faces) > options.faces:
        flags.append(f"{len(world.faces)} faces, above the {options.faces} asked for: {fewer.how}")
    low, high = world.vertices.min(0), world.vertices.max(0)
    notes = {
        "source": options.source,
        "faces": len(world.faces),
        "vertices": len(world.vertices),
        "faces_before": len(raw.faces),
        "watertight": world.is_watertight(),
        "components": kept.kept,
        "components_dropped": kept.dropped,
        "dropped_area_share": kept.dropped_area_share,
        "edges_repaired": {"open": faults.open, "crowded": faults.crowded},
        "simplification": fewer.how,
        "volume": world.volume(),
        "area": world.area(),
        "box": [low.tolist(), high.tolist()],
        "flags": flags,
    }
    return Made(world, notes)


def _surface(config: NerfreconConfig, backend: Backend, scene: Scene, options: MeshOptions) -> Mesh:
    learned, _ = scene.split(config.train.hold_out_every)
    n = config.sampling.occupancy_resolution
    hull = first_cells(scene, learned, config.sampling, config.picture_scale).reshape((n,) * 3)
    lattice = (options.coarse_cells, options.finer)
    if options.source == "level_set" and isinstance(config.field, SdfFieldOptions):
        return level_set(_signed_distance(backend), hull, *lattice)
    cameras = []
    for view in learned:
        size = max(scene.views[view].camera.width, scene.views[view].camera.height)
        scale = usable_scale(scene, view, min(1.0, options.depth_px / size))
        cameras.append(ray_camera(scene, view, scale))

    def render(camera: RayCamera) -> Rendered:
        return backend.render(camera, (0.0, 0.0, 0.0))

    if options.source == "depth":
        fused = FusedDepth(render, cameras, options.truncation_cells / options.coarse_cells)
        mesh = level_set(fused, hull, *lattice, smooth_cells=options.smooth_cells)
        return smoothed(mesh, options.smooth_rounds)
    margin = LOOKED_MARGIN_CELLS / options.coarse_cells
    level = FilledDensity(backend.density, render, cameras, options.density_threshold, margin)
    mesh = level_set(level, hull, *lattice, near=math.inf, smooth_cells=options.smooth_cells)
    if level.densest < options.density_threshold:  # all that was found is what nobody looked into
        raise BadInput(
            f"the field has no surface: its density is {level.densest:.3g} at most",
            hint="train longer, lower mesh.density_threshold, or check that box and masks hold the object",
        )
    return smoothed(mesh, options.smooth_rounds)


def _signed_distance(backend: Backend) -> Function:
    sdf = getattr(backend, "sdf", None)
    if sdf is None:
        raise BadInput(f"backend {backend.name} gives no signed distance", hint="take backend native")
    return sdf
