"""What is wrong with labelled sets before anything is learned from them, or judged on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from falldet.data.box_faults import box_faults, iou_matrix
from falldet.data.faults import WORDS, Fault, Kind, counted
from falldet.data.formats import Reading
from falldet.data.labelled import LabelledImage, LabelledSet
from suite.data.duplicates import DuplicateGroup, Pair, duplicate_groups, find_pairs, straddling
from suite.data.fingerprints import Fingerprints, fingerprints
from suite.data.similarity import SAME
from suite.errors import BadInput
from suite.report.flag import Flag
from suite.report.metric import Metric

IMBALANCED = 10.0  # people of the commonest class for each of the rarest
_FLAGS: dict[Kind, Flag] = {
    "crowd": "info",
    "unlabelled": "info",
    "clipped": "warn",
    "tiny": "warn",
    "double": "warn",
}


@dataclass(frozen=True)
class Finding:
    """One line of the verdict."""

    flag: Flag
    text: str


@dataclass(frozen=True, eq=False)
class AuditReport:
    """Pictures of all sets one after the other; ``side`` is the set of each.

    ``faults`` are told set by set; pictures and boxes that could not be used are not among ``images``.
    ``pairs`` show the same picture; ``leaks`` are those in two sets, ``conflicts`` exact copies with other
    people in them.
    ``shared_groups`` says of each clip or scene in more than one set how many pictures each set has.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    side: Int64[np.ndarray, " n"]
    faults: tuple[tuple[Fault, ...], ...]
    prints: Fingerprints
    pairs: tuple[Pair, ...]
    groups: tuple[DuplicateGroup, ...]
    leaks: tuple[Pair, ...]
    conflicts: tuple[Pair, ...]
    shared_groups: dict[str, tuple[int, ...]]
    findings: tuple[Finding, ...] = ()

    def images_of(self, side: int) -> list[LabelledImage]:
        """The pictures of one set."""
        return [image for image, own in zip(self.images, self.side, strict=True) if own == side]

    def people(self) -> Int64[np.ndarray, "sets classes"]:
        """People of each class in each set."""
        counts = np.zeros((len(self.names), len(self.classes)), np.int64)
        for image, own in zip(self.images, self.side, strict=True):
            counts[own] += np.bincount(image.labels, minlength=len(self.classes))
        return counts

    def fault_counts(self) -> dict[Kind, int]:
        """Faults of each kind, over all sets."""
        return counted(fault for faults in self.faults for fault in faults)

    @property
    def verdict(self) -> Flag:
        """The gravest flag of the findings."""
        flags = {finding.flag for finding in self.findings}
        return "bad" if "bad" in flags else "warn" if "warn" in flags else "ok"

    def metrics(self) -> tuple[Metric, ...]:
        """The audit in figures."""
        near = sum(pair.kind == "near" for pair in self.pairs)
        return (
            Metric("pictures", len(self.images), better=None),
            Metric("people", int(self.people().sum()), better=None),
            Metric("faults", sum(self.fault_counts().values())),
            Metric("exact_duplicates", len(self.pairs) - near),
            Metric("near_duplicates", near),
            Metric("label_conflicts", len(self.conflicts)),
            Metric("leaks", len(self.leaks) if len(self.names) > 1 else float("nan")),
            Metric("shared_groups", len(self.shared_groups) if len(self.names) > 1 else float("nan")),
        )


def audit(
    sets: Mapping[str, Reading | LabelledSet], cache: Path | None = None, mirrored: bool = True
) -> AuditReport:
    """Look at every picture and every box of the named sets (train, test, ...), and say what is wrong.

    ``cache`` is a folder where what was seen of pictures is kept; ``mirrored`` finds mirrored copies too.
    Raises BadInput where the sets have different classes.
    """
    readings = {name: Reading(one) if isinstance(one, LabelledSet) else one for name, one in sets.items()}
    classes = _same_classes(readings)
    images = tuple(image for reading in readings.values() for image in reading.data.images)
    side = np.repeat(np.arange(len(readings)), [len(reading.data) for reading in readings.values()])
    paths = [image.path for image in images]
    prints = fingerprints([str(path) for path in paths], paths, cache=cache, what="Looking at pictures")
    faults = [list(reading.faults) for reading in readings.values()]
    for image, own, problem in zip(images, side, prints.problems, strict=True):
        faults[own] += box_faults(image, classes)
        if problem:
            faults[own].append(Fault("unreadable", problem, str(image.path), image.path))
    # Not learned from the set: the pictures of one or two fixed cameras would pass for all alike.
    pairs = find_pairs(prints, mirrored, least=SAME)
    groups = duplicate_groups(pairs, len(prints))
    report = AuditReport(
        names=tuple(readings),
        classes=classes,
        images=images,
        side=side.astype(np.int64),
        faults=tuple(tuple(own) for own in faults),
        prints=prints,
        pairs=pairs,
        groups=groups,
        leaks=straddling(pairs, groups, side.tolist()),
        conflicts=tuple(
            p for p in pairs if p.kind != "near" and not same_people(images[p.first], images[p.second])
        ),
        shared_groups=_shared_groups(images, side, len(readings)),
    )
    return replace(report, findings=tuple(_findings(report)))


def same_people(one: LabelledImage, other: LabelledImage) -> bool:
    """Whether each person of one has a counterpart in the other, of the same class and IoU of .5 at least."""
    if len(one.labels) != len(other.labels):
        return False
    if not len(one.labels):
        return True
    fits = (iou_matrix(one.boxes_px, other.boxes_px) >= 0.5) & (one.labels[:, None] == other.labels)
    return bool(fits.any(axis=0).all() and fits.any(axis=1).all())


def _same_classes(readings: Mapping[str, Reading]) -> tuple[str, ...]:
    if not readings:
        raise BadInput("no set to look at", hint="give NAME=SOURCE, such as train=train.json test=test.json")
    (name, first), *others = readings.items()
    for other, reading in others:
        if reading.data.classes != first.data.classes:
            one, two = (", ".join(r.data.classes) for r in (first, reading))
            raise BadInput(f"{name} has the classes {one}, {other} has {two}")
    return first.data.classes


def _shared_groups(
    images: Sequence[LabelledImage], side: Int64[np.ndarray, " n"], sets: int
) -> dict[str, tuple[int, ...]]:
    counts: dict[str, Counter[int]] = {}
    for image, own in zip(images, side.tolist(), strict=True):
        if image.group is not None:
            counts.setdefault(image.group, Counter())[own] += 1
    return {
        group: tuple(of[own] for own in range(sets)) for group, of in sorted(counts.items()) if len(of) > 1
    }


def _findings(report: AuditReport) -> Iterable[Finding]:
    """The verdict, the gravest first."""
    found = [*_faults(report), *_copies(report), *_balance(report)]
    order: dict[Flag, int] = {"bad": 0, "warn": 1, "info": 2, "ok": 3}
    return sorted(found, key=lambda finding: order[finding.flag])


def _faults(report: AuditReport) -> Iterable[Finding]:
    counts = report.fault_counts()
    for kind, count in counts.items():
        yield Finding(_FLAGS.get(kind, "bad"), f"{WORDS[kind]}: {count}")
    if not counts:
        yield Finding("ok", "every picture can be read, and every box lies in its picture")


def _copies(report: AuditReport) -> Iterable[Finding]:
    several = len(report.names) > 1
    if report.leaks:
        rows = {row for pair in report.leaks for row in (pair.first, pair.second)}
        counts = Counter(report.names[report.side[row]] for row in rows)
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        yield Finding("bad", f"pictures that can be seen in another set too: {told}")
    elif several:
        yield Finding("ok", "no picture can be seen in two sets")
    if report.shared_groups:
        named = ", ".join(list(report.shared_groups)[:5]) + ", ..." * (len(report.shared_groups) > 5)
        yield Finding("bad", f"clips or scenes in more than one set: {len(report.shared_groups)} ({named})")
    elif several and any(image.group is not None for image in report.images):
        yield Finding("ok", "no clip or scene is in two sets")
    if report.conflicts:
        yield Finding("bad", f"copies of one picture with other people in them: {len(report.conflicts)}")
    inside = [pair for pair in report.pairs if report.side[pair.first] == report.side[pair.second]]
    exact = sum(pair.kind != "near" for pair in inside)
    if exact:
        yield Finding("warn", f"pictures that repeat another of their set: {exact}")
    if len(inside) > exact:
        yield Finding("info", f"pairs of nearly the same picture inside a set: {len(inside) - exact}")


def _balance(report: AuditReport) -> Iterable[Finding]:
    for name, counts in zip(report.names, report.people(), strict=True):
        absent = [word for word, count in zip(report.classes, counts, strict=True) if count == 0]
        if absent:
            yield Finding("bad", f"{name} has nobody who is {' or '.join(absent)}")
        elif counts.max() > IMBALANCED * counts.min():
            ratio = counts.max() / counts.min()
            yield Finding(
                "warn", f"{name} has {ratio:.0f} times as many of its commonest class as of its rarest"
            )
