"""Matplotlib figures in the house style: inline SVG that follows the page's light or dark theme, or PNG.

One figure holds one idea; put figures side by side with the page's columns, which stack on a phone, rather
than several axes into one wide figure.
"""

from __future__ import annotations

import io
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

# Okabe & Ito's colours (2008), told apart by every common kind of colour vision; strongest first.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, QUIET, GRID, PANEL = "#1e2833", "#5f6c7a", "#dde3e9", "#fdfefe"
# In SVG these become custom properties, which the page redefines for its dark theme.
_THEMED = {INK: "--ink", QUIET: "--quiet", GRID: "--grid", PANEL: "--panel"} | {
    colour: f"--series-{number}" for number, colour in enumerate(PALETTE, 1)
}


def house_style() -> Any:
    """Matplotlib settings of the house: quiet axes, light grid, colour-blind-safe cycle, text as text."""
    from cycler import cycler

    return {
        "axes.axisbelow": True,
        "axes.edgecolor": QUIET,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": QUIET,
        "axes.labelsize": 9.5,
        "axes.linewidth": 0.8,
        "axes.prop_cycle": cycler(color=PALETTE),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": INK,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "figure.facecolor": "none",
        "font.family": "DejaVu Sans",  # for measuring; the page shows its own, narrower sans-serif
        "font.size": 10,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "legend.fontsize": 9,
        "legend.frameon": False,
        "legend.labelcolor": INK,
        "lines.linewidth": 1.8,
        "lines.markersize": 4.5,
        "patch.facecolor": PALETTE[0],
        "svg.fonttype": "none",
        "svg.hashsalt": "suite.report",  # the same figure gives the same bytes
        "text.color": INK,
        "xtick.color": QUIET,
        "xtick.labelsize": 9,
        "xtick.major.size": 3,
        "ytick.color": QUIET,
        "ytick.labelsize": 9,
        "ytick.major.size": 3,
    }


@dataclass(frozen=True)
class Figure:
    """A finished matplotlib figure; `alt` says in a sentence what it shows to those who cannot see it."""

    figure: MplFigure
    alt: str = ""

    def svg(self, prefix: str) -> str:
        """Inline `<svg>`: no fixed size, every id begins with `prefix`, the house's colours are themed."""
        from matplotlib import rc_context

        stream = io.StringIO()
        with rc_context(house_style()):
            self.figure.savefig(stream, format="svg", transparent=None, metadata={"Date": None})
        text = stream.getvalue()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text))
        used = {name for pair in used for name in pair if name}
        text = re.sub(
            r' id="([^"]+)"', lambda m: f' id="{prefix}{m.group(1)}"' if m.group(1) in used else "", text
        )
        text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", text)
        text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', text)
        for colour, variable in _THEMED.items():
            text = re.sub(rf": ?{colour}\b", f": var({variable}, {colour})", text, flags=re.IGNORECASE)
        width = float(self.figure.get_figwidth()) * 96
        root = (
            f'<svg class="plot" role="img" aria-label="{escape(self.alt)}" style="max-width:{width:.0f}px" '
            f"viewBox={_view_box(text)}"
        )
        return re.sub(r"<svg [^>]*", root, text, count=1).strip()

    def save_png(self, path: str | os.PathLike[str], dpi: int = 160) -> Path:
        """Write a PNG on white, whole or not at all; returns the path."""
        from matplotlib import rc_context

        path = Path(path)
        with rc_context(house_style()), atomic_write(path, "wb") as stream:
            self.figure.savefig(stream, format="png", dpi=dpi, facecolor="white")
        return path


@contextmanager
def drawing(
    width: float | int = 5.4, height: float | int = 3.6, alt: str = ""
) -> Iterator[tuple[Figure, Axes]]:
    """`with drawing(alt=...) as (figure, axes):` - everything drawn inside wears the house style.

    `width` and `height` in inches; 5.4 fills half a page's width on a screen and stays readable on a phone.
    For another layout of axes, `axes.remove()` and use `figure.figure`.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as MplFigure

    with rc_context(house_style()):
        figure = MplFigure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield Figure(figure, alt), figure.add_subplot()


def _view_box(svg: str) -> str:
    match = re.search(r'viewBox=("[^"]*")', svg)
    if match is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    return match.group(1)
