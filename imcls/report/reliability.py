"""Whether confidence means what it says, before and after calibration: two drawings and a table."""

from __future__ import annotations

import numpy as np

from imcls.metrics.calibration import Reliability, events, reliability
from imcls.metrics.summary import log_losses
from imcls.predictions import Predictions
from suite.report.figure import PALETTE, QUIET, Figure, drawing
from suite.report.table import Cell, Column, Table

SIZE = (5.2, 4.4)
_LEAST = 5  # events in a bin that is drawn; fewer say nothing


def reliability_figure(before: Reliability, after: Reliability | None = None) -> Figure:
    """Frequency over confidence with 95 % intervals; on the dotted line confidence is earned."""
    with drawing(*SIZE, alt="Reliability: how often statements of a confidence are true") as (figure, axes):
        axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=(0, (1, 2)))
        series = [(before, "as trained", PALETTE[1], -0.004)]
        if after is not None:
            series.append((after, "with temperature", PALETTE[0], 0.004))
        lowest = 1.0
        for data, label, colour, shift in series:
            shown = data.counts >= min(_LEAST, int(data.counts.max()))
            x, y, interval = data.confidence[shown], data.frequency[shown], data.interval[shown]
            bars = np.abs(interval.T - y)
            axes.errorbar(x + shift, y, bars, color=colour, marker="o", ms=4.5, lw=1.6, elinewidth=1,
                label=f"{label}, ECE {100 * data.ece:.1f} %")  # fmt: skip
            lowest = min(lowest, float(x.min()), float(interval.min()))
        edge = max(0.0, np.floor(10 * lowest) / 10)
        axes.set_xlim(edge, 1.015)
        axes.set_ylim(edge, 1.015)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share that is true")
        # Above: wherever it stood inside, some model's points would lie under it.
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, handlelength=1.6)
    return figure


def confidence_figure(predictions: Predictions) -> Figure:
    """How many statements of each confidence there are, true and false."""
    confidence, true = events(predictions)
    low = 0.0 if predictions.multi_label else np.floor(20 * confidence.min()) / 20
    edges = np.linspace(low, 1, 21).tolist()
    words = ("is there", "is not there") if predictions.multi_label else ("right", "wrong")
    with drawing(*SIZE, alt="Histogram of confidence, right and wrong answers") as (figure, axes):
        axes.hist(
            [confidence[true], confidence[~true]],
            edges,
            color=[PALETTE[0], PALETTE[1]],
            label=[f"{words[0]} ({int(true.sum())})", f"{words[1]} ({int((~true).sum())})"],
            histtype="bar",
            rwidth=0.92,
        )
        axes.set_yscale("symlog", linthresh=10)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel("confidence")
        axes.set_ylabel("images × classes" if predictions.multi_label else "images")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2)
    return figure


def calibration_table(before: Predictions, after: Predictions | None) -> Table:
    """ECE two ways and log loss, before and after, and what even a perfect model would show."""
    rows: list[list[Cell]] = []
    for name, predictions in (("As trained", before), ("With temperature, cross-fitted", after)):
        if predictions is None:
            continue
        equal_width = reliability(predictions)
        equal_mass = reliability(predictions, equal_mass=True)
        rows.append(
            [
                name,
                100 * equal_width.ece,
                100 * equal_mass.ece,
                100 * equal_width.ece_by_chance,
                float(log_losses(predictions).mean()),
            ]
        )
    columns = [
        "Probabilities",
        Column("ECE", "%", 2, "Expected calibration error, 15 bins of equal width"),
        Column("ECE, equal mass", "%", 2, "The same with 15 bins of as many statements each"),
        Column("ECE by chance", "%", 2, "What perfectly calibrated answers would show on as many images"),
        Column("Log loss", "nats", 3),
    ]
    return Table(columns, rows, "Calibration on held-out images")
