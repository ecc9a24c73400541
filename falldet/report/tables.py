"""Evaluations as tables: side by side, classes, who was taken for whom, false alarms by tag, failures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from falldet.detections import CLASSES
from falldet.metrics.evaluation import Evaluation
from falldet.metrics.intervals import Interval
from suite.report.metric import Metric
from suite.report.table import Cell, Column, Table

_COMPARED = {
    "ap50_fallen": "AP50 fallen",
    "ap50_not_fallen": "AP50 not fallen",
    "ap": "AP",
    "recall_fallen": "Recall fallen",
    "precision_fallen": "Precision fallen",
    "false_fallen_rate": "False fallen",
    "frame_f1": "Picture F1",
    "frame_specificity": "Specificity",
    "threshold": "Threshold",
}


def comparison_table(named: Sequence[tuple[str, Evaluation]]) -> Table:
    """One row for each evaluation, by name of the detector; the best of each column on one set is marked.

    Evaluations of different sets are not compared with one another. False fallen is of lie, sit and danger.
    """
    detectors = any(name != one.name for name, one in named)
    first = 2 + detectors
    rows: list[list[Cell]] = []
    marked: set[tuple[int, int]] = set()
    figures = [{metric.key: metric for metric in one.metrics()} for _, one in named]
    for (name, one), by_key in zip(named, figures, strict=True):
        head: list[Cell] = [name, one.name] if detectors else [one.name]
        rows.append([*head, one.images, *(by_key[key].value for key in _COMPARED)])
    for column, key in enumerate(_COMPARED, first):
        for same in {one.name for _, one in named}:
            places = [r for r, (_, one) in enumerate(named) if one.name == same]
            marked |= {(r, column) for r in _best(places, [figures[r][key] for r in places])}
    columns = [*["Detector"][: first - 2], "Set", "Pictures"]
    figures_of = (Column(title, decimals=3) for title in _COMPARED.values())
    return Table([*columns, *figures_of], rows, marked=frozenset(marked))


def class_table(one: Evaluation) -> Table:
    """COCO's figures of each class and of all."""
    rows: list[list[Cell]] = []
    for of_class, ap50 in zip(one.coco.classes, one.ap50_classes, strict=True):
        cells: list[Cell] = [_word(of_class.name), of_class.people, of_class.ap50, _range(ap50)]
        rows.append([*cells, of_class.ap75, of_class.ap, of_class.ar_100])
    coco, people = one.coco, sum(one.people.values())
    rows.append(["both", people, coco.ap50, _range(one.ap50), coco.ap75, coco.ap, coco.ar_100])
    titles = [Column(title, decimals=3) for title in ("AP75", "AP .50 to .95", "AR of 100")]
    columns = ["Class", "People", Column("AP50", decimals=3), "95 % interval", *titles]
    return Table(columns, rows, "Average precision and recall of boxes (COCO)")


def size_table(one: Evaluation) -> Table:
    """AP by size of the labelled box, AR by how many boxes may be said."""
    coco = one.coco
    rows: list[list[Cell]] = [
        ["AP, small (under 32 x 32 px)", coco.ap_small],
        ["AP, medium", coco.ap_medium],
        ["AP, large (96 x 96 px or more)", coco.ap_large],
        ["AR, 1 box a class and picture", coco.ar_1],
        ["AR, 10 boxes", coco.ar_10],
        ["AR, 100 boxes", coco.ar_100],
    ]
    return Table(["Boxes", Column("Figure", decimals=3)], rows, "By size, and by number of boxes")


def confusion_table(one: Evaluation) -> Table:
    """People by what they are and what they are called, with the recall of each row."""
    names = ["fallen", "not fallen"]
    counts, recalls = one.confusion.counts, (one.confusion.recall, one.confusion.recall_not_fallen)
    rows: list[list[Cell]] = [
        [f"is {name}", *counts[k], recalls[k].value, _range(recalls[k])] for k, name in enumerate(names)
    ]
    rows.append(["is nobody (ghost)", counts[2][0], counts[2][1], None, None, None])
    said = [f"called {name}" for name in names]
    columns = ["People", *said, "missed", Column("Recall", decimals=3), "95 % interval"]
    caption = f"People at the threshold {one.threshold:.3f}"
    return Table(columns, rows, caption, marked=frozenset({(0, 1), (1, 2)}))


def person_table(one: Evaluation) -> Table:
    """Precision, recall, F1 of people and of whole pictures."""
    person, frame = one.confusion, one.frames
    figures = [
        ("People called fallen: precision", person.precision),
        ("People fallen: recall", person.recall),
        ("People fallen: F1", person.f1),
        ("Pictures with somebody fallen: recall", frame.recall),
        ("Pictures said to have somebody fallen: precision", frame.precision),
        ("Pictures: F1", frame.f1),
        ("Pictures without anybody fallen: specificity", frame.specificity),
    ]
    rows: list[list[Cell]] = [[name, figure.value, _range(figure)] for name, figure in figures]
    kind = "clips" if one.groups < one.images else "pictures"
    caption = f"At the threshold {one.threshold:.3f}; intervals draw {one.groups} {kind}"
    return Table(["Figure", Column("Value", decimals=3), "95 % interval"], rows, caption)


def tag_table(one: Evaluation) -> Table:
    """How many people of each tag, not fallen, are called fallen."""
    rates = [one.false_fallen.risky, *one.false_fallen.tags, one.false_fallen.everybody]
    rows: list[list[Cell]] = [
        [rate.tag, rate.people, rate.called, rate.rate.value, _range(rate.rate)] for rate in rates
    ]
    columns = ["Tag", "People", "Called fallen", Column("Share", decimals=3), "95 % interval (Wilson)"]
    return Table(columns, rows, "People who are not fallen and are called so", marked=frozenset({(0, 3)}))


def kinds_table(one: Evaluation) -> Table:
    """How often each kind of failure happens, by class."""
    kinds = ("missed", "wrong class", "box off", "ghost", "second box")
    rows: list[list[Cell]] = []
    for name in CLASSES:
        of_class = [failure.kind for failure in one.failures if (failure.true or failure.said) == name]
        rows.append([_word(name), *(of_class.count(kind) for kind in kinds)])
    columns = ["Is, or ghost of", *(kind.capitalize() for kind in kinds)]
    return Table(columns, rows, "Failures by kind")


def failure_table(one: Evaluation, most: int | None = None) -> Table:
    """Failures by name of the picture, the worst first."""
    rows: list[list[Cell]] = [
        [
            failure.name,
            failure.kind,
            _word(failure.true) or "nobody",
            _word(failure.said) or "nobody",
            failure.score,
            failure.fallen_score,
            failure.overlap,
            ", ".join(failure.tags),
        ]
        for failure in one.failures[:most]
    ]
    scores = [Column(title, decimals=2) for title in ("Score", "Fallen score", "IoU")]
    return Table(["Picture", "Kind", "Is", "Called", *scores, "Tags"], rows)


def _best(places: Sequence[int], metrics: Sequence[Metric]) -> list[int]:
    known = [metric.value for metric in metrics if not math.isnan(metric.value)]
    better = metrics[0].better if metrics else None
    if len(places) < 2 or better is None or len(set(known)) < 2:
        return []
    best = max(known) if better == "higher" else min(known)
    return [place for place, metric in zip(places, metrics, strict=True) if metric.value == best]


def _range(interval: Interval) -> Cell:
    return None if math.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"


def _word(name: str) -> str:
    return name.replace("_", " ")
