"""What a training would learn from, without training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nerfrecon.backends.choose import choose
from nerfrecon.config import NerfreconConfig
from nerfrecon.fields.grid import grid_layout
from nerfrecon.options import BigMlpFieldOptions
from nerfrecon.scenes.picture import read_header
from nerfrecon.train import open_scene
from nerfrecon.training.carving import first_cells
from suite.errors import BadInput
from suite.report.table import Cell, Table

FEW_VIEWS = 12


class Checked(NamedTuple):
    """A table for people, and what may go wrong."""

    table: Table
    warnings: tuple[str, ...]


def check_scene(config: NerfreconConfig) -> Checked:
    """Raises BadInput and BackendUnavailable for what would stop the training."""
    scene = open_scene(config)
    learned, held_out = scene.split(config.train.hold_out_every)
    for view in scene.views:
        read_header(view.image_path, (view.camera.width, view.camera.height))
    cells = first_cells(scene, learned, config.sampling, config.picture_scale)
    if not cells.any():
        raise BadInput(
            "no cell of the scene's box is left",
            scene.source,
            hint="check the masks, the poses and the box",
        )
    warnings = list(scene.notes)
    if len(learned) < FEW_VIEWS:
        warnings.append(f"{len(learned)} views are few to learn from: expect floating pieces")
    size = np.ptp(scene.box, axis=0)
    cameras = {(view.camera.width, view.camera.height) for view in scene.views}
    rows: list[list[Cell]] = [
        ["scene", str(scene.source)],
        ["views", f"{len(learned)} to learn from, {len(held_out)} held out"],
        ["pictures", ", ".join(f"{width} x {height} px" for width, height in sorted(cameras)[:3])],
        ["box", " x ".join(f"{side:.3g}" for side in size) + f" world units, from {scene.box_from}"],
        ["points", 0 if scene.points is None else len(scene.points.positions)],
        ["cells to begin with", f"{cells.mean():.1%}"],
        ["field", _field(config)],
        ["backend", choose(config).line.removeprefix("backend: ")],
    ]
    return Checked(Table(["what", "value"], rows), tuple(warnings))


def _field(config: NerfreconConfig) -> str:
    field = config.field
    if isinstance(field, BigMlpFieldOptions):
        return f"{field.type}, {field.layers} layers of {field.width}"
    layout = grid_layout(field.grid)
    megabytes = layout.rows * layout.features * 4 / 1e6
    return f"{field.type}, {len(layout.levels)} levels, {megabytes:.1f} MB of tables"
