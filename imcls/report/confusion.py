"""Which class is taken for which: counts and shares as a drawing, readable from 2 to 100 classes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from suite.report.figure import INK, PALETTE, Figure, drawing
from suite.report.table import Cell, Column, Table

NUMBERED, BESIDE = 24, 12
"""Most classes whose cells carry numbers, and whose two drawings stand side by side."""
_LONGEST = 18


def confusion_figure(
    counts: Int[np.ndarray, "k k"], classes: tuple[str, ...], shares: bool = False
) -> Figure:
    """Rows are true classes: right answers blue, errors orange, deeper for a larger share of the row.

    Numbers in the cells are counts, or with ``shares`` percent of the row.
    """
    k = len(classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 5.0 if k <= BESIDE else min(4.5 + 0.2 * k, 10.0)
    names = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in classes]
    kind = "shares of each true class" if shares else "counts"
    with drawing(size, 0.92 * size, alt=f"Confusion matrix, {kind}, {k} classes") as (figure, axes):
        axes.imshow(_colours(share), interpolation="nearest")
        if k <= NUMBERED:
            _numbers(axes, counts, share, shares, 9.5 if k <= 8 else 8.5 if k <= BESIDE else 7.5)
        step = max(1, -(-k // 50))
        ticks = range(0, k, step)
        upright = max(map(len, names)) * k <= 42
        axes.set_xticks(ticks, [names[t] for t in ticks], rotation=0 if upright else 90)
        axes.set_yticks(ticks, [names[t] for t in ticks])
        axes.tick_params(length=0, labelsize=9 if k <= 12 else 8 if k <= 30 else 6.5)
        axes.grid(visible=False)
        for side in axes.spines.values():
            side.set_visible(False)
        axes.set_xlabel("said")
        axes.set_ylabel("true")
    return figure


def confusion_table(counts: Int[np.ndarray, "k k"], classes: tuple[str, ...], most: int = 10) -> Table:
    """The most frequent confusions, with their share of the true class."""
    errors = counts * (1 - np.eye(len(classes), dtype=np.int64))
    order = [cell for cell in np.argsort(-errors, axis=None, kind="stable")[:most] if errors.flat[cell]]
    rows: list[list[Cell]] = []
    for cell in order:
        i, j = divmod(int(cell), len(classes))
        rows.append([classes[i], classes[j], int(errors[i, j]), 100.0 * errors[i, j] / counts[i].sum()])
    columns = ["True", "Said", Column("Images"), Column("Of the true class", "%", 1)]
    return Table(columns, rows, "The most frequent confusions")


def _colours(share: np.ndarray) -> np.ndarray:
    """RGBA: the share as opacity, so that the drawing sits on a light and on a dark page."""
    right, wrong = (tuple(int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)) for c in PALETTE[:2])
    picture = np.zeros((*share.shape, 4))
    picture[..., :3] = np.where(np.eye(len(share), dtype=bool)[..., None], right, wrong)
    picture[..., 3] = 0.06 + 0.94 * np.sqrt(share)  # the root: a share of a few per cent is still seen
    return picture


def _numbers(axes, counts: np.ndarray, share: np.ndarray, shares: bool, size: float) -> None:
    for i, j in zip(*np.nonzero(counts), strict=True):
        text = f"{100 * share[i, j]:.0f}" if shares else str(counts[i, j])
        if shares and text == "0":
            text = "<1"
        colour = "#ffffff" if share[i, j] > 0.25 else INK
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)
