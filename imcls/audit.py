"""What is wrong with a set of images before anything is learned from it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from imcls.data.manifest import SplitManifest, label_names
from imcls.data.prints import table_prints
from imcls.data.table import ImageTable
from suite.data.duplicates import DuplicateGroup, Pair, duplicate_groups, find_pairs, straddling
from suite.data.fingerprints import Fingerprints
from suite.errors import BadInput
from suite.report.flag import Flag
from suite.report.metric import Metric

FEW = 10  # images of a class below which it is called out
IMBALANCED = 10.0  # largest class over smallest
_BETA = 0.999

Side = Literal["train", "test"]


@dataclass(frozen=True)
class Finding:
    """One line of the verdict."""

    flag: Flag
    text: str


@dataclass(frozen=True)
class AuditReport:
    """Rows count the training images first, then the test images.

    ``pairs`` are of all rows; ``conflicts`` those with different labels, ``leaks`` those that straddle
    training and test, ``fold_leaks`` those that straddle folds. ``counts`` is (2, k) images of each class in
    training and test.
    """

    prints: Fingerprints
    paths: tuple[Path, ...]
    boxes: np.ndarray | None
    labels: tuple[tuple[str, ...], ...]
    train_images: int
    classes: tuple[str, ...]
    counts: np.ndarray
    pairs: tuple[Pair, ...]
    groups: tuple[DuplicateGroup, ...]
    conflicts: tuple[Pair, ...]
    leaks: tuple[Pair, ...]
    fold_leaks: tuple[Pair, ...]
    has_folds: bool
    findings: tuple[Finding, ...]

    @property
    def unreadable(self) -> tuple[int, ...]:
        """Rows of images that cannot be read; ``prints.problems`` says why."""
        return tuple(np.flatnonzero(~self.prints.readable).tolist())

    @property
    def verdict(self) -> Flag:
        """The gravest flag of the findings."""
        flags = {finding.flag for finding in self.findings}
        return "bad" if "bad" in flags else "warn" if "warn" in flags else "ok"

    def side(self, row: int) -> Side:
        """Whether a row is a training or a test image."""
        return "train" if row < self.train_images else "test"

    def kind_counts(self) -> dict[str, int]:
        """How many images are CMYK, turned by EXIF, grey, ...; the commonest first."""
        return dict(Counter(kind for kinds in self.prints.kinds for kind in kinds).most_common())

    def metrics(self) -> tuple[Metric, ...]:
        """The audit in figures."""
        near = sum(pair.kind == "near" for pair in self.pairs)
        return (
            Metric("images", len(self.prints), better=None),
            Metric("unreadable", len(self.unreadable)),
            Metric("exact_duplicates", len(self.pairs) - near),
            Metric("near_duplicates", near),
            Metric("label_conflicts", len(self.conflicts)),
            Metric("test_leaks", len(self.leaks) if self.train_images < len(self.prints) else math.nan),
            Metric("fold_leaks", len(self.fold_leaks) if self.has_folds else math.nan),
            Metric("imbalance_ratio", imbalance(self.counts[0])),
        )


def audit(
    table: ImageTable,
    test: ImageTable | None = None,
    manifest: SplitManifest | None = None,
    cache: Path | None = None,
    mirrored: bool = True,
    turned: bool = False,
) -> AuditReport:
    """Look at every image of the table, and of the test set, and say what is wrong with them.

    ``manifest`` is a split of ``table`` whose folds are to be judged. Raises BadInput where the classes of
    the test set differ, or the split is of other images.
    """
    if test is not None and test.classes != table.classes:
        raise BadInput(
            f"the test set has the classes {', '.join(test.classes)}, the training set "
            f"{', '.join(table.classes)}",
            hint="set data.classes, so that both are read alike",
        )
    folds = None if manifest is None else manifest.check(table, contents=False)
    prints = table_prints(table, cache)
    labels, paths, counts = label_names(table), table.paths, [table.class_counts()]
    if test is not None:
        prints = prints.joined(table_prints(test, cache, "Looking at test images"))
        labels, paths = labels + label_names(test), paths + test.paths
        counts.append(test.class_counts())
    else:
        counts.append(np.zeros(len(table.classes), np.int64))
    n = len(table)
    pairs = find_pairs(prints, mirrored, turned)
    groups = duplicate_groups(pairs, len(prints))
    report = AuditReport(
        prints=prints,
        paths=paths,
        boxes=_boxes(table, test),
        labels=labels,
        train_images=n,
        classes=table.classes,
        counts=np.stack(counts),
        pairs=pairs,
        groups=groups,
        conflicts=straddling(pairs, groups, [_said(table, labels[row]) for row in range(len(prints))]),
        leaks=straddling(pairs, groups, [row < n for row in range(len(prints))]),
        fold_leaks=()
        if folds is None
        else straddling(pairs, groups, [int(folds[row]) if row < n else None for row in range(len(prints))]),
        has_folds=folds is not None,
        findings=(),
    )
    return replace(report, findings=tuple(_findings(report, test is not None)))


def imbalance(counts: np.ndarray) -> float:
    """Images of the largest class for each of the smallest; infinite where a class is empty."""
    if len(counts) == 0 or counts.max() == 0:
        return 1.0
    return float(counts.max() / counts.min()) if counts.min() else float("inf")


def effective_number(counts: np.ndarray, beta: float = _BETA) -> np.ndarray:
    """(k,) float64: samples of each class less what they overlap, (1 - beta^n) / (1 - beta).

    Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019, eq. 2.
    """
    return (1 - beta ** counts.astype(np.float64)) / (1 - beta)


def _said(table: ImageTable, labels: tuple[str, ...]) -> tuple[str, ...] | None:
    """What the image is said to show; None where nothing is known, so that it contradicts nothing."""
    return labels if labels or table.multi_label else None


def _boxes(table: ImageTable, test: ImageTable | None) -> np.ndarray | None:
    """(rows, 4) float64, NaN for whole pictures; None where no image is a crop."""
    tables = [table] if test is None else [table, test]
    if all(one.boxes is None for one in tables):
        return None
    return np.concatenate([np.full((len(o), 4), np.nan) if o.boxes is None else o.boxes for o in tables])


def _findings(report: AuditReport, has_test: bool) -> Iterable[Finding]:
    """The verdict, the gravest first."""
    found = [
        *_unreadable(report),
        *_copies(report, has_test),
        *_balance(report),
        *_odd(report),
    ]
    order: dict[Flag, int] = {"bad": 0, "warn": 1, "info": 2, "ok": 3}
    return sorted(found, key=lambda finding: order[finding.flag])


def _unreadable(report: AuditReport) -> Iterable[Finding]:
    broken = report.unreadable
    if broken:
        named = ", ".join(report.prints.names[row] for row in broken[:3])
        more = ", ..." if len(broken) > 3 else ""
        yield Finding("bad", f"{_count(len(broken), 'image')} cannot be read: {named}{more}")
    else:
        yield Finding("ok", "every image can be read")


def _copies(report: AuditReport, has_test: bool) -> Iterable[Finding]:
    if report.conflicts:
        pairs = _count(len(report.conflicts), "pair")
        yield Finding("bad", f"{pairs} of the same picture under different labels")
    if report.leaks:
        straddling = (g.members for g in report.groups if g.members[0] < report.train_images)
        test = sum(row >= report.train_images for members in straddling for row in members)
        yield Finding("bad", f"{_count(test, 'test image')} can be seen among the training images")
    elif has_test:
        yield Finding("ok", "no test image is among the training images")
    if report.fold_leaks:
        pairs = _count(len(report.fold_leaks), "pair")
        yield Finding("bad", f"{pairs} of the same picture in different folds")
    elif report.has_folds:
        yield Finding("ok", "no picture is in two folds")
    exact = sum(pair.kind != "near" for pair in report.pairs)
    if exact:
        yield Finding("warn", f"{_count(exact, 'image')} repeat{'s' * (exact == 1)} the pixels of another")
    near = len(report.pairs) - exact
    if near:
        yield Finding("warn", f"{_count(near, 'pair')} of nearly the same picture")
    if not report.pairs:
        yield Finding("ok", "no two images show the same picture")
    largest = max((len(group.members) for group in report.groups), default=0)
    if largest > max(0.1 * len(report.prints), FEW):
        yield Finding(
            "warn",
            f"{largest} images are joined by likeness into one group; if they are different pictures, turn "
            "off data.split.near_duplicates",
        )


def _balance(report: AuditReport) -> Iterable[Finding]:
    train = report.counts[0]
    empty = [name for name, count in zip(report.classes, train, strict=True) if count == 0]
    few = [f"{name} ({c})" for name, c in zip(report.classes, train, strict=True) if 0 < c < FEW]
    if empty:
        yield Finding("bad", f"classes without images: {', '.join(empty)}")
    if few:
        yield Finding("warn", f"classes with fewer than {FEW} images: {', '.join(few)}")
    ratio = imbalance(train[train > 0])
    if ratio > IMBALANCED:
        yield Finding("warn", f"the largest class has {ratio:.0f} times the images of the smallest")
    unknown = sum(not labels for labels in report.labels[: report.train_images])
    if unknown:
        yield Finding("info", f"{_count(unknown, 'training image')} without a label")


def _odd(report: AuditReport) -> Iterable[Finding]:
    advice: dict[str, tuple[Flag, str]] = {
        "misnamed": ("warn", "hold another format than their name says"),
        "tiny": ("warn", "are smaller than 32 pixels"),
        "elongated": ("warn", "are more than four times as long as wide, and lose much in a square crop"),
        "animated": ("warn", "are animated; only the first frame is used"),
        "CMYK": ("info", "are CMYK and are converted to RGB"),
        "16-bit": ("info", "have 16 bits and are reduced to 8"),
        "EXIF-rotated": ("info", "are turned upright by their EXIF"),
        "transparent": ("info", "have transparent parts, which become white"),
        "grey": ("info", "are grey"),
    }
    for kind, count in report.kind_counts().items():
        flag, what = advice[kind]
        alike = kind == "tiny" and count == len(report.prints)  # a set that is meant to be so
        yield Finding("info" if alike else flag, f"{_count(count, 'image')} {what}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
