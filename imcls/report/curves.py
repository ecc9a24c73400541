"""Training curves of all members: loss, learning rate, and the figure watched on held-out images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from suite.report.figure import INK, PALETTE, Figure, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

History = Sequence[Mapping[str, Any]]
"""A row for each epoch: epoch, lr, loss and other terms, figures; numbers, or their text as in log.csv."""
SIZE = (3.6, 3.1)
WATCHED = ("accuracy", "macro_f1", "macro_average_precision", "balanced_accuracy", "micro_f1", "log_loss")
"""What is drawn as the watched figure where nothing is said: the first of these that is there."""


def curve_figures(histories: Mapping[str, History], watch: str = "") -> list[tuple[Figure, str]]:
    """Drawings and captions, as many of the three as the histories hold something for."""
    columns = {key for rows in histories.values() for row in rows for key in row}
    watched = watch if watch in columns else next((name for name in WATCHED if name in columns), "")
    said = watched.replace("_", " ")
    wanted = [
        ("loss", "loss", "Mean training loss of each epoch."),
        (watched, said, f"{said[:1].upper()}{said[1:]} on held-out images after each epoch."),
        ("lr", "learning rate", "Learning rate at the end of each epoch."),
    ]
    return [(_figure(histories, key, label), text) for key, label, text in wanted if key and key in columns]


def _figure(histories: Mapping[str, History], key: str, label: str) -> Figure:
    from matplotlib.ticker import MaxNLocator

    lines = {name: line for name, rows in histories.items() if len(line := _line(rows, key))}
    with drawing(*SIZE, alt=f"Training curves: {label} by epoch") as (figure, axes):
        if len(lines) <= len(PALETTE):
            for name, line in lines.items():
                axes.plot(*line.T, label=name, lw=1.6, **_mark(line))
            if len(lines) > 1:
                axes.legend(ncols=2, handlelength=1.2, columnspacing=1.0)
        else:
            _many(axes, list(lines.values()))
        values = np.concatenate([line[:, 1] for line in lines.values()]) if lines else np.zeros(0)
        if key == "loss" and len(values) and values.min() > 0 and values.max() > 20 * values.min():
            axes.set_yscale("log")
        if key == "lr":
            axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2), useMathText=True)
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure


def _many(axes: Axes, lines: Sequence[np.ndarray]) -> None:
    """More members than colours: each of them thin, their median strong."""
    for line in lines:
        axes.plot(*line.T, color=PALETTE[0], lw=0.9, alpha=0.35)
    epochs = np.unique(np.concatenate([line[:, 0] for line in lines]))
    middle = [np.median([v for line in lines for v in line[line[:, 0] == epoch, 1]]) for epoch in epochs]
    axes.plot(epochs, middle, color=INK, lw=2, label=f"median of {len(lines)} members")
    axes.legend()


def _line(rows: History, key: str) -> np.ndarray:
    """(m, 2): epochs done, and a finite value; histories that count from 0 are moved by 1."""
    found = []
    for number, row in enumerate(rows):
        try:
            point = float(row.get("epoch", number)), float(row[key])
        except (KeyError, TypeError, ValueError):
            continue
        if np.isfinite(point).all():
            found.append(point)
    line = np.array(found, np.float64).reshape(-1, 2)
    if len(line) and line[0, 0] == 0:
        line[:, 0] += 1
    return line


def _mark(line: np.ndarray) -> dict[str, Any]:
    """Single epochs would be invisible as lines."""
    return {"marker": "o", "ms": 3.5} if len(line) <= 12 else {}
