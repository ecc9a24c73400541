"""Tables of the report: curves, indices, vertebrae, checks, terms of the fit, definitions."""

from __future__ import annotations

from collections.abc import Sequence

from spine.measure import Curve, Index, Indices
from spine.quality import TERM_SIGMA, TERMS, Check
from spine.report.summary import interval_text, spaced, usual_text, value_text
from spine.solve import SpineFit
from suite.report.band import Band
from suite.report.flag import Flag
from suite.report.metric import format_number
from suite.report.table import Cell, Column, Table

GROUPS: tuple[tuple[str, str], ...] = (
    ("Seen from behind", "cobb_deg"),
    ("Seen from the side", "kyphosis_t1_t12_deg"),
    ("Rotation and the third dimension", "rotation_apical_deg"),
    ("Trunk and pelvis", "trunk_imbalance_mm"),
    ("Surface of the back", "surface_rotation_rms_deg"),
    ("The whole shape", "normality_3d"),
)
"""Title of each group of indices and its first key, in reading order."""
_VERTEBRA = (
    ("lateral_mm", "Lateral", "mm", "Distance from the line VP – base, right positive"),
    ("ap_mm", "AP", "mm", "Distance from the line C7 – S1, to the back positive"),
    ("coronal_deg", "Coronal", "°", "Tilt seen from behind, right side up positive"),
    ("sagittal_deg", "Sagittal", "°", "Tilt seen from the side, leaning back positive"),
    ("axial_deg", "Axial", "°", "Axial rotation, spinous process to the right positive"),
)


def check_table(checks: Sequence[Check], brief: bool = False) -> Table:
    """Every quality check with its flag; `brief` keeps the passed ones to one row."""
    shown = [check for check in checks if not (brief and check.flag == "ok")]
    rows: list[list[Cell]] = [[check.title, check.text] for check in shown]
    flags: list[Flag | None] = [check.flag for check in shown]
    passed = [check.title.lower() for check in checks if check.flag == "ok"]
    if brief and passed:
        rows.append(["Passed", f"{', '.join(passed).capitalize()}."])
        flags.append("ok")
    return Table([spaced("What was checked"), "Finding"], rows, "Quality of this result", flags=flags)


def curve_table(curves: Sequence[Curve]) -> Table:
    """The coronal curves, the primary one first."""
    rows: list[list[Cell]] = []
    for c in curves:
        low, high = c.cobb_interval_deg or (float("nan"), float("nan"))
        rows.append(
            [
                f"{c.side} {c.region}",
                f"{c.upper}–{c.lower}",
                c.apex,
                c.cobb_deg,
                spaced(f"{format_number(low, 0)} to {format_number(high, 0)}"),
                c.apical_rotation_deg,
                c.apical_translation_mm,
            ]
        )
    columns = [
        Column("Curve", hint="Side of the convexity, region of the apex"),
        Column("Ends"),
        Column("Apex"),
        Column("Cobb", "°", 1),
        Column("90 % interval"),
        Column("Rotation", "°", 1, "Axial rotation of the apex, spinous process to the right positive"),
        Column("Translation", "mm", 1, "Distance of the apex from the vertical through S1, right positive"),
    ]
    return Table(columns, rows, "Curves seen from behind")


def index_tables(indices: Indices) -> list[Table]:
    """All indices in groups: value, interval, usual band."""
    keys = list(indices)
    starts = [keys.index(first) for _, first in GROUPS] + [len(keys)]
    parts = zip(GROUPS, starts[:-1], starts[1:], strict=True)
    return [_index_table(title, [indices[key] for key in keys[a:b]]) for (title, _), a, b in parts]


def _index_table(title: str, indices: Sequence[Index]) -> Table:
    rows: list[list[Cell]] = []
    flags: list[Flag | None] = []
    for index in indices:
        band: Cell = ""
        if index.value is not None and index.norm is not None:
            band = Band(index.value, index.norm, index.interval)
        rows.append(
            [index.title, value_text(index), interval_text(index), band, usual_text(index), index.note]
        )
        flags.append("warn" if index.in_norm is False else None)
    columns = [
        "Index",
        Column("Value"),
        Column(
            spaced("90 % interval"), hint="The true value lies in it with 90 % probability if the model holds"
        ),
        Column("", hint="Value and interval over the usual band"),
        Column("Usual", hint="Band of healthy people, where a source gives one for exactly this index"),
        "Note",
    ]
    used = [c for c in range(len(columns)) if any(row[c] != "" for row in rows)]
    return Table([columns[c] for c in used], [[row[c] for c in used] for row in rows], title, flags=flags)


def vertebra_table(indices: Indices) -> Table:
    """Deviation and angles of every vertebra with half the width of their 90 % intervals."""
    columns: list[Column | str] = [Column("Vertebra")]
    for _, title, unit, hint in _VERTEBRA:
        columns += [Column(title, unit, 1, hint), Column("±", "", 1, "Half of the 90 % interval")]
    rows: list[list[Cell]] = []
    for row in indices.vertebrae:
        cells: list[Cell] = [row.level]
        for key, *_ in _VERTEBRA:
            low, high = row.intervals.get(key, (float("nan"), float("nan")))
            cells += [row[key], (high - low) / 2]
        rows.append(cells)
    return Table(columns, rows, "Every vertebra")


def term_table(fit: SpineFit) -> Table:
    """The terms of the energy: how well each is met, in its own standard deviations."""
    rows: list[list[Cell]] = []
    flags: list[Flag | None] = []
    for term in fit.cost_terms:
        rows.append(
            [TERMS.get(term.name, term.name).capitalize(), len(term.residuals), term.rms_sigma, term.cost]
        )
        flags.append(
            None if term.rms_sigma <= TERM_SIGMA[0] else "warn" if term.rms_sigma <= TERM_SIGMA[1] else "bad"
        )
    columns = [
        "Evidence or knowledge",
        Column("Residuals"),
        Column("RMS", "σ", 2, "About 1 or less: what is seen agrees with the model as well as expected"),
        Column("Cost", "", 2, "Share of the energy that the fit minimises"),
    ]
    return Table(columns, rows, "How well the fit agrees with what it was given", flags=flags)


def definition_table(indices: Indices) -> Table:
    """What every index is, and where its definition and band come from."""
    rows: list[list[Cell]] = [[index.title, index.definition, index.source] for index in indices.values()]
    return Table(["Index", "Definition", "Source"], rows)
