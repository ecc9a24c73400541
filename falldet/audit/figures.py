"""Drawings of an audit: classes, people a picture, sizes and places of boxes, sizes of pictures."""

from __future__ import annotations

import numpy as np

from falldet.audit.findings import AuditReport
from falldet.audit.pictures import class_colour
from falldet.data.statistics import BoxStatistics
from suite.report.figure import PALETTE, Figure, drawing

_BINS, _MOST_PEOPLE = 24, 8


def balance_figure(report: AuditReport) -> Figure:
    """Bars of people: sets below one another, a bar for each class."""
    people = report.people()
    with drawing(5.4, 1.4 + 0.5 * len(report.names), alt="Bars: people of each class") as (figure, axes):
        places = np.arange(len(report.names))[::-1]
        width = 0.8 / len(report.classes)
        for k, word in enumerate(report.classes):
            offset = 0.4 - (k + 0.5) * width
            axes.barh(places + offset, people[:, k], width, color=class_colour(k), label=word)
        axes.set_yticks(places, report.names)
        axes.set_xlabel("people")
        axes.grid(False, axis="y")
        axes.legend()
    return figure


def people_figure(report: AuditReport) -> Figure:
    """Bars: how many pictures have how many people; the last bar holds all above."""
    with drawing(5.4, 2.6, alt="Bars: people a picture") as (figure, axes):
        width = 0.8 / len(report.names)
        for own, name in enumerate(report.names):
            each = [min(len(image.labels), _MOST_PEOPLE) for image in report.images_of(own)]
            share = 100 * np.bincount(each, minlength=_MOST_PEOPLE + 1) / len(each)
            places = np.arange(_MOST_PEOPLE + 1) - 0.4 + (own + 0.5) * width
            axes.bar(places, share, width, color=PALETTE[(own + 2) % len(PALETTE)], label=name)
        axes.set_xticks(range(_MOST_PEOPLE + 1), [*map(str, range(_MOST_PEOPLE)), f"{_MOST_PEOPLE}+"])
        axes.set_xlabel("people in the picture")
        axes.set_ylabel("pictures (%)")
        axes.grid(False, axis="x")
        axes.legend()
    return figure


def box_figures(report: AuditReport, boxes: BoxStatistics) -> list[tuple[Figure, str]]:
    """Heights and shapes of boxes by class, and where their centres lie, each with a caption."""
    heights = _histogram(report, boxes, boxes.height_share * 100, np.linspace(0, 100, _BINS + 1))
    shapes = _histogram(report, boxes, boxes.width_over_height, np.geomspace(0.15, 6, _BINS + 1))
    found = [
        (heights, "Height of the boxes, in % of the picture's; all sets."),
        (shapes, "Width over height: who lies is wide, who stands is tall; all sets."),
    ]
    for label, word in enumerate(report.classes):
        centres = boxes.centre_share[boxes.labels == label]
        found.append((_places(centres, word), f"Where the centres of {word} people lie in the picture."))
    return found


def size_figure(report: AuditReport) -> Figure:
    """A point for every size of pictures, larger where there are many."""
    sizes = np.array([(image.width_px, image.height_px) for image in report.images]).reshape(-1, 2)
    with drawing(5.4, 3.9, alt="Scatter: width and height of the pictures") as (figure, axes):
        distinct, counts = np.unique(sizes, axis=0, return_counts=True)
        axes.scatter(distinct[:, 0], distinct[:, 1], s=12 + 4 * np.sqrt(counts), alpha=0.6, linewidths=0)
        if len(distinct) and distinct.max() > 4 * distinct.min():
            axes.set_xscale("log")
            axes.set_yscale("log")
        axes.set_xlabel("width (px)")
        axes.set_ylabel("height (px)")
    return figure


def _histogram(report: AuditReport, boxes: BoxStatistics, values: np.ndarray, edges: np.ndarray) -> Figure:
    """Share of each class in each bin; what lies beyond the edges is counted in the last bins."""
    logarithmic = not np.allclose(np.diff(edges), edges[1] - edges[0])
    with drawing(5.4, 3.0, alt="Histogram of boxes by class") as (figure, axes):
        for label, word in enumerate(report.classes):
            mine = np.clip(values[boxes.labels == label], edges[0], edges[-1])
            share = 100 * np.histogram(mine, edges)[0] / max(len(mine), 1)
            axes.stairs(share, edges, color=class_colour(label), label=word, linewidth=1.8)
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
            axes.minorticks_off()
            axes.set_xlabel("width over height")
        else:
            axes.set_xlabel("height (% of the picture)")
        axes.set_ylabel("boxes (%)")
        axes.legend()
    return figure


def _places(centres: np.ndarray, word: str) -> Figure:
    with drawing(5.4, 3.2, alt=f"Map of the centres of {word} people") as (figure, axes):
        edges = np.linspace(0, 1, 17)
        counts = np.histogram2d(centres[:, 1], centres[:, 0], (edges, edges))[0]
        mesh = axes.pcolormesh(100 * edges, 100 * edges, counts, cmap="Blues", vmin=0, rasterized=True)
        axes.invert_yaxis()
        axes.set_xlabel("across (% of the width)")
        axes.set_ylabel("down (% of the height)")
        axes.grid(False)
        figure.figure.colorbar(mesh, label="people")
    return figure
