"""An ablation as a table: for a file, for a README."""

from __future__ import annotations

from imcls.ablation.compare import Ablation
from imcls.metrics.bootstrap import PairedDifference
from suite.report.metric import format_number
from suite.report.table import Column, Table


def table(ablation: Ablation) -> Table:
    """Accuracies and differences in per cent; a row is flagged where its interval excludes 0."""
    columns = [
        Column("Variant"),
        Column("Accuracy", "%", 2),
        Column("SD over seeds", "%", 2),
        Column("Difference", "%", 2),
        Column("from", "%", 2, hint="95 % paired bootstrap over images and seeds"),
        Column("to", "%", 2),
        Column("Log loss", "nats", 4),
        Column("Difference", "nats", 4),
        Column("from", "nats", 4, hint="95 % paired bootstrap over images and seeds"),
        Column("to", "nats", 4),
        Column("Cost", "CPU-s", 1),
    ]
    rows, flags = [], []
    for row in ablation.rows:
        d, e = row.difference, row.log_loss_difference
        rows.append(
            [
                row.name,
                100 * row.accuracy,
                100 * row.accuracy_sd,
                *([None] * 3 if d is None else [100 * d.value, 100 * d.low, 100 * d.high]),
                row.log_loss,
                *([None] * 3 if e is None else [e.value, e.low, e.high]),
                row.cpu_s,
            ]
        )
        flags.append(None if d is None or not excludes_zero(d) else "ok" if d.value > 0 else "bad")
    return Table(columns, rows, flags=flags)


def markdown(ablation: Ablation) -> str:
    """A table for a README."""
    lines = [
        "| variant | accuracy % | difference (95 %) | log loss | difference (95 %) | CPU-s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in ablation.rows:
        spread = f" ± {format_number(100 * row.accuracy_sd, 2)}" if len(ablation.seeds) > 1 else ""
        cells = [
            row.name.replace("|", "\\|"),
            format_number(100 * row.accuracy, 2) + spread,
            _marked(row.difference, 100, 2),
            format_number(row.log_loss, 4),
            _marked(row.log_loss_difference, 1, 4),
            format_number(row.cpu_s, 1),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def excludes_zero(difference: PairedDifference) -> bool:
    """Whether all of the interval lies on one side."""
    return difference.low > 0 or difference.high < 0


def interval_text(d: PairedDifference | None, factor: int, decimals: int) -> str:
    """`+0.12 (−0.30 to 0.54)`, a dash for the base."""
    if d is None:
        return "–"
    value, low, high = (format_number(factor * x, decimals) for x in (d.value, d.low, d.high))
    plus = "+" if d.value > 0 else ""
    return f"{plus}{value} ({low} to {high})"


def _marked(d: PairedDifference | None, factor: int, decimals: int) -> str:
    text = interval_text(d, factor, decimals)
    return f"**{text}**" if d is not None and excludes_zero(d) else text
