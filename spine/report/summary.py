"""The result in a few lines: cards on the page, a table in the terminal."""

from __future__ import annotations

from spine.measure import Index
from spine.reconstruction import Reconstruction
from suite.report.flag import WORDS, Flag
from suite.report.metric import Metric, format_number, with_unit
from suite.report.table import Cell, Table

MAIN = (
    "cobb_deg",
    "cobb_calibrated_deg",
    "cobb_second_deg",
    "kyphosis_t1_t12_deg",
    "lordosis_l1_s1_deg",
    "rotation_apical_deg",
    "lateral_rms_mm",
    "coronal_balance_mm",
    "sagittal_balance_mm",
)
"""The indices that are read first."""


def main_indices(result: Reconstruction) -> list[Index]:
    """The indices read first, where there is a value."""
    return [result.indices[key] for key in MAIN if result.indices[key].value is not None]


def summary_table(result: Reconstruction) -> Table:
    """Value, 90 % interval and usual band of the main indices."""
    rows: list[list[Cell]] = []
    flags: list[Flag | None] = []
    for index in main_indices(result):
        rows.append([index.title, value_text(index), interval_text(index), usual_text(index)])
        flags.append("warn" if index.in_norm is False else None)
    return Table(["Index", "Value", "90 % interval", "Usual"], rows, flags=flags)


def check_lines(result: Reconstruction) -> list[str]:
    """The checks that are not ok, one line each."""
    return [f"{WORDS[c.flag]}: {c.text}" for c in result.flags if c.flag in ("warn", "bad")]


def as_metric(index: Index) -> Metric:
    """An index as a figure for a card."""
    value = float("nan") if index.value is None else index.value
    return Metric(index.key, value, index.unit, None, index.interval, usual_text(index, "usual "))


def value_text(index: Index) -> str:
    """`29.4°`, `T8`, or a dash."""
    if index.value is None or index.unit == "level":
        return index.text
    return with_unit(format_number(index.value, decimals(index)), index.unit)


def interval_text(index: Index) -> str:
    """`21.0 to 38.2`, without the unit; empty where there is none."""
    if index.value is None or index.interval is None:
        return ""
    if index.unit == "level":
        from spine.measure.angles import level_name

        low, high = (level_name(end) for end in index.interval)
        return low if low == high else spaced(f"{low} to {high}")
    low, high = (format_number(end, decimals(index)) for end in index.interval)
    return spaced(f"{low} to {high}")


def usual_text(index: Index, before: str = "") -> str:
    """The usual band in words: `up to 10`, `20 to 45`."""
    if index.norm is None:
        return ""
    low, high = (format_number(end, 0 if float(end).is_integer() else 1) for end in index.norm)
    return spaced(f"{before}up to {high}" if index.norm[0] == 0 else f"{before}{low} to {high}")


def spaced(text: str) -> str:
    """The same with spaces that do not break: a narrow cell keeps it on one line."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def decimals(index: Index) -> int:
    """Decimals that an index is worth: curvatures and distances in SD take two."""
    return 2 if index.unit in ("1/m", "SD") else 1
