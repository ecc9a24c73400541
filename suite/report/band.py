"""A strip that shows a value, its interval and the usual range at one glance; it fits into a table's cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from suite.report.metric import format_number

WIDTH, HEIGHT, MARGIN = 120.0, 18.0, 6.0


@dataclass(frozen=True)
class Band:
    """`value` with its `interval`, over the `usual` range (low, high), all in one unit.

    The scale is the usual range with as much room again on both sides, stretched to hold value and interval.
    ValueError for a reversed or infinite range.
    """

    value: float | int
    usual: tuple[float | int, float | int]
    interval: tuple[float | int, float | int] | None = None

    def __post_init__(self) -> None:
        for name, pair in (("usual range", self.usual), ("interval", self.interval)):
            if pair is not None and not (
                math.isfinite(pair[0]) and math.isfinite(pair[1]) and pair[0] <= pair[1]
            ):
                raise ValueError(f"a band's {name} is (low, high), got {pair}")

    @property
    def text(self) -> str:
        """Where the value lies, in words: `within 20.0 to 45.0`."""
        low, high = self.usual
        if math.isnan(self.value):
            place = "not measured, usual"
        else:
            place = "below" if self.value < low else "above" if self.value > high else "within"
        return f"{place} {format_number(low)} to {format_number(high)}"

    def to_html(self) -> str:
        """Inline SVG; its text alternative is `text`."""
        low, high = self.usual
        room = max(high - low, 1e-9)
        known = [bound for bound in (self.value, *(self.interval or ())) if math.isfinite(bound)]
        start, end = min([low - room, *known]), max([high + room, *known])

        def place(value: float | int) -> float:
            return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - start) / (end - start), 1)

        middle = HEIGHT / 2
        marks = [
            f'<line class="scale" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{middle}" y2="{middle}"/>',
            f'<rect class="usual" x="{place(low)}" width="{max(place(high) - place(low), 1):.1f}" '
            f'y="{middle - 5}" height="10" rx="2"/>',
        ]
        if self.interval is not None:
            ends = f'x1="{place(self.interval[0])}" x2="{place(self.interval[1])}"'
            marks.append(f'<line class="interval" {ends} y1="{middle}" y2="{middle}"/>')
        if math.isfinite(self.value):
            inside = "in" if low <= self.value <= high else "out"
            marks.append(f'<circle class="{inside}" cx="{place(self.value)}" cy="{middle}" r="4"/>')
        return (
            f'<svg class="band" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" width="{WIDTH:g}" height="{HEIGHT:g}" '
            f'role="img" aria-label="{escape(self.text)}">{"".join(marks)}</svg>'
        )
