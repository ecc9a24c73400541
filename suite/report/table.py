"""One table, three readers: HTML for a page, rich for a terminal, CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.files import atomic_write
from suite.report.band import Band
from suite.report.flag import ICONS, Flag, check_flag, icon_html
from suite.report.metric import MISSING, Metric, format_number, sensible_decimals

if TYPE_CHECKING:
    from rich.table import Table as RichTable

RICH_STYLES: dict[Flag, str] = {"info": "", "ok": "green", "warn": "yellow", "bad": "red"}


@dataclass(frozen=True)
class Link:
    """A cell that leads to a file; `href` is relative to the page. ValueError for anything with a scheme."""

    text: str
    href: str

    def __post_init__(self) -> None:
        if ":" in self.href.split("/", 1)[0] or self.href.startswith("//"):
            raise ValueError(f"a link in a report leads to a file beside it, not to {self.href!r}")


Cell = str | bool | int | float | Metric | Link | Band | None


@dataclass(frozen=True)
class Column:
    """A column's title and unit; `decimals` None picks one number of decimals for the whole column."""

    title: str
    unit: str = ""
    decimals: int | None = None
    hint: str = ""

    @property
    def heading(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns (a plain string is a column without a unit).

    `flags` gives a quality flag (or None) per row, `marked` the (row, column) cells that stand out, such as
    the best of a column. NaN and None read as a dash. ValueError where a row, a flag or a mark does not fit.
    """

    columns: Sequence[Column | str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    flags: Sequence[Flag | None] = ()
    marked: frozenset[tuple[int, int]] = frozenset()

    def __post_init__(self) -> None:
        columns = tuple(Column(column) if isinstance(column, str) else column for column in self.columns)
        rows = tuple(tuple(_plain(cell) for cell in row) for row in self.rows)
        for number, row in enumerate(rows):
            if len(row) != len(columns):
                raise ValueError(f"row {number} has {len(row)} cells under {len(columns)} columns")
        flags = tuple(self.flags) or (None,) * len(rows)
        if len(flags) != len(rows):
            raise ValueError(f"{len(flags)} flags for {len(rows)} rows")
        for flag in flags:
            if flag is not None:
                check_flag(flag)
        for row, column in self.marked:
            if not (0 <= row < len(rows) and 0 <= column < len(columns)):
                raise ValueError(f"marked cell ({row}, {column}) is outside the table")
        for name, value in (("columns", columns), ("rows", rows), ("flags", flags)):
            object.__setattr__(self, name, value)

    def to_html(self) -> str:
        """`<figure class="table">` with caption, scoped headers and escaped cells."""
        kinds = self._numeric
        head = "".join(
            f'<th scope="col"{_attributes(number=kind, title=column.hint)}>{escape(column.heading)}</th>'
            for column, kind in zip(self._columns, kinds, strict=True)
        )
        body = "".join(self._row_html(number) for number in range(len(self.rows)))
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        return (
            f'<figure class="table">{caption}'
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(self.caption or "Table")}">'
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></figure>"
        )

    def to_rich(self) -> RichTable:
        """The same table for a terminal; markup in cells is shown, not obeyed."""
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(title=self.caption or None, title_justify="left")
        for column, number in zip(self._columns, self._numeric, strict=True):
            table.add_column(Text(column.heading), justify="right" if number else "left")
        for r, flag in enumerate(self.flags):
            texts = [
                Text(text, style="bold" if (r, c) in self.marked else "")
                for c, text in enumerate(self._row_texts(r))
            ]
            if flag is not None and texts:
                texts[0] = Text(f"{ICONS[flag]} ") + texts[0]
            table.add_row(*texts, style=RICH_STYLES[flag] if flag else "")
        return table

    def to_csv(self) -> str:
        """Unrounded values; titles carry their unit in brackets; what is missing is an empty field."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([f"{c.title} [{c.unit}]" if c.unit else c.title for c in self._columns])
        writer.writerows([_csv_field(cell) for cell in row] for row in self.rows)
        return stream.getvalue()

    def write_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write `to_csv()` whole or not at all; returns the path."""
        path = Path(path)
        with atomic_write(path, "wb") as stream:
            stream.write(self.to_csv().encode())
        return path

    @property
    def _columns(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if isinstance(column, Column))

    @property
    def _numeric(self) -> list[bool]:
        """Per column: does it hold numbers (and nothing else but gaps)?"""
        kinds = []
        for c in range(len(self.columns)):
            cells = [row[c] for row in self.rows if row[c] is not None]
            kinds.append(bool(cells) and all(_is_number(cell) for cell in cells))
        return kinds

    def _decimals(self, c: int) -> int | None:
        """One number of decimals per column, so that the points line up; None leaves integers alone."""
        if self._columns[c].decimals is not None:
            return self._columns[c].decimals
        finite = [abs(cell) for row in self.rows if isinstance(cell := row[c], float) and math.isfinite(cell)]
        return sensible_decimals(max(finite)) if finite else None

    def _row_texts(self, r: int) -> list[str]:
        return [_cell_text(cell, self._decimals(c)) for c, cell in enumerate(self.rows[r])]

    def _row_html(self, r: int) -> str:
        flag, kinds, cells = self.flags[r], self._numeric, []
        for c, (cell, text) in enumerate(zip(self.rows[r], self._row_texts(r), strict=True)):
            tag = "th" if c == 0 else "td"
            content = escape(text)
            if isinstance(cell, Band):
                content = cell.to_html()
            elif isinstance(cell, Link):
                content = f'<a href="{escape(cell.href)}">{content}</a>'
            if (r, c) in self.marked:
                content = f"<strong>{content}</strong>"
            if c == 0 and flag is not None:
                content = icon_html(flag) + content
            scope = ' scope="row"' if c == 0 else ""
            cells.append(f"<{tag}{scope}{_attributes(number=kinds[c])}>{content}</{tag}>")
        return f"<tr{_attributes(flag=flag)}>{''.join(cells)}</tr>"


def _plain(cell: Any) -> Cell:
    """Numpy scalars become Python's own, so that one rule formats them all."""
    return cell.item() if hasattr(cell, "dtype") and hasattr(cell, "item") else cell


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, (int, float, Metric)) and not isinstance(cell, bool)


def _cell_text(cell: Cell, decimals: int | None) -> str:
    if cell is None:
        return MISSING
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return str(cell).replace("-", "−")
    if isinstance(cell, float):
        return format_number(cell, decimals)
    return cell if isinstance(cell, str) else cell.text


def _csv_field(cell: Cell) -> str:
    if isinstance(cell, (Metric, Band)):
        cell = cell.value
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, (bool, int)):
        return str(cell).lower()
    if isinstance(cell, float):
        return repr(cell)
    return cell if isinstance(cell, str) else cell.text


def _attributes(number: bool = False, flag: Flag | None = None, title: str = "") -> str:
    classes = " ".join(word for word in ("number" if number else "", flag or "") if word)
    text = f' class="{classes}"' if classes else ""
    return text + (f' title="{escape(title)}"' if title else "")
