"""An audit as a page: the verdict, the suspicious pairs as pictures, balance and sizes as drawings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from imcls.audit import AuditReport, effective_number, imbalance
from suite.data.duplicates import Pair
from suite.data.images import read_image
from suite.errors import BadInput
from suite.report.figure import PALETTE, Figure, drawing
from suite.report.flag import Flag
from suite.report.metric import format_number
from suite.report.page import Page
from suite.report.table import Column, Table

PICTURES = 24  # pairs of each section that are shown as pictures
_LISTED = 500
_SIDE_PX, _GAP_PX, _ACROSS = 150, 6, 3
_WORDS = {"file": "same file", "pixels": "same pixels", "near": "near"}


def write_audit_page(path: str | Path, report: AuditReport, title: str = "Audit of images") -> Path:
    """Write the page, everything inside; returns its path."""
    test = len(report.prints) - report.train_images
    counted = f"{report.train_images} training images" + (f", {test} test images" if test else "")
    page = Page(title, f"{counted}, {len(report.classes)} classes", footer=_FOOTER)
    for finding in report.findings:
        page.note(finding.flag, finding.text[:1].upper() + finding.text[1:] + ".")
    metrics = report.metrics()
    bad = {"unreadable", "label_conflicts", "test_leaks", "fold_leaks"}
    flags: dict[str, Flag] = {
        m.key: "bad" if m.key in bad else "warn" for m in metrics if m.value > 0 and m.key.endswith(_FLAGGED)
    }
    page.metrics(metrics, _LABELS, flags)
    told: set[Pair] = set()
    for heading, text, pairs in (
        (
            "Label conflicts",
            "The same picture under different labels: at least one is wrong.",
            report.conflicts,
        ),
        ("Leaks from training to test", "Test images that training has seen.", report.leaks),
        ("Leaks between folds", "Pictures that are in two folds of the split.", report.fold_leaks),
        ("Duplicates", "Pictures that are there more than once, the least alike last.", report.pairs),
    ):
        left = sorted((pair for pair in pairs if pair not in told), key=lambda pair: -pair.similarity)
        told |= set(left)
        if left:
            page.heading(heading)
            before = len(pairs) - len(left)
            page.text(f"{text} {before} more stand above." if before else text)
            _pictures(page, report, left)
            page.table(_pair_table(report, left))
    if report.unreadable:
        page.heading("Images that cannot be read")
        page.table(_unreadable_table(report))
    page.heading("Classes")
    left_column, right_column = page.columns(1, 1)
    left_column.figure(_balance_figure(report), "Images of each class.")
    right_column.table(_class_table(report))
    page.heading("Sizes and kinds of files")
    left_column, right_column = page.columns(1, 1)
    left_column.figure(_size_figure(report), "Width and height of every image that can be read.")
    right_column.table(_size_table(report))
    if report.kind_counts():
        right_column.table(_kind_table(report))
    return page.write(path)


_FLAGGED = ("unreadable", "conflicts", "leaks", "duplicates")
_LABELS = {
    "exact_duplicates": "Exact copies",
    "near_duplicates": "Near copies (pairs)",
    "label_conflicts": "Label conflicts (pairs)",
    "test_leaks": "Test leaks (pairs)",
    "fold_leaks": "Fold leaks (pairs)",
    "imbalance_ratio": "Largest class over smallest",
}
_FOOTER = (
    "Likeness is the cosine of two thumbnails' frequencies, by luminance alone: grey and recoloured copies "
    "are found, crops by up to a tenth and mirrored pictures too; stronger crops and small turns are not. "
    "Pictures without detail, such as an empty sky, are compared by their exact pixels only."
)


def _pictures(page: Page, report: AuditReport, pairs: Sequence[Pair]) -> None:
    shown = pairs[:PICTURES]
    for start in range(0, len(shown), _ACROSS):
        row = shown[start : start + _ACROSS]
        for column, pair in zip_longest(page.columns(*(1,) * _ACROSS), row):
            if pair is not None:
                names = " | ".join(_label(report, i) for i in (pair.first, pair.second))
                said = "same pixels" if pair.kind != "near" else f"{pair.similarity:.3f} {pair.pose}".strip()
                column.image(
                    _side_by_side(report, pair),
                    alt=f"{report.prints.names[pair.first]} beside {report.prints.names[pair.second]}",
                    caption=f"{names}: {said}",
                    photo=True,
                )
    if len(pairs) > len(shown):
        page.text(f"{len(shown)} of {len(pairs)} pairs are shown as pictures.")


def _side_by_side(report: AuditReport, pair: Pair) -> np.ndarray:
    sheet = np.full((_SIDE_PX, 2 * _SIDE_PX + _GAP_PX, 3), 255, np.uint8)
    for number, row in enumerate((pair.first, pair.second)):
        picture = _thumbnail(report, row)
        height, width = picture.shape[:2]
        top = (_SIDE_PX - height) // 2
        left = number * (_SIDE_PX + _GAP_PX) + (_SIDE_PX - width) // 2
        sheet[top : top + height, left : left + width] = picture
    return sheet


def _thumbnail(report: AuditReport, row: int) -> np.ndarray:
    """At most (_SIDE_PX, _SIDE_PX, 3); grey where the file is gone since the audit."""
    from PIL import Image

    try:
        image = Image.fromarray(read_image(report.paths[row]))
    except BadInput:
        return np.full((_SIDE_PX, _SIDE_PX, 3), 128, np.uint8)
    if report.boxes is not None and np.isfinite(report.boxes[row]).all():
        left, top, right, bottom = (round(float(value)) for value in report.boxes[row])
        image = image.crop((max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height)))
    scale = _SIDE_PX / max(image.size)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return np.array(image.resize(size, Image.Resampling.BICUBIC))


def _label(report: AuditReport, row: int) -> str:
    return ";".join(report.labels[row]) or "no label"


def _pair_table(report: AuditReport, pairs: Sequence[Pair]) -> Table:
    two_sides = report.train_images < len(report.prints)

    def cell(row: int) -> str:
        side = f"{report.side(row)}: " if two_sides else ""
        return f"{side}{report.prints.names[row]}"

    rows = [
        (
            pair.similarity,
            " ".join(word for word in (_WORDS[pair.kind], pair.pose) if word),
            cell(pair.first),
            _label(report, pair.first),
            cell(pair.second),
            _label(report, pair.second),
        )
        for pair in pairs[:_LISTED]
    ]
    columns = (Column("Likeness", decimals=3), "Copy", "Image", "Label", "Other image", "Its label")
    more = f"The first {_LISTED} of {len(pairs)} pairs" if len(pairs) > _LISTED else "All pairs"
    return Table(columns, rows, caption=more)


def _unreadable_table(report: AuditReport) -> Table:
    rows = [(report.prints.names[row], report.prints.problems[row]) for row in report.unreadable]
    return Table(("Image", "What is wrong"), rows[:_LISTED])


def _class_table(report: AuditReport) -> Table:
    train, test = report.counts
    effective = effective_number(train)
    has_test = bool(test.sum())
    columns = [Column("Class"), Column("Images", decimals=0), Column("Share", "%", 1)]
    columns.append(Column("Effective number", decimals=0, hint="Cui et al. 2019, beta 0.999"))
    rows = [
        [name, int(n), 100 * n / max(int(train.sum()), 1), float(e)]
        for name, n, e in zip(report.classes, train, effective, strict=True)
    ]
    if has_test:
        columns.append(Column("Test images", decimals=0))
        rows = [[*row, int(n)] for row, n in zip(rows, test, strict=True)]
    ratio = format_number(imbalance(train))
    return Table(columns, rows, caption=f"Largest class over smallest: {ratio}")


def _balance_figure(report: AuditReport) -> Figure:
    train, test = report.counts
    order = np.argsort(train, kind="stable")
    height = min(max(1.2 + 0.25 * len(order), 2.2), 9.0)
    with drawing(5.4, height, alt="Bars: images of each class") as (figure, axes):
        places = np.arange(len(order))
        if test.sum():
            axes.barh(places + 0.2, train[order], 0.4, color=PALETTE[0], label="training")
            axes.barh(places - 0.2, test[order], 0.4, color=PALETTE[1], label="test")
            axes.legend()
        else:
            axes.barh(places, train[order], 0.7, color=PALETTE[0])
        if len(order) <= 40:
            axes.set_yticks(places, [report.classes[i] for i in order])
        else:
            axes.set_ylabel("classes, the largest on top")
        axes.grid(False, axis="y")
        axes.set_xlabel("images")
    return figure


def _size_figure(report: AuditReport) -> Figure:
    sizes = report.prints.sizes_px[report.prints.readable]
    with drawing(5.4, 3.9, alt="Scatter: width and height of the images") as (figure, axes):
        if len(sizes):
            distinct, counts = np.unique(sizes, axis=0, return_counts=True)
            axes.scatter(distinct[:, 0], distinct[:, 1], s=12 + 4 * np.sqrt(counts), alpha=0.6, linewidths=0)
            if distinct.max() > 4 * distinct.min():
                axes.set_xscale("log")
                axes.set_yscale("log")
        axes.set_xlabel("width (px)")
        axes.set_ylabel("height (px)")
    return figure


def _size_table(report: AuditReport) -> Table:
    sizes = report.prints.sizes_px[report.prints.readable]
    if not len(sizes):
        return Table(("Size", "Least", "Median", "Most"), [])
    quantities = {
        "Width (px)": sizes[:, 0],
        "Height (px)": sizes[:, 1],
        "Width over height": sizes[:, 0] / sizes[:, 1],
        "File (kB)": report.prints.file_bytes[report.prints.readable] / 1000,
    }
    rows = [
        (name, *(format_number(float(v)) for v in np.quantile(values, (0, 0.5, 1))))
        for name, values in quantities.items()
    ]
    return Table(("Size", "Least", "Median", "Most"), rows)


def _kind_table(report: AuditReport) -> Table:
    rows = []
    for kind, count in report.kind_counts().items():
        first = next(i for i, kinds in enumerate(report.prints.kinds) if kind in kinds)
        rows.append((kind, count, report.prints.names[first]))
    return Table(("Kind", Column("Images", decimals=0), "Such as"), rows)
