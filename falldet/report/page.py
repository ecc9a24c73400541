"""The page of an evaluation: figures, curves, who was taken for whom, and the worst failures as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from falldet.data.labelled import LabelledSet
from falldet.metrics.evaluation import Evaluation
from falldet.metrics.failures import Failure
from falldet.report.figures import precision_recall_figure
from falldet.report.pictures import show_failures
from falldet.report.tables import (
    class_table,
    comparison_table,
    confusion_table,
    failure_table,
    kinds_table,
    person_table,
    size_table,
    tag_table,
)
from suite.report.flag import Flag
from suite.report.page import Page
from suite.report.table import Cell, Table

_LISTED = 60
_CARDS = ("ap50_fallen", "ap50_not_fallen", "ap", "recall_fallen", "false_fallen_rate")
_LABELS = {
    "ap": "AP .50 to .95",
    "ap50_fallen": "AP50 fallen",
    "ap50_not_fallen": "AP50 not fallen",
    "recall_fallen": "Recall of fallen people",
    "false_fallen_rate": "False fallen: lie, sit, danger",
}
_DECISION = (
    "Boxes of both classes that overlap by an IoU of .6 or more are one person. The person is called fallen "
    "where the fallen score reaches the threshold, else not fallen where that score reaches its floor. Such "
    "people are matched with labelled ones at an IoU of .5 or more, the most certain first, whatever they "
    "are called; then what they are called is compared."
)
_LIMITS = (
    "Figures hold for pictures of the same origin: detectors of falls lose most of their worth in rooms and "
    "views that they have not seen. Intervals draw whole clips, where the pictures have any, and do not take "
    "in another training from another seed; with few clips they are too narrow. Wilson's intervals take "
    "people for independent, which those of one clip are not."
)


@dataclass(frozen=True, eq=False)
class Judged:
    """A set, what was measured on it, and pictures of it that had to be left out, with the reason."""

    labelled: LabelledSet
    evaluation: Evaluation
    skipped: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, eq=False)
class PageOptions:
    """What stands beside the figures: ``summary`` a line for each key; at most ``pictures`` of each kind."""

    title: str
    summary: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[tuple[Flag, str]] = ()
    pictures: int = 12


def write_report(path: str | Path, judged: Sequence[Judged], options: PageOptions) -> Path:
    """Write the page, whole or not at all; returns its path. It opens offline and holds all its pictures."""
    total = sum(len(one.labelled) for one in judged)
    sets = f"{len(judged)} set{'s' if len(judged) > 1 else ''}"
    page = Page(options.title, f"{total:,} pictures, {sets}", footer="Intervals are 95 % intervals.")
    page.heading("At a glance")
    for flag, text in options.notes:
        page.note(flag, text)
    if len(judged) > 1:
        page.table(comparison_table([(one.evaluation.name, one.evaluation) for one in judged]))
    if options.summary:
        rows: list[list[Cell]] = [[key, value] for key, value in options.summary.items()]
        page.table(Table(["Part", "Setting"], rows))
    for one in judged:
        page.heading(one.labelled.name)
        _figures(page, one)
        _failures(page, one, options.pictures)
    page.heading("How it is measured")
    page.text(f"{_DECISION}\n\n{_LIMITS}")
    return page.write(path)


def _figures(page: Page, judged: Judged) -> None:
    one = judged.evaluation
    for note in one.notes:
        page.note("info", note)
    if judged.skipped:
        n = len(judged.skipped)
        page.note("warn", f"{n} picture{'s' if n > 1 else ''} could not be read and had no part in anything.")
        page.table(Table(["Picture", "What is wrong"], judged.skipped[:_LISTED]))
    by_key = {metric.key: metric for metric in one.metrics()}
    page.metrics([by_key[key] for key in _CARDS], _LABELS)
    left, right = page.columns(1, 1)
    left.figure(
        precision_recall_figure(one),
        "Boxes of each class at IoU .5. The ring is of people at the threshold, not of boxes: it need not "
        "lie on a curve.",
    )
    right.table(tag_table(one))
    page.table(class_table(one))
    page.table(confusion_table(one))
    page.table(kinds_table(one))
    left, right = page.columns(3, 2)
    left.table(person_table(one))
    right.table(size_table(one))


def _failures(page: Page, judged: Judged, most: int) -> None:
    one = judged.evaluation
    if not one.failures:
        page.note("ok", "Nobody was missed, mistaken or imagined.")
        return
    page.heading("Failures", 3)
    page.text("Labelled people are dashed black and white, what was said is solid.")
    for title, chosen in _worst(one):
        if chosen:
            page.heading(f"{title} ({len(chosen)})", 4)
            show_failures(page, chosen[:most], judged.labelled.images)
    number = min(len(one.failures), _LISTED)
    page.heading(f"The worst {number} of {len(one.failures)} by name", 4)
    page.table(failure_table(one, _LISTED))
    name = f"failures-{one.name.replace(' ', '-').replace('/', '-')}.csv"
    page.download(name, failure_table(one).to_csv().encode(), "text/csv")


def _worst(one: Evaluation) -> list[tuple[str, list[Failure]]]:
    lost = [f for f in one.failures if f.true == "fallen" and f.kind in ("missed", "box off")]
    mistaken = [f for f in one.failures if f.true == "fallen" and f.kind == "wrong class"]
    false = [f for f in one.failures if f.said == "fallen" and f.kind == "wrong class"]
    ghosts = [f for f in one.failures if f.said == "fallen" and f.kind in ("ghost", "second box")]
    return [
        ("Fallen people missed", lost),
        ("Fallen people called not fallen", mistaken),
        ("People called fallen who are not", false),
        ("Fallen ghosts and second boxes", ghosts),
    ]
