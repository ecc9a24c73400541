"""The page of an ablation: differences to the base as a forest plot, and the table behind it."""

from __future__ import annotations

from pathlib import Path

from imcls.ablation.compare import Ablation, Row
from imcls.ablation.table import excludes_zero, interval_text, markdown, table
from imcls.metrics.bootstrap import PairedDifference
from suite.report.figure import INK, PALETTE, QUIET, Figure, drawing
from suite.report.metric import Metric
from suite.report.page import Page
from suite.report.table import Column, Table

_METHOD = (
    "Each difference is to the base, on the same images with the same seeds. Its 95 % interval comes from "
    "drawing images and seeds again, independently of each other (2.5 % and 97.5 % quantiles), so it says "
    "how far the difference might be another with other images of this kind and other seeds. An interval "
    "that does not reach 0 is drawn full; where nothing differs, about one in twenty still does so by "
    "chance. Log loss is that of the probabilities as they come, before any temperature, so what makes a "
    "model less sure of itself (smoothing, mixup) pays for it there."
)


def write_ablation_page(path: Path, ablation: Ablation) -> Path:
    """Write the page, whole or not at all; returns its path."""
    seeds = len(ablation.seeds)
    subtitle = (
        f"{len(ablation.rows) - 1} variants · {seeds} seed{'s' * (seeds > 1)} · {ablation.images} images"
    )
    page = Page("Ablation", subtitle)
    base, changed = ablation.rows[0], [row for row in ablation.rows[1:] if row.difference is not None]
    page.heading("Differences to the base")
    page.metrics(_cards(base, changed), {"base": "Accuracy of the base", "best": "Best variant"})
    if changed:
        left, right = page.columns(1, 1)
        left.figure(forest(changed, "accuracy"), "Accuracy: to the right is better.")
        right.figure(forest(changed, "log loss"), "Log loss: to the left is better.")
    page.table(_compact(ablation))
    page.heading("How to read it")
    page.text(_METHOD)
    settings = [row for row in ablation.rows if row.overrides]
    if settings:
        page.heading("Settings", 3)
        page.text("\n\n".join(f"{row.name}: {', '.join(row.overrides)}" for row in settings))
    page.download("ablation.csv", table(ablation).to_csv().encode(), "text/csv")
    page.download("ablation.md", markdown(ablation).encode(), "text/markdown")
    return page.write(path)


def forest(rows: list[Row], what: str) -> Figure:
    """Differences with their intervals, one line a variant, in the order of the table."""
    accuracy = what == "accuracy"
    factor, unit = (100, "% of images") if accuracy else (1, "nats")
    label_inches = min(2.6, 0.075 * max(len(row.name) for row in rows) + 0.3)
    with drawing(3.2 + label_inches, 0.9 + 0.34 * len(rows), f"Differences in {what} to the base") as (
        figure,
        axes,
    ):
        for place, row in enumerate(rows):
            d = row.difference if accuracy else row.log_loss_difference
            if d is not None:
                _line(axes, -place, d, factor, better=(d.value > 0) == accuracy)
        axes.axvline(0.0, color=QUIET, linewidth=1.0)
        axes.set_yticks([-place for place in range(len(rows))], [_short(row.name) for row in rows], color=INK)
        axes.set_ylim(-len(rows) + 0.4, 0.6)
        axes.set_xlabel(f"Difference in {what}, {unit}")
        axes.grid(axis="y", visible=False)
    return figure


def _compact(ablation: Ablation) -> Table:
    """The table with each interval in one cell; the CSV has them apart."""
    columns = [
        "Variant",
        Column("Accuracy", "%", 2),
        Column("SD over seeds", "%", 2),
        Column("Difference", "%", hint="95 % paired bootstrap over images and seeds"),
        Column("Log loss", "nats", 3),
        Column("Difference", "nats", hint="95 % paired bootstrap over images and seeds"),
        Column("Cost", "CPU-s", 1),
    ]
    rows = [
        [
            row.name,
            100 * row.accuracy,
            100 * row.accuracy_sd if len(ablation.seeds) > 1 else None,
            _unbroken(interval_text(row.difference, 100, 2)),
            row.log_loss,
            _unbroken(interval_text(row.log_loss_difference, 1, 3)),
            row.cpu_s,
        ]
        for row in ablation.rows
    ]
    return Table(columns, rows, flags=table(ablation).flags)


def _unbroken(interval: str) -> str:
    """The value on one line and its bounds on the next, never apart."""
    value, gap, bounds = interval.partition(" (")
    return value + gap + bounds.replace(" ", "\N{NO-BREAK SPACE}")


def _line(axes, height: int, d: PairedDifference, factor: int, better: bool) -> None:
    colour = PALETTE[2] if better else PALETTE[1]
    sure = excludes_zero(d)
    colour = colour if sure else QUIET
    axes.plot(
        [factor * d.low, factor * d.high], [height, height], color=colour, linewidth=2.6 if sure else 1.4
    )
    axes.plot(
        [factor * d.value],
        [height],
        "o",
        color=colour,
        markerfacecolor=colour if sure else "white",
        markersize=6,
    )


def _short(name: str) -> str:
    return name if len(name) <= 34 else name[:16] + "…" + name[-17:]


def _cards(base: Row, changed: list[Row]) -> list[Metric]:
    cards = [Metric("base", 100 * base.accuracy, "%", "higher")]
    sure = [row for row in changed if row.difference and excludes_zero(row.difference)]
    best = max(sure, key=lambda row: row.accuracy, default=None)
    if best is not None and best.difference is not None and best.difference.value > 0:
        d = best.difference
        note = f"{best.name}: difference to the base"
        cards.append(Metric("best", 100 * d.value, "%", "higher", (100 * d.low, 100 * d.high), note))
    return cards
