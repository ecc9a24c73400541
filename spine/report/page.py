"""The report of one scan as a page: verdict, curves, maps, 3D, tables, and how sure all of it is."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from pathlib import Path

from spine.config import ReportOptions
from spine.reconstruction import Reconstruction
from spine.report import curves, maps, tables
from spine.report.scene import scene
from spine.report.summary import as_metric, main_indices
from spine.report.trace import trace_of
from suite.report.flag import Flag
from suite.report.page import Page
from suite.report.table import Cell, Column, Link, Table

NOT_A_DEVICE = (
    "This report is assistive. It is not a medical device and not a diagnosis, and it does not replace "
    "radiographs. The spine is inferred from the skin of the back; no bone was seen."
)
LIMITS = (
    "How far the spine lies below the skin is known to about 7–8 mm only, so the sagittal curves carry a "
    "common error of that size; their shape is better known than their place.\n\nThe method was validated "
    "on scans of adolescents with scoliosis from one structured-light scanner, and on simulated people. For "
    "adults, for obese people, after surgery, in pain postures, or with other cameras the errors may be "
    "larger than the intervals say.\n\nVertebrae above C7 and parts without skin behind them follow from a "
    "template. Vertebrae are drawn from average dimensions and turned as rigid bodies: wedged, fused or "
    "missing vertebrae are not seen. Angles are those of whole vertebrae, not of end plates."
)
INTERVALS = (
    "Every interval is a 90 % posterior interval: if the model holds, the true value lies in it nine times "
    "out of ten. It takes in the uncertainty of the spinous line, of the surface rotation, of the depth and "
    "of how people differ. It does not take in another posture on another day; how much an index must "
    "change to be more than error is in indices.csv."
)
_VERDICTS: dict[Flag, str] = {
    "ok": "All checks of scan, landmarks and fit passed.",
    "info": "All checks of scan, landmarks and fit passed.",
    "warn": "Usable with caution:",
    "bad": "Do not rely on this result before the cause is mended:",
}


def write_report(
    path: str | os.PathLike[str], result: Reconstruction, options: ReportOptions | None = None
) -> Path:
    """Write the page, whole or not at all; returns its path. Nothing on it names the file or the person."""
    options = options or ReportOptions()
    today = datetime.now(timezone.utc).date().isoformat()
    who = f"{options.subject} · " if options.subject else ""
    trunk = f"trunk {result.fit.observations.trunk_mm:.0f} mm"
    page = Page("Spine from the back surface", f"{who}computed {today} · {trunk}", NOT_A_DEVICE)
    _summary(page, result)
    _curves(page, result)
    _maps(page, result)
    if options.scene:
        page.heading("In three dimensions")
        view = scene(result, options.skin_vertices, options.heat)
        page.view3d(
            view, "Drag to turn. Each vertebra is named under the pointer when the skin is switched off."
        )
    page.heading("Indices")
    for table in tables.index_tables(result.indices):
        page.table(table)
    page.heading("Vertebrae")
    page.table(tables.vertebra_table(result.indices))
    _certainty(page, result)
    page.heading("Definitions")
    page.table(tables.definition_table(result.indices))
    return page.write(path)


def _summary(page: Page, result: Reconstruction) -> None:
    page.heading("At a glance")
    page.note("info", NOT_A_DEVICE)
    flag = result.verdict
    open_points = [check.title.lower() for check in result.flags if check.flag in ("warn", "bad")]
    named = f" {', '.join(dict.fromkeys(open_points))}. The checks say why." if open_points else ""
    page.note(flag, _VERDICTS[flag] + named)
    main = main_indices(result)
    flags: dict[str, Flag] = {index.key: "warn" for index in main if index.in_norm is False}
    page.metrics([as_metric(i) for i in main], {i.key: i.title for i in main}, flags)
    page.table(tables.curve_table(result.indices.curves))
    page.table(tables.check_table(result.flags, brief=True))


def _curves(page: Page, result: Reconstruction) -> None:
    page.heading("Curves")
    trace, line = trace_of(result), result.landmarks.line
    left, middle, right = page.columns(1, 1, 1)
    figure, stretch = curves.coronal_figure([trace], line, result.indices.curves)
    left.figure(
        figure,
        f"From behind, drawn {stretch:.1f} times as wide as tall. Green: where an even curve of 10° stays.",
    )
    figure = curves.sagittal_figure([trace], line, result.fit.observations.trunk_mm)
    middle.figure(
        figure, "From the right side, true to scale. Green: upright spines with usual kyphosis and lordosis."
    )
    figure = curves.rotation_figure([trace], line)
    right.figure(figure, "Axial rotation of the vertebrae, and rotation of the skin that it was read from.")
    left, right = page.columns(1, 1)
    left.figure(
        curves.top_figure([trace]), "From above, front at the top; the short lines point to the back."
    )
    right.heading("How to read the curves", 3)
    right.text(
        "Dots are the centres of the vertebral bodies, the shaded bands their 90 % intervals. Dashed is "
        "what was seen on the skin, dotted the vertical through S1. Left and right are the subject's, seen "
        "from behind.\n\nThe spine lies on the convex side of the spinous line, because vertebrae turn into "
        "a curve: the skin shows about half of the Cobb angle. From above, ellipses are intervals at C7, "
        "T5, T9, T12, L3 and S1; those of all levels shift together, as they share the uncertain depth "
        "below the skin."
    )


def _maps(page: Page, result: Reconstruction) -> None:
    page.heading("Surface of the back")
    left, middle, right = page.columns(1, 1, 1)
    left.figure(
        maps.relief_figure(result),
        "Relief with landmarks, spinous line and the centres of the vertebrae below.",
    )
    middle.figure(
        maps.asymmetry_figure(result), "Asymmetry about the spinous line: red stands out, blue lies deeper."
    )
    right.figure(
        maps.curvature_figure(result),
        "Mean curvature: red bulges, blue is hollow. Grey: too close to an edge.",
    )


def _certainty(page: Page, result: Reconstruction) -> None:
    page.heading("How sure this is")
    page.table(tables.check_table(result.flags))
    page.text(INTERVALS)
    fit, landmarks = result.fit, result.landmarks
    page.table(tables.term_table(fit))
    confidence = ", ".join(f"{name} {value:.2f}" for name, value in landmarks.confidence.items())
    page.text(
        f"Skin-to-centre distance: {fit.skin_factor:.2f} times that of the average person. Landmarks: "
        f"{landmarks.source}; confidence (0 to 1): {confidence}. Solver: {fit.solver.replace('_', ' ')}, "
        f"{fit.iterations} steps, {fit.cpu_s:.2f} s."
    )
    page.heading("Limits", 3)
    page.text(LIMITS)
    page.heading("What was detected or assumed", 3)
    rows: list[list[Cell]] = [[note[:1].upper() + note[1:]] for note in result.notes]
    page.table(Table(["Note"], rows))
    page.heading("Files of this run", 3)
    files = {
        "result.json": "everything as numbers, with intervals",
        "indices.csv": "the indices, for a spreadsheet",
        "vertebrae.csv": "a row per vertebra",
        "landmarks.json": "landmarks and line: edit and pass back with --landmarks",
        "spine.glb": "the vertebrae in 3D, m",
        "skin.glb": "the skin in 3D, m",
    }
    links: list[list[Cell]] = [[Link(name, name), text] for name, text in files.items()]
    page.table(Table([Column("File"), "What it holds"], links))
