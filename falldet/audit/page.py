"""An audit as a page: the verdict, the faults and leaks as pictures, then what the people look like."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from falldet.audit.figures import balance_figure, box_figures, people_figure, size_figure
from falldet.audit.findings import AuditReport
from falldet.audit.pictures import side_by_side, with_fault, with_people
from falldet.data.faults import KINDS, WORDS, Kind, counted
from falldet.data.statistics import BoxStatistics, tag_counts
from suite.data.duplicates import Pair
from suite.report.flag import Flag
from suite.report.metric import format_number
from suite.report.page import Page
from suite.report.table import Column, Table

_ACROSS, _LISTED, _LISTED_PAIRS = 3, 300, 40
PICTURES_A_KIND, PAIRS, EXAMPLES = 6, 12, 6
_UNSEEN: tuple[Kind, ...] = ("numbers", "label_file", "shape", "crowd", "missing", "unreadable", "unlabelled")
"""Faults that a picture would not show."""


def write_audit_page(path: str | Path, report: AuditReport, title: str = "Audit of labelled people") -> Path:
    """Write the page, everything inside; returns its path."""
    sizes = np.bincount(report.side, minlength=len(report.names))
    sets = ", ".join(f"{name}: {n} pictures" for name, n in zip(report.names, sizes, strict=True))
    page = Page(title, sets, footer=_FOOTER)
    for finding in report.findings:
        page.note(finding.flag, finding.text[:1].upper() + finding.text[1:] + ".")
    metrics = report.metrics()
    bad = {"label_conflicts", "leaks", "shared_groups"}
    flags: dict[str, Flag] = {
        m.key: "bad" if m.key in bad else "warn"
        for m in metrics
        if m.value > 0 and (m.key in bad or m.key in ("faults", "exact_duplicates"))
    }
    page.metrics(metrics, _LABELS, flags)
    if report.fault_counts():
        _show_faults(page, report)
    _show_copies(page, report)
    _show_people(page, report)
    _show_boxes(page, report)
    page.heading("Sizes of pictures")
    if len({(image.width_px, image.height_px) for image in report.images}) == 1:
        page.text(f"All pictures are of {report.images[0].width_px} x {report.images[0].height_px} px.")
    else:
        left, right = page.columns(1, 1)
        left.figure(size_figure(report), "Width and height of every picture.")
        right.table(_size_table(report))
    _show_examples(page, report)
    return page.write(path)


_LABELS = {
    "near_duplicates": "Near copies (pairs)",
    "exact_duplicates": "Exact copies (pairs)",
    "label_conflicts": "Copies labelled otherwise (pairs)",
    "leaks": "Leaks between sets (pairs)",
    "shared_groups": "Clips in two sets",
}
_FOOTER = (
    "Likeness is the cosine of two thumbnails' frequencies, by luminance alone; mirrored pictures and crops "
    "by up to a tenth are found too. Two moments before one fixed camera look alike whoever is there: if "
    "such a pair is a leak is for you to judge. Clips and scenes are told apart by their names alone."
)


def _show_faults(page: Page, report: AuditReport) -> None:
    page.heading("Faults")
    kinds = list(report.fault_counts())
    counts = [counted(own) for own in report.faults]
    rows = [(WORDS[kind], *(of.get(kind, 0) for of in counts)) for kind in kinds]
    page.table(Table(("Fault", *report.names), rows))
    images = {image.path: image for image in report.images}
    for kind in kinds:
        found = [fault for own in report.faults for fault in own if fault.kind == kind]
        if kind in _UNSEEN:
            continue
        shown = [(images[fault.path], fault) for fault in found if fault.path and fault.path in images]
        if shown:
            page.heading(WORDS[kind][:1].upper() + WORDS[kind][1:], level=3)
            cards = [
                (with_fault(image, fault), f"{image.path.name}: {fault.text}")
                for image, fault in shown[:PICTURES_A_KIND]
            ]
            _cards(page, cards)
    listed = [
        (name, WORDS[fault.kind], fault.where, fault.text)
        for name, own in zip(report.names, report.faults, strict=True)
        for fault in sorted(own, key=lambda fault: KINDS.index(fault.kind))
    ]
    more = f"The first {_LISTED} of {len(listed)} faults" if len(listed) > _LISTED else "All faults"
    page.table(Table(("Set", "Fault", "Where", "What"), listed[:_LISTED], caption=more))


def _show_copies(page: Page, report: AuditReport) -> None:
    told: set[Pair] = set()
    exact = [pair for pair in report.pairs if pair.kind != "near"]
    for heading, text, pairs in (
        ("Copies labelled otherwise", "One picture, other people in it.", report.conflicts),
        ("Leaks between sets", "Pictures that look alike on both sides of a split.", report.leaks),
        ("Exact copies", "Pictures that are there more than once.", exact),
    ):
        left = sorted((pair for pair in pairs if pair not in told), key=lambda pair: -pair.similarity)
        told |= set(left)
        if left:
            page.heading(heading)
            before = len(pairs) - len(left)
            page.text(f"{text} {before} more stand above." if before else text)
            _show_pairs(page, report, left)
    if report.shared_groups:
        page.heading("Clips in more than one set")
        rows = [(group, *counts) for group, counts in report.shared_groups.items()]
        page.table(Table(("Clip or scene", *report.names), rows[:_LISTED], caption="Pictures of each"))


def _show_pairs(page: Page, report: AuditReport, pairs: Sequence[Pair]) -> None:
    shown = _varied(pairs)[:PAIRS]
    cards = []
    for pair in shown:
        one, other = (report.images[row] for row in (pair.first, pair.second))
        said = "same pixels" if pair.kind != "near" else f"{pair.similarity:.3f} {pair.pose}".strip()
        cards.append((side_by_side(one, other), f"{one.path.name} | {other.path.name}: {said}"))
    _cards(page, cards)
    if len(pairs) > len(shown):
        page.text(f"{len(shown)} of {len(pairs)} pairs are shown.")
    rows = [
        (
            pair.similarity,
            " ".join(word for word in (pair.kind, pair.pose) if word),
            *(
                f"{report.names[report.side[row]]}: {report.images[row].path.name}"
                for row in (pair.first, pair.second)
            ),
        )
        for pair in pairs[:_LISTED_PAIRS]
    ]
    more = f"The first {_LISTED_PAIRS} of {len(pairs)} pairs" if len(pairs) > _LISTED_PAIRS else "All pairs"
    page.table(
        Table((Column("Likeness", decimals=3), "Copy", "Picture", "Other picture"), rows, caption=more)
    )


def _varied(pairs: Sequence[Pair]) -> list[Pair]:
    """Pairs of pictures not shown yet go first: of one clip, all pairs look the same."""
    seen: set[int] = set()
    first, rest = [], []
    for pair in pairs:
        (rest if seen & {pair.first, pair.second} else first).append(pair)
        seen |= {pair.first, pair.second}
    return first + rest


def _show_people(page: Page, report: AuditReport) -> None:
    page.heading("People")
    people = report.people()
    rows = []
    for own, name in enumerate(report.names):
        images = report.images_of(own)
        each = np.array([len(image.labels) for image in images])
        clips = len({image.group for image in images if image.group is not None})
        counts = int(people[own].sum()), *people[own].tolist()
        shares = 100 * people[own, 0] / max(people[own].sum(), 1), float(each.mean())
        nobody = int((each == 0).sum())
        rows.append((name, len(images), clips or None, nobody, *counts, *shares, int(each.max())))
    columns = ("Set", "Pictures", "Clips", "Empty", "People", *report.classes)
    more = (
        Column(report.classes[0], "%", 1),
        Column("A picture", decimals=2, hint="people in a picture"),
        Column("Most", hint="people in one picture"),
    )
    page.table(Table((*columns, *more), rows))
    left, right = page.columns(1, 1)
    left.figure(balance_figure(report), "People of each class in each set.")
    right.figure(people_figure(report), "Share of the pictures with so many people.")
    counts = [tag_counts(report.images_of(own), len(report.classes)) for own in range(len(report.names))]
    words = dict.fromkeys(word for of in counts for word in of)
    if words:
        none = [0] * len(report.classes)
        titles = [f"{name}: {word}" for name in report.names for word in report.classes]
        tagged = [(word, *(n for of in counts for n in of.get(word, none))) for word in words]
        page.table(Table(("Tag", *titles), tagged[:_LISTED], caption="People with each tag"))


def _show_boxes(page: Page, report: AuditReport) -> None:
    page.heading("Boxes")
    columns = [BoxStatistics.of(report.images_of(own)) for own in range(len(report.names))]
    figures = box_figures(report, BoxStatistics.of(report.images))
    for start in range(0, len(figures), 2):
        for column, (figure, caption) in zip(page.columns(1, 1), figures[start : start + 2], strict=False):
            column.figure(figure, caption)
    rows = []
    for name, boxes in zip(report.names, columns, strict=True):
        for label, word in enumerate(report.classes):
            mine = boxes.labels == label
            if mine.any():
                values = (boxes.height_share, boxes.area_share, boxes.width_over_height)
                texts = (
                    _quantiles(value[mine] * factor)
                    for value, factor in zip(values, (100, 100, 1), strict=True)
                )
                rows.append((f"{name}: {word}", *texts))
    titles = ("People", "Height (% of the picture)", "Area (%)", "Width over height")
    page.table(Table(titles, rows, caption="5 %, median and 95 % of the boxes"))


def _quantiles(values: np.ndarray) -> str:
    return " / ".join(format_number(float(value)) for value in np.quantile(values, (0.05, 0.5, 0.95)))


def _size_table(report: AuditReport) -> Table:
    sizes = np.array([(image.width_px, image.height_px) for image in report.images]).reshape(-1, 2)
    distinct, counts = np.unique(sizes, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:12]
    rows = [(f"{distinct[k][0]} x {distinct[k][1]}", int(counts[k])) for k in order]
    return Table(("Size (px)", "Pictures"), rows, caption=f"The commonest of {len(distinct)} sizes")


def _show_examples(page: Page, report: AuditReport) -> None:
    rng = np.random.default_rng(0)
    page.heading("Examples")
    page.text(f"Drawn by lot; {report.classes[0]} people are outlined in orange.")
    for own, name in enumerate(report.names):
        images = report.images_of(own)
        chosen = sorted(rng.permutation(len(images))[:EXAMPLES].tolist())
        page.heading(name, level=3)
        _cards(page, [(with_people(images[k]), images[k].path.name) for k in chosen])


def _cards(page: Page, cards: Sequence[tuple[np.ndarray, str]]) -> None:
    for start in range(0, len(cards), _ACROSS):
        row = cards[start : start + _ACROSS]
        for column, card in zip_longest(page.columns(*(1,) * _ACROSS), row):
            if card is not None:
                column.image(card[0], alt=card[1], caption=card[1], photo=True)
