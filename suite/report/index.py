"""One page over many runs: what was run, how it ended, and the runs' figures side by side."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from suite.errors import BadInput
from suite.report.flag import Flag
from suite.report.metric import Metric, format_number
from suite.report.page import Page
from suite.report.table import Cell, Column, Link, Table
from suite.run import Run

REPORT = "report.html"
STATES: dict[str, tuple[str, Flag]] = {
    "finished": ("finished", "ok"),
    "running": ("unfinished (still running, or killed)", "warn"),
    "failed": ("failed", "bad"),
}


def write_index(runs: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> Path:
    """Write the page `out` over run folders, return it; those that cannot be read are named, with the reason.

    Links are relative, so the page can move together with the runs. Raises BadInput without runs.
    """
    if not runs:
        raise BadInput("no runs to list", hint="name one or more run folders")
    out, folders = Path(out), [Path(run) for run in runs]
    names, opened = _names(folders), [_open(folder) for folder in folders]
    page = Page("Runs", subtitle=f"{len(folders)} run{'s' if len(folders) > 1 else ''}")
    page.heading("What was run")
    page.table(_runs_table(names, folders, opened, out))
    for name, run in zip(names, opened, strict=True):
        if isinstance(run, BadInput):
            page.note("bad", f"{name} cannot be read: {run}")
    measured = {
        name: run.metrics
        for name, run in zip(names, opened, strict=True)
        if isinstance(run, Run) and run.metrics
    }
    if measured:
        page.heading("Figures")
        page.table(metrics_table(list(measured), list(measured.values())))
    return page.write(out)


def metrics_table(names: Sequence[str], runs: Sequence[Sequence[Metric]]) -> Table:
    """A row per metric, a column per run; the best of a row is marked (all of them in a tie).

    Values are compared only where all runs agree on a metric's unit and direction.
    """
    by_key = [{metric.key: metric for metric in metrics} for metrics in runs]
    rows: list[list[Cell]] = []
    marked: set[tuple[int, int]] = set()
    for r, key in enumerate(dict.fromkeys(metric.key for metrics in runs for metric in metrics)):
        found = [metrics.get(key) for metrics in by_key]
        rows.append([key, " or ".join(sorted({m.better for m in found if m and m.better})), *found])
        marked |= {(r, c + 2) for c in _best(found)}
    columns = ["Metric", Column("Better", hint="The direction in which a metric improves"), *names]
    return Table(columns, rows, "Metrics, the best in bold", marked=frozenset(marked))


def _best(metrics: Sequence[Metric | None]) -> list[int]:
    """Positions of the best of comparable metrics; none where there is nothing to compare."""
    known = {c: m for c, m in enumerate(metrics) if m is not None and math.isfinite(m.value)}
    kinds = {(m.unit, m.better) for m in known.values()}
    if len(kinds) != 1 or len({m.value for m in known.values()}) < 2:
        return []
    _, better = kinds.pop()
    if better is None:
        return []
    best = (min if better == "lower" else max)(m.value for m in known.values())
    return [c for c, m in known.items() if m.value == best]


def _runs_table(
    names: Sequence[str], folders: Sequence[Path], runs: Sequence[Run | BadInput], out: Path
) -> Table:
    rows: list[list[Cell]] = []
    flags: list[Flag | None] = []
    for name, folder, run in zip(names, folders, runs, strict=True):
        page = folder / REPORT
        title: Cell = Link(name, _relative(page, out)) if page.is_file() else name
        if isinstance(run, BadInput):
            rows.append([title, None, None, None, "cannot be read"])
            flags.append("bad")
            continue
        status, flag = STATES.get(run.status, (run.status, "warn"))
        error, wall_s = run.record.get("error"), run.record.get("wall_s")
        took = None if wall_s is None else f"{format_number(float(wall_s))}\N{NO-BREAK SPACE}s"
        command, date = _command(run.record.get("command")), _date(run.record.get("started"))
        rows.append([title, command, date, took, f"{status}: {error}" if error else status])
        flags.append(flag)
    return Table(["Run", "Command", "Started", "Took", "Status"], rows, flags=flags)


def _open(folder: Path) -> Run | BadInput:
    try:
        return Run.open(folder)
    except BadInput as error:
        return error


def _names(folders: Sequence[Path]) -> list[str]:
    """Folder names, with as much of the path above as tells them apart; a folder given twice is numbered."""
    whole = [folder.absolute().parts for folder in folders]
    for depth in range(1, max(map(len, whole)) + 1):
        names = ["/".join(parts[-depth:]) for parts in whole]
        if len(set(names)) == len(names):
            return names
    return [f"{folder.name} ({number})" for number, folder in enumerate(folders, 1)]


def _relative(target: Path, page: Path) -> str:
    path = os.path.relpath(target.absolute(), page.absolute().parent)
    return quote(path.replace(os.sep, "/"))


def _command(command: object) -> str | None:
    """`/somewhere/bin/spine fit scan.ply` reads `spine fit scan.ply`."""
    if not isinstance(command, list) or not command:
        return None
    return shlex.join([Path(str(command[0])).name, *(str(word) for word in command[1:])])


def _date(started: object) -> str | None:
    try:
        return datetime.fromisoformat(str(started)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return None
