"""Figures of a product with their flags, its drawings and its tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nerfrecon.report.product_told import Told, number
from suite.report.figure import PALETTE, Figure, drawing
from suite.report.flag import Flag
from suite.report.metric import Metric, format_number
from suite.report.table import Cell, Column, Link, Table

LABELS = {
    "size": "Size",
    "registered": "Pictures with a pose",
    "reprojection": "Reprojection error",
    "psnr_field": "Field, held out",
    "psnr_glb": "GLB, held out",
    "faces": "Faces",
    "coverage": "Surface that is seen",
    "glb_mb": "GLB",
    "baked_mb": "Baked model",
    "cpu_min": "Computing",
}


def headline(told: Told, psnr_field: float = math.nan, psnr_glb: float = math.nan) -> list[Metric]:
    """The figures people ask for first; those of stages that are missing are left out."""
    found = []
    if told.sides is not None:
        found.append(_size(told))
    if told.sfm:
        total = number(told.sfm, "total")
        share = 100 * number(told.sfm, "registered") / total if total else math.nan
        note = f"{format_number(number(told.sfm, 'registered'), 0)} of {format_number(total, 0)}"
        found.append(Metric("registered", share, "%", "higher", note=note))
        found.append(Metric("reprojection", number(told.sfm, "reprojection_px"), "px", "lower"))
    if not math.isnan(psnr_field):
        found.append(Metric("psnr_field", psnr_field, "dB", "higher", note="where the object is"))
    elif told.training:
        note = "of whole pictures"
        found.append(Metric("psnr_field", number(told.training, "psnr"), "dB", "higher", note=note))
    if told.texture:
        held_out = number(told.texture, "psnr_mean", "held_out")
        value = psnr_glb if math.isnan(held_out) else held_out
        found.append(Metric("psnr_glb", value, "dB", "higher", note="where the object is"))
        coverage = 100 * number(told.texture, "coverage")
        found.append(Metric("coverage", coverage, "%", "higher", note="by a photograph"))
    if told.mesh:
        closed = told.mesh.get("watertight")
        note = "" if closed is None else "closed: holds water" if closed else "not closed"
        found.append(Metric("faces", number(told.mesh, "faces"), "", None, note=note))
    for key, name in (("glb_mb", "model.glb"), ("baked_mb", "bake/baked.bin")):
        if (told.folder / name).is_file():
            found.append(Metric(key, (told.folder / name).stat().st_size / 1e6, "MB", "lower"))
    if told.costs:
        seconds = sum(number(row, "cpu_s") for row in told.costs)
        most = max(number(row, "peak_gb") for row in told.costs)
        note = f"at most {format_number(most)} GB of memory"
        found.append(Metric("cpu_min", seconds / 60, "CPU-min", "lower", note=note))
    return found


def headline_flags(told: Told, metrics: Sequence[Metric]) -> dict[str, Flag]:
    """A flag for each figure that has a good and a bad side; what was not measured is cautioned."""
    bounds: dict[str, tuple[float, float]] = {
        "registered": (95, 80),
        "reprojection": (-1.0, -1.5),
        "psnr_field": (27, 24),
        "psnr_glb": (27, 24),
        "coverage": (90, 75),
        "baked_mb": (-15, -20),
    }
    flags: dict[str, Flag] = {}
    for metric in metrics:
        if metric.key in bounds:
            good, poor = bounds[metric.key]
            value = metric.value if good > 0 else -metric.value
            flags[metric.key] = "ok" if value >= good else "warn" if not value < poor else "bad"
    if told.sides is not None:
        flags["size"] = "ok" if told.metric else "warn"
    if told.mesh.get("watertight") is not None:
        flags["faces"] = "ok" if told.mesh["watertight"] else "warn"
    return flags


def spoken_sides(sides: Sequence[float], metric: bool) -> tuple[list[str], str]:
    """Lengths in the unit that suits the longest, and that unit."""
    longest = max(sides)
    if not metric:
        return [f"{side:.3g}" for side in sides], "units"
    times, unit = (1.0, "m") if longest >= 1 else (100.0, "cm") if longest >= 0.01 else (1000.0, "mm")
    decimals = 0 if longest * times >= 100 else 1 if longest * times >= 10 else 2
    return [f"{side * times:.{decimals}f}" for side in sides], unit


def curve(told: Told) -> Figure | None:
    """PSNR over the CPU time of the training; None where too few looks were taken."""
    rows = [row for row in told.history if not math.isnan(number(row, "psnr") + number(row, "cpu_s"))]
    if len(rows) < 2:
        return None
    with drawing(8.4, 3.2, alt="PSNR of held-out views over CPU-seconds of the training") as (figure, axes):
        seconds = [number(row, "cpu_s") for row in rows]
        axes.plot(seconds, [number(row, "psnr") for row in rows], marker="o", color=PALETTE[0])
        axes.set_xlabel("CPU-seconds")
        axes.set_ylabel("PSNR [dB]")
        low, high = axes.get_ylim()
        if high - low < 2:  # no mountains out of noise
            axes.set_ylim((low + high) / 2 - 1, (low + high) / 2 + 1)
    return figure


def cost_bars(told: Told) -> Figure | None:
    """CPU time of each stage, the first on top; None where nothing was measured."""
    rows = [row for row in told.costs if number(row, "cpu_s") >= 0]
    if not rows:
        return None
    seconds = [number(row, "cpu_s") for row in rows]
    names = [str(row["name"]) for row in rows]
    alt = "CPU-seconds of each stage: " + ", ".join(
        f"{name} {second:.0f}" for name, second in zip(names, seconds, strict=True)
    )
    with drawing(8.4, 0.6 + 0.34 * len(rows), alt) as (figure, axes):
        places = list(range(len(rows)))[::-1]
        axes.barh(places, seconds, height=0.62, color=PALETTE[0])
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("CPU-seconds")
        axes.margins(x=0.14)
        for place, second in zip(places, seconds, strict=True):
            axes.annotate(
                f"{second:.0f}" if second >= 10 else f"{second:.1f}",
                (second, place),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
    return figure


def cost_table(told: Told) -> Table:
    """Time, memory and disk of each stage."""
    columns = [
        "Stage",
        Column("Computing", "CPU-s", 1),
        Column("Waited", "s", 1),
        Column("Largest memory", "GB", 2),
        Column("On disk", "MB", 1),
    ]
    rows: list[list[Cell]] = [
        [
            str(row["name"]),
            number(row, "cpu_s"),
            number(row, "wall_s"),
            number(row, "peak_gb"),
            number(row, "bytes") / 1e6,
        ]
        for row in told.costs
    ]
    total = told.product.get("total")
    if isinstance(total, dict) and rows:
        sums = [number(total, key) for key in ("cpu_s", "wall_s", "peak_gb", "bytes")]
        rows.append(["all together", *sums[:3], sums[3] / 1e6])
    return Table(columns, rows)


def files_table(folder: Path) -> Table | None:
    """What can be opened from here, with sizes; None where there is nothing yet."""
    known = {
        "model.html": ("Turn the mesh", "a page that opens from disk"),
        "baked.html": ("Turn the baked model", "a page that opens from disk"),
        "model.glb": ("model.glb", "the mesh with its texture, for any 3D program: y up"),
    }
    rows: list[list[Cell]] = [
        [Link(words, name), what, (folder / name).stat().st_size / 1e6]
        for name, (words, what) in known.items()
        if (folder / name).is_file()
    ]
    return Table(["Open", "What it is", Column("Size", "MB", 1)], rows) if rows else None


def surface_rows(told: Told) -> list[list[Cell]]:
    """What is known of mesh and texture, in words."""
    rows: list[list[Cell]] = []

    def add(name: str, value: float, unit: str = "", decimals: int | None = None) -> None:
        if not math.isnan(value):
            rows.append([name, f"{format_number(value, decimals)} {unit}".strip()])

    mesh, texture = told.mesh, told.texture
    add("Faces", number(mesh, "faces"), "", 0)
    add("Faces before simplification", number(mesh, "faces_before"), "", 0)
    if isinstance(mesh.get("watertight"), bool):
        rows.append(["Closed (watertight)", bool(mesh["watertight"])])
    add("Loose parts dropped", number(mesh, "components_dropped"), "", 0)
    if told.metric:
        add("Volume", number(mesh, "volume") * 1e6, "cm³")
        add("Surface", number(mesh, "area") * 1e4, "cm²")
    size = texture.get("texture_px")
    if isinstance(size, list) and len(size) == 2:
        rows.append(["Texture", f"{size[0]} × {size[1]} px"])
    add("A texel on the surface", number(texture, "texel") * (1000 if told.metric else 1), _texel_unit(told))
    add("Charts of the unwrapping", number(texture, "charts"), "", 0)
    add("Texture that is used", 100 * number(texture, "used"), "%")
    add("Surface seen by a photograph", 100 * number(texture, "coverage"), "%")
    add("PSNR of the GLB at views it was painted from", number(texture, "psnr_mean", "learned"), "dB", 2)
    add("PSNR of the GLB at held-out views", number(texture, "psnr_mean", "held_out"), "dB", 2)
    if isinstance(texture.get("exposed_differently"), bool):
        rows.append(["Photographs exposed differently", bool(texture["exposed_differently"])])
    return rows


def camera_rows(told: Told) -> list[list[Cell]]:
    """What is known of the cameras, in words."""
    sfm: dict[str, Any] = told.sfm
    rows: list[list[Cell]] = []
    for name, key, unit, decimals in (
        ("Points", "points", "", 0),
        ("Pictures that see a point", "track_length", "", 2),
        ("Reprojection error", "reprojection_px", "px", 2),
    ):
        value = number(sfm, key)
        if not math.isnan(value):
            rows.append([name, f"{format_number(value, decimals)} {unit}".strip()])
    lenses = [one for one in sfm.get("lenses") or [] if isinstance(one, dict)]
    for lens in lenses[:4]:
        size, params = lens.get("size") or ["?", "?"], lens.get("params") or [math.nan]
        rows.append(
            ["Lens", f"{lens.get('model')}, {size[0]} × {size[1]} px, focal length {params[0]:.0f} px"]
        )
    if isinstance(sfm.get("turntable"), bool):
        rows.append(["Turntable", bool(sfm["turntable"])])
    rows.append(["Scale", scale_words(told)])
    return rows


def object_rows(told: Told) -> list[list[Cell]]:
    """How the object was told from all else, in words."""
    rows: list[list[Cell]] = []
    names = {"up_from": "What is up, from", "box_from": "The box, from"}
    for key, name in names.items():
        if told.object.get(key):
            rows.append([name, str(told.object[key])])
    masks = told.object.get("masks")
    if isinstance(masks, dict):
        if masks.get("how"):
            rows.append(["Outlines, from", str(masks["how"])])
        for name, key in (("Outlines used", "kept"), ("Outlines not believed", "left_out")):
            value = number(masks, key)
            if not math.isnan(value):
                rows.append([name, f"{value:.0f}"])
        share = number(masks, "agreement_median")
        if not math.isnan(share):
            least = number(masks, "agreement_least")
            worst = "" if math.isnan(least) else f", at least {least:.1%}"
            rows.append(["Outlines agree with the shape", f"{share:.1%} in the middle{worst}"])
    return rows


def scale_words(told: Told) -> str:
    """How long a metre is known to be."""
    scale = told.sfm.get("scale")
    by = scale.get("from") if isinstance(scale, dict) else None
    note = str(scale.get("note") or "") if isinstance(scale, dict) else ""
    names = {"mat": "from the printed mat", "marker": "from a marker", "distance": "from a known distance"}
    if told.metric:
        said = names.get(str(by), "as the given poses have it" if told.posed else "known")
    else:
        said = "not known: lengths are in units of their own"
    return f"{said} ({note})" if note else said


def _size(told: Told) -> Metric:
    assert told.sides is not None
    texts, unit = spoken_sides(told.sides, told.metric)
    longest = max(range(3), key=lambda axis: told.sides[axis] if told.sides else 0.0)
    times = {"m": 1.0, "cm": 100.0, "mm": 1000.0, "units": 1.0}[unit]
    note = f"{' × '.join(texts)} {unit}"
    if not told.metric:
        note += "; no scale is known"
    return Metric("size", told.sides[longest] * times, unit, None, note=note)


def _texel_unit(told: Told) -> str:
    return "mm" if told.metric else "units"
