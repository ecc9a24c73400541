"""Runs of one person side by side: curves overlaid, and which changes are more than error.

Read from each run's result.json. A change is the difference of two indices; its 90 % interval takes both
posterior intervals as independent, so it is on the safe side where the same error (such as the depth of this
person's spine) repeats from scan to scan.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spine.anatomy import LEVELS
from spine.measure.angles import C7, checked_chain, level_name
from spine.output import FORMAT, RESULT, VERSION
from spine.repeatability import shipped_repeatability
from spine.report.curves import coronal_figure, rotation_figure, sagittal_figure, top_figure
from spine.report.page import NOT_A_DEVICE
from spine.report.summary import MAIN, spaced
from spine.report.trace import Trace
from suite.errors import BadInput
from suite.report.figure import PALETTE
from suite.report.flag import Flag, check_flag
from suite.report.metric import Metric, format_number, with_unit
from suite.report.page import Page
from suite.report.table import Cell, Column, Table
from suite.run import Run

Interval = tuple[float, float]
MOST_RUNS = len(PALETTE)


@dataclass(frozen=True, eq=False)
class Visit:
    """One run as written: a label, its trace, `indices` by key as in result.json, its primary curve."""

    label: str
    trace: Trace
    indices: dict[str, dict[str, Any]]
    verdict: Flag
    curve: str


@dataclass(frozen=True)
class Change:
    """One index at the first and the last visit; `interval` is the 90 % interval of the change."""

    key: str
    title: str
    unit: str
    first: float
    last: float
    change: float
    interval: Interval | None
    sdc: float | None

    @property
    def is_real(self) -> bool | None:
        """Whether the change is more than error: beyond `sdc`, else if the interval leaves out 0."""
        if self.sdc is not None:
            return abs(self.change) > self.sdc
        if self.interval is not None:
            return not self.interval[0] <= 0 <= self.interval[1]
        return None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Visits in the order given, and every index that both the first and the last one have."""

    visits: tuple[Visit, ...]
    changes: tuple[Change, ...]


def compared(runs: Sequence[str | Path]) -> Comparison:
    """Read two to six runs, the oldest first. Raises BadInput for what is not a run of `spine fit`."""
    if not 2 <= len(runs) <= MOST_RUNS:
        raise BadInput(
            f"{len(runs)} run(s) to compare", hint=f"name two to {MOST_RUNS} run folders, the oldest first"
        )
    labels = _labels([Path(run) for run in runs])
    visits = tuple(
        read_visit(run, label, color)
        for run, label, color in zip(runs, labels, PALETTE[: len(runs)], strict=True)
    )
    first, last = visits[0].indices, visits[-1].indices
    found = [_change(key, first[key], last[key]) for key in first if key in last]
    return Comparison(visits, tuple(change for change in found if change is not None))


def read_visit(run: str | Path, label: str, color: str) -> Visit:
    """One run's result.json. Raises BadInput naming what is missing."""
    path = Path(run)
    path = path / RESULT if path.is_dir() or not path.suffix else path
    try:
        data = json.loads(path.read_text("utf-8"))
        if data.get("format") != FORMAT or data.get("version") != VERSION:
            raise BadInput(f"is no result of spine fit (format {FORMAT}, version {VERSION})", path)
        rows = data["vertebrae"]
        if [row["level"] for row in rows] != list(LEVELS):
            raise BadInput("does not hold the 25 levels C1 ... S1", path)
        T = checked_chain(np.array([row["T_body_vertebra"] for row in rows], np.float64), str(path))
        centre = np.array([[row[f"{axis}_mm"]["interval"] for axis in "xyz"] for row in rows], np.float64)
        axial = np.array(
            [[row["axial_deg"]["value"], *row["axial_deg"]["interval"]] for row in rows], np.float64
        )
        trace = Trace(
            label,
            color,
            T[C7:, :3, 3],
            np.moveaxis(centre, 2, 0)[:, C7:],
            axial[C7:, 0],
            axial[C7:, 1:].T,
            T[C7:, :3, 2],
        )
        curve = "{side} {region}".format(**data["curves"][0])
        return Visit(label, trace, dict(data["indices"]), check_flag(data["quality"]["verdict"]), curve)
    except FileNotFoundError:
        raise BadInput(f"no {RESULT} here", path.parent, "name the run folder that spine fit made") from None
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", path) from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"is damaged ({type(error).__name__}: {error})", path, "fit the scan again") from None


def change_table(comparison: Comparison, main: bool = False) -> Table:
    """The changes from the first to the last visit; only the main indices with `main`."""
    chosen = [c for c in comparison.changes if not main or c.key in MAIN]
    rows: list[list[Cell]] = []
    flags: list[Flag | None] = []
    for c in chosen:
        low, high = c.interval or (math.nan, math.nan)
        rows.append(
            [
                c.title,
                _text(c.first, c.unit),
                _text(c.last, c.unit),
                _text(c.change, c.unit, sign=True),
                "" if c.interval is None else spaced(f"{format_number(low, 1)} to {format_number(high, 1)}"),
                "" if c.sdc is None else format_number(c.sdc, 1),
                {True: "yes", False: "no", None: "–"}[c.is_real],
            ]
        )
        flags.append("info" if c.is_real else None)
    columns = [
        "Index",
        Column(comparison.visits[0].label),
        Column(comparison.visits[-1].label),
        Column("Change"),
        Column(spaced("90 % interval"), hint="Of the change, both visits taken as independent"),
        Column("SDC", hint="Smallest detectable change, where known"),
        Column(
            "More than error",
            hint="Beyond the smallest detectable change, or with an interval that leaves out 0",
        ),
    ]
    return Table(columns, rows, "What changed from the first to the last", flags=flags)


def write_comparison(run: Run, comparison: Comparison) -> Path:
    """report.html, comparison.json and changes.csv in the run's folder; returns the page's path."""
    from suite.files import atomic_write

    with atomic_write(run.path("comparison.json"), "w") as out:
        json.dump(_as_dict(comparison), out, indent=1, allow_nan=False, ensure_ascii=False)
        out.write("\n")
    change_table(comparison).write_csv(run.path("changes.csv"))
    run.add_metrics(Metric(f"change_{c.key}", c.change, c.unit, None, c.interval) for c in comparison.changes)
    return _page(comparison).write(run.path("report.html"))


def _page(comparison: Comparison) -> Page:
    traces = [visit.trace for visit in comparison.visits]
    page = Page("Spine over time", f"{len(traces)} visits, the oldest first", NOT_A_DEVICE)
    page.heading("At a glance")
    real = [c for c in comparison.changes if c.is_real and c.key in MAIN]
    if real:
        named = "; ".join(f"{c.title} {_text(c.change, c.unit, sign=True)}" for c in real)
        page.note("info", f"More than error: {named}.")
    else:
        page.note("ok", "None of the main indices changed by more than error.")
    kinds = [visit.curve for visit in (comparison.visits[0], comparison.visits[-1])]
    if kinds[0] != kinds[1]:
        page.note("warn", f"The primary curve is not the same one: first {kinds[0]}, last {kinds[1]}.")
    doubts: dict[Flag, str] = {"bad": "Not to be relied on", "warn": "Usable with caution"}
    for flag, what in doubts.items():
        named = ", ".join(visit.label for visit in comparison.visits if visit.verdict == flag)
        if named:
            page.note(flag, f"{what} by their own checks: {named}.")
    page.table(change_table(comparison, main=True))
    page.heading("Curves")
    left, middle, right = page.columns(1, 1, 1)
    figure, stretch = coronal_figure(traces)
    left.figure(figure, f"From behind, drawn {stretch:.1f} times as wide as tall.")
    middle.figure(sagittal_figure(traces), "From the right side, true to scale.")
    right.figure(rotation_figure(traces), "Axial rotation of the vertebrae.")
    left, right = page.columns(1, 1)
    left.figure(top_figure(traces), "From above, front at the top.")
    right.heading("How to read this", 3)
    right.text(
        "The origin of every visit is the skin over its base mid-point, and the back faces the viewer: "
        "posture and growth show, where the person stood does not. Shaded are 90 % intervals. Levels on the "
        "left are those of the first visit.\n\nA change counts as more than error where it exceeds the "
        "smallest detectable change, or, where that is not known, where its interval leaves out zero. Both "
        "take the visits as independent." + _repeated()
    )
    page.heading("All indices")
    page.table(change_table(comparison))
    return page


def _repeated() -> str:
    """Where the smallest detectable changes of automatic results come from."""
    repeatability = shipped_repeatability()
    if repeatability is None:
        return ""
    return (
        "\n\nWhere landmarks were found automatically the smallest detectable change was measured: "
        f"{repeatability.provenance}. How a person stands on another day is not in it."
    )


def _change(key: str, a: dict[str, Any], b: dict[str, Any]) -> Change | None:
    first, last = a.get("value"), b.get("value")
    if first is None or last is None or a.get("unit") != b.get("unit"):
        return None
    change = last - first
    if key.endswith("azimuth_deg"):
        change = (change + 180) % 360 - 180
    interval = None
    if a.get("interval") and b.get("interval"):
        (a_low, a_high), (b_low, b_high) = a["interval"], b["interval"]
        interval = (
            change - math.hypot(last - b_low, a_high - first),
            change + math.hypot(b_high - last, first - a_low),
        )
    known = [i["sdc"] for i in (a, b) if i.get("sdc") is not None]
    return Change(
        key, a.get("title") or key, a["unit"], first, last, change, interval, max(known, default=None)
    )


def _text(value: float, unit: str, sign: bool = False) -> str:
    if unit == "level":
        return f"{format_number(value, 1)} levels" if sign else level_name(value)
    plus = "+" if sign and value > 0 else ""
    return plus + with_unit(format_number(value, 2 if unit in ("1/m", "SD") else 1), unit)


def _labels(runs: Sequence[Path]) -> list[str]:
    """Folder names, numbered where they are alike."""
    names = [(run if run.is_dir() or not run.suffix else run.parent).absolute().name for run in runs]
    return names if len(set(names)) == len(names) else [f"{name} ({i})" for i, name in enumerate(names, 1)]


def _as_dict(comparison: Comparison) -> dict[str, Any]:
    return {
        "format": "spine-comparison",
        "version": 1,
        "visits": [visit.label for visit in comparison.visits],
        "changes": [
            {
                "key": c.key,
                "title": c.title,
                "unit": c.unit,
                "first": c.first,
                "last": c.last,
                "change": c.change,
                "interval": None if c.interval is None else list(c.interval),
                "sdc": c.sdc,
                "more_than_error": c.is_real,
            }
            for c in comparison.changes
        ],
    }
