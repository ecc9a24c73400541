"""Tables of the report: every class with its intervals, every fold, every label in doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from imcls.metrics.calibration import wilson_interval
from imcls.metrics.classes import class_metrics
from imcls.metrics.label_faults import LabelFault
from imcls.metrics.multilabel import average_precision
from imcls.metrics.summary import log_losses, right
from imcls.predictions import Predictions
from imcls.report.pictures import fault_text
from suite.report.metric import Metric
from suite.report.table import Cell, Column, Table

_SPACE = "\N{NO-BREAK SPACE}"


def class_table(predictions: Predictions, bootstrap: int = 1000, seed: int = 0) -> Table:
    """A row for each class; for multi-label its average precision, and its own threshold where it has one."""
    figures = class_metrics(predictions, bootstrap, seed)
    precision = average_precision(predictions) if predictions.multi_label else None
    thresholds = predictions.thresholds if predictions.multi_label else None
    thresholds = None if thresholds is None or thresholds.ndim != 1 else thresholds.astype(np.float64)
    rows: list[list[Cell]] = []
    for c, name in enumerate(predictions.classes):
        row: list[Cell] = [name, int(figures.support[c])]
        for figure in (figures.precision, figures.recall, figures.f1):
            low, high = figure.intervals[c]
            row += [float(figure.values[c]), _interval(float(low), float(high))]
        if precision is not None:
            row.append(float(precision[c]))
        if thresholds is not None:
            row.append(float(1 / (1 + np.exp(-thresholds[c]))))
        rows.append(row)
    columns: list[Column | str] = ["Class", Column("Images", hint="Images that truly show the class")]
    for title, hint in (
        ("Precision", "Of the images said to show it, the share that does"),
        ("Recall", "Of the images that show it, the share that is said to"),
        ("F1", "Harmonic mean of precision and recall"),
    ):
        columns += [Column(title, "", 3, hint), Column(f"95{_SPACE}%", hint=f"Bootstrap interval of {title}")]
    if precision is not None:
        columns.append(Column("AP", "", 3, "Average precision: mean precision over all places of the class"))
    if thresholds is not None:
        columns.append(Column("Threshold", "", 3, "Probability from which the class is said"))
    return Table(columns, rows, "Every class on held-out images")


def fold_table(predictions: Predictions) -> Table | None:
    """How the members did, each on the fold it had not seen; None for fewer than two folds."""
    if predictions.folds is None or predictions.labels is None or len(np.unique(predictions.folds)) < 2:
        return None
    rows: list[list[Cell]] = []
    for fold in np.unique(predictions.folds):
        part = predictions.subset(np.flatnonzero(predictions.folds == fold))
        if part.labels is None or not (part.labels >= 0).any():
            continue
        hits = right(part)
        low, high = wilson_interval(np.array([float(hits.sum())]), np.array([len(hits)]))[0]
        rows.append(
            [
                f"Fold {fold}",
                len(hits),
                float(hits.mean()),
                _interval(float(low), float(high)),
                class_metrics(part, bootstrap=1).macro_f1.value,
                float(log_losses(part).mean()),
            ]
        )
    share = "All classes right" if predictions.multi_label else "Accuracy"
    columns = [
        "Fold",
        Column("Images"),
        Column(share, "", 3),
        Column(f"95{_SPACE}%", hint="Wilson interval"),
        Column("Macro F1", "", 3, "Mean of the F1 of the classes in the fold"),
        Column("Log loss", "nats", 3),
    ]
    return Table(columns, rows, "Every fold, judged by the member that had not seen it")


def fault_table(faults: Sequence[LabelFault], classes: Sequence[str]) -> Table:
    """The labels in doubt, the surest first."""
    rows: list[list[Cell]] = [
        [number, fault.name, fault_text(fault, classes), fault.margin]
        for number, fault in enumerate(faults, 1)
    ]
    columns = [
        Column("Rank"),
        "Image",
        "What is in doubt",
        Column("Margin", "", 3, "(p given - p likely + 1) / 2: the smaller, the surer"),
    ]
    return Table(columns, rows, "Likely label faults")


def figure_table(metrics: Sequence[Metric], labels: Mapping[str, str]) -> Table:
    """Figures one below the other, with how each was measured."""
    rows: list[list[Cell]] = []
    for m in metrics:
        said = m.note[:1].upper() + m.note[1:]
        rows.append([labels.get(m.key, m.key.replace("_", " ").capitalize()), m.text, said])
    return Table(["Figure", "Value", "How it was measured"], rows)


def _interval(low: float, high: float) -> str | None:
    if not (np.isfinite(low) and np.isfinite(high)):
        return None
    return f"{low:.3f}–{high:.3f}"
