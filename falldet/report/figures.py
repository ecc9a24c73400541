"""Curves of precision over recall, with the operating point of people."""

from __future__ import annotations

import numpy as np

from falldet.metrics.evaluation import Evaluation
from suite.report.figure import INK, PALETTE, Figure, drawing

_COLOURS = (PALETTE[1], PALETTE[0])  # fallen, not fallen, as boxes are drawn


def precision_recall_figure(one: Evaluation) -> Figure:
    """Both classes' boxes at IoU .5; the ring is where people called fallen are at the threshold."""
    alt = f"Precision over recall of boxes at IoU .5 on {one.name}"
    with drawing(alt=alt) as (figure, axes):
        for of_class, ranking, colour in zip(one.coco.classes, one.rankings, _COLOURS, strict=True):
            if of_class.people and len(ranking.scores):
                recall, precision = ranking.curve()
                ends = np.append(np.diff(recall) != 0, True)  # a level of recall once, where it ends
                recall, precision = np.append(recall[ends], recall[-1]), np.append(precision[ends], 0.0)
                label = f"{of_class.name.replace('_', ' ')}: AP50 {of_class.ap50:.3f}"
                axes.plot(recall, precision, color=colour, label=label)
        person = one.confusion
        if not np.isnan(person.precision.value) and not np.isnan(person.recall.value):
            where = person.recall.value, person.precision.value
            ring = {"marker": "o", "markersize": 8, "markerfacecolor": "none", "markeredgecolor": INK}
            axes.plot(*where, linestyle="none", label=f"people called fallen at {one.threshold:.2f}", **ring)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.05)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        if axes.lines:
            axes.legend(loc="lower left")
    return figure
