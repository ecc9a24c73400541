"""The page of a product, from its photographs to the model: read first.

It is made of what the stages say of themselves (product_told), so that it can be written at any time: a stage
that is missing is told, and a stage whose pictures cannot be drawn is told why.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from nerfrecon.config import NerfreconConfig
from nerfrecon.report.product_figures import (
    LABELS,
    camera_rows,
    cost_bars,
    cost_table,
    curve,
    files_table,
    headline,
    headline_flags,
    object_rows,
    scale_words,
    surface_rows,
)
from nerfrecon.report.product_pictures import Look, held_out_looks, photo_strip, turned_model
from nerfrecon.report.product_scene import capture_view, fewer_faces
from nerfrecon.report.product_told import STAGES, Told, read_told
from nerfrecon.scene import Scene
from nerfrecon.scenes.colmap_files import read_model
from nerfrecon.scenes.read import read_scene
from suite.config import load_config
from suite.errors import BadInput, SuiteError
from suite.geometry.mesh import Mesh
from suite.geometry.mesh_io import read_geometry
from suite.report.page import Page
from suite.report.table import Cell, Table

_MEASURED = (
    "PSNR is in dB of the colours' range, of the pixels where the object is, averaged over views that were "
    "held out: neither the field nor the texture has seen them. Where photographs are exposed differently, "
    "each judged view has the gain of each colour that suits it best. CPU-seconds are of all threads; "
    "memory is the largest of a stage."
)


def write_product_page(product: Path, out_html: Path) -> Path:
    """Write the page of the product in the folder `product`; returns where. Links are relative to `product`.

    Raises BadInput where there is no such folder; missing stages and damaged files are told on the page.
    """
    product, out_html = Path(product), Path(out_html)
    if not product.is_dir():
        raise BadInput("no such folder", product, hint="name the folder of a product")
    told = read_told(product)
    troubles: list[str] = []
    scene = _scene(told, troubles)
    looks = _looks(told, troubles)
    field_psnr = _mean([look.field_psnr for look in looks])
    glb_psnr = _mean([look.glb_psnr for look in looks])

    name = str(told.product.get("name") or product.resolve().name)
    page = Page(name, _subtitle(told), footer="Made from photographs by nerfrecon.")
    _glance(page, told, field_psnr, glb_psnr)
    for line in troubles:
        page.note("warn", line)
    _photographs(page, told, scene)
    _cameras(page, told, scene)
    _training(page, told)
    _comparisons(page, looks)
    surface = surface_rows(told)
    if surface:
        page.heading("Surface and texture")
        page.table(Table(["What", "Value"], surface))
    _costs(page, told)
    page.heading("Limits")
    for line in limits(told):
        page.text(line)
    page.heading("How it is measured")
    page.text(_MEASURED)
    return page.write(out_html)


def limits(told: Told) -> list[str]:
    """What this product cannot be trusted with, in plain words."""
    lines = []
    if not told.metric:
        lines.append(
            "Its size is not known. Photographs alone do not tell a cup from a house: put the printed mat, a "
            "marker or two points of known distance into the scene."
        )
    coverage = told.texture.get("coverage")
    if isinstance(coverage, float) and coverage < 0.995:
        lines.append(
            f"{1 - coverage:.1%} of its surface is in no photograph. Shape and colour there are guesses; "
            "the side it stands on belongs to them."
        )
    if told.mesh.get("watertight") is False:
        lines.append("The mesh has open edges: a 3D printer or a volume needs them closed.")
    lines.append(
        "Its colours are those of the photographs, with their light in them. Shine that wanders as one walks "
        "around is averaged away; glass, mirrors and hair have no good surface here."
    )
    lines.append(
        "A deep, dark inside is known only as far as photographs look into it, and photographs from outside "
        "do not show whether an opening is hollow: look at the mesh as clay."
    )
    if not any(key.startswith("psnr") for key in told.training):
        lines.append("No view was held out, so nothing here says how it looks from elsewhere.")
    return lines


def _subtitle(told: Told) -> str:
    kept = sum(bool(one.get("kept", True)) for one in told.frames)
    parts = [f"From {kept} photographs" if kept else "From photographs with known poses"]
    if quality := told.product.get("quality"):
        parts.append(f"{quality} quality")
    return ", ".join(parts)


def _glance(page: Page, told: Told, field_psnr: float, glb_psnr: float) -> None:
    page.heading("At a glance")
    if (told.folder / "model.glb").is_file():
        try:
            page.image(turned_model(told.folder), "The textured mesh from four sides")
        except SuiteError as error:
            page.note("warn", f"The model cannot be drawn: {error}")
    files = files_table(told.folder)
    if files is not None:
        page.table(files)
    metrics = headline(told, field_psnr, glb_psnr)
    if metrics:
        page.metrics(metrics, LABELS, headline_flags(told, metrics))
    if told.run.get("status") == "failed":
        page.note("bad", f"It is not finished: {told.run.get('error') or 'the run ended early'}.")
    for name in told.damaged:
        page.note("bad", f"{name} cannot be read.")
    if told.posed:
        page.note("info", "The poses were given: the stages frames and sfm were not needed.")
    for stage in told.missing:
        if not (told.posed and stage in ("frames", "sfm")):
            page.note("warn", f"The stage {stage} ({STAGES[stage][1]}) is not there.")
    for stage, line in told.flags():
        page.note("warn", f"{stage}: {line}")


def _photographs(page: Page, told: Told, scene: Scene | None) -> None:
    rejected = told.rejected()
    if scene is None and not rejected and not told.frames:
        return
    page.heading("Photographs")
    if scene is not None:
        try:
            strip = photo_strip(scene)
            told_of = f"{len(scene.views)} photographs are used; these are spread over them."
            if any(view.mask_path is not None and view.mask_shows == "object" for view in scene.views):
                told_of += " The line goes round the object."
            page.image(strip, "Photographs of the object", told_of)
        except SuiteError as error:
            page.note("warn", f"The photographs cannot be shown: {error}")
    if rejected:
        rows: list[list[Cell]] = [list(row) for row in rejected]
        caption = f"{len(rejected)} pictures were left out"
        page.table(Table(["Picture", "Left out by", "Because"], rows, caption=caption))
    elif told.frames or told.sfm:
        page.note("ok", "No picture was left out.")
    for line in scene.notes if scene is not None else ():
        page.note("info", line)
    rows = object_rows(told)
    if rows:
        page.table(Table(["The object", "Value"], rows))


def _cameras(page: Page, told: Told, scene: Scene | None) -> None:
    if scene is None and not told.sfm:
        return
    page.heading("Cameras")
    if scene is not None:
        mesh = None
        if (told.folder / "mesh/mesh.ply").is_file():
            try:
                found = read_geometry(told.folder / "mesh/mesh.ply")
                mesh = fewer_faces(found) if isinstance(found, Mesh) else None
            except BadInput as error:
                page.note("warn", f"The mesh cannot be shown: {error}")
        held_out = _held_out(told, scene)
        shown = capture_view(scene, held_out, _points(page, told, scene), mesh)
        said = f"{len(scene.views)} cameras"
        said += f", {len(held_out)} of them held out." if held_out else "; none was held out."
        page.view3d(shown, f"{said} Names are under the pointer.")
    if told.sfm:
        page.table(Table(["What", "Value"], camera_rows(told)))
    else:
        page.text(f"The poses were given. Scale: {scale_words(told)}.")


def _training(page: Page, told: Told) -> None:
    drawn = curve(told)
    if drawn is not None:
        page.heading("Training")
        page.figure(drawn, "PSNR of the views that were looked at while the field learned.")


def _comparisons(page: Page, looks: list[Look]) -> None:
    if not looks:
        return
    page.heading("Held-out views")
    with_glb = not math.isnan(looks[0].glb_psnr)
    last = "the GLB" if with_glb else "the field"
    between = "the field, the exported GLB, " if with_glb else "the field, "
    page.text(
        f"From left to right: the photograph, {between}and where {last} differs from the photograph (dark: "
        "by a quarter of the colours' range or more). Nothing here was learned from."
    )
    for look in looks:
        caption = f"{Path(look.name).name}: field {look.field_psnr:.2f} dB"
        if with_glb:
            caption += f", GLB {look.glb_psnr:.2f} dB"
        page.image(look.pixels, caption, caption, photo=True)


def _costs(page: Page, told: Told) -> None:
    bars = cost_bars(told)
    if bars is None:
        return
    page.heading("What it cost")
    page.figure(bars, "Processor time of each stage.")
    page.table(cost_table(told))


def _scene(told: Told, troubles: list[str]) -> Scene | None:
    if not (told.folder / "object").is_dir():
        return None
    try:
        return read_scene(told.folder / "object")
    except SuiteError as error:
        troubles.append(f"The scene cannot be read: {error}")
        return None


def _looks(told: Told, troubles: list[str]) -> list[Look]:
    if not (told.folder / "field/field.safetensors").is_file():
        return []
    try:
        return held_out_looks(told.folder)
    except SuiteError as error:
        troubles.append(f"Held-out views cannot be compared: {error}")
        return []


def _held_out(told: Told, scene: Scene) -> tuple[int, ...]:
    """Which views the training held out; none where there was no training."""
    path = told.folder / "field/config.yaml"
    if not path.is_file():
        return ()
    try:
        config = load_config(NerfreconConfig, path, ()).config
    except SuiteError:
        return ()
    return scene.split(config.train.hold_out_every)[1]


def _points(page: Page, told: Told, scene: Scene) -> np.ndarray | None:
    """Sparse points in the object's frame: the scene's own, or those of SfM brought there."""
    if scene.points is not None:
        return np.asarray(scene.points.positions, np.float64)
    T = told.object.get("T_object_world")
    if T is None or not (told.folder / "sfm/sparse").is_dir():
        return None
    try:
        points = read_model(told.folder / "sfm/sparse").points
    except SuiteError as error:
        page.note("warn", f"The points cannot be read: {error}")
        return None
    if points is None:
        return None
    T = np.asarray(T, np.float64)
    return points.positions @ T[:3, :3].T + T[:3, 3]


def _mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan
