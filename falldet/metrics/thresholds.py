"""The operating threshold, chosen on a develop split: never on the pictures that are reported on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from falldet.data.labelled import LabelledSet
from falldet.detections import FALLEN, Detections
from falldet.metrics.false_fallen import risky
from falldet.metrics.intervals import Interval, wilson
from falldet.metrics.options import BestF1, BoundedFalseFallen, ThresholdRule
from falldet.metrics.people import NOBODY, NOT_FALLEN, NOT_FALLEN_FLOOR, Candidates, candidates
from falldet.metrics.sweep import Sweep, sweep_floor, sweep_threshold
from suite.errors import BadInput


@dataclass(frozen=True)
class Choice:
    """A threshold of fallen, a floor of not fallen, and what they give on the split they were chosen on.

    ``ghosts_per_image`` are people called fallen where nobody is. ``kept`` is whether the rule's bound holds;
    ``note`` says what had to be done without.
    """

    threshold: float
    floor: float
    recall: float
    precision: float
    f1: float
    f1_not_fallen: float
    false_fallen: Interval
    ghosts_per_image: float
    kept: bool = True
    note: str = ""


def choose_threshold(
    predictions: Sequence[Detections], labelled: LabelledSet, rule: ThresholdRule | None = None
) -> Choice:
    """The threshold by ``rule`` (by default BoundedFalseFallen) and, with it, the floor of not fallen.

    First the floor with the best F1 of people not fallen, at a provisional threshold, then the threshold at
    that floor. Of thresholds that are equally good BestF1 takes the lowest, the other rule the highest. Where
    nobody is tagged lie, sit or danger, the bound is on everybody not fallen. BadInput where nobody is
    labelled fallen, or nobody not fallen to bound false alarms with.
    """
    rule = BoundedFalseFallen() if rule is None else rule
    counts = labelled.counts()
    if not counts[labelled.classes[FALLEN]]:
        raise BadInput("nobody is labelled fallen", labelled.name, "choose the threshold on another split")
    found = [candidates(one) for one in predictions]
    floor = _floor(found, labelled)
    sweep = sweep_threshold(found, labelled, floor)
    false, people, note = _false_alarms(sweep, labelled)
    if isinstance(rule, BestF1):
        return _choice(sweep, _last_best(sweep.f1(FALLEN)), floor, false, people, len(labelled), True, note)
    if not people:
        raise BadInput(
            "nobody is labelled not fallen", labelled.name, "choose the threshold by the rule best_f1"
        )
    limit = np.array([upper_limit(int(count), people, rule.assurance) for count in false])
    allowed = np.flatnonzero(limit <= rule.bound)
    if not len(allowed):
        note += f" Of {people} people no rate can be told to be below {rule.bound:g}: none is called fallen."
        allowed = np.flatnonzero(false == 0)
    hits = sweep.people[allowed, FALLEN, FALLEN]
    best = int(allowed[hits.argmax()])  # the first, the highest threshold
    kept = bool(limit[best] <= rule.bound)
    return _choice(sweep, best, floor, false, people, len(labelled), kept, note.strip())


def upper_limit(yes: int, n: int, assurance: float) -> float:
    """Wilson's one-sided upper limit of a share: the true one is below it with this probability."""
    z = NormalDist().inv_cdf(assurance)
    p, spread = yes / n, z * z / n
    return (p + spread / 2 + math.sqrt(max(spread, 0.0) * (p * (1 - p) + spread / 4))) / (1 + spread)


def _floor(found: Sequence[Candidates], labelled: LabelledSet) -> float:
    """The floor with the best F1 of people not fallen, at the threshold with the best F1 of fallen."""
    if not labelled.counts()[labelled.classes[NOT_FALLEN]]:
        return NOT_FALLEN_FLOOR
    first = sweep_threshold(found, labelled, NOT_FALLEN_FLOOR)
    threshold = float(first.cuts[_last_best(first.f1(FALLEN))])
    floors = sweep_floor(found, labelled, threshold)
    return float(floors.cuts[_last_best(floors.f1(NOT_FALLEN))])


def _false_alarms(sweep: Sweep, labelled: LabelledSet) -> tuple[np.ndarray, int, str]:
    """At each cut, false alarms about those whom the bound is on; how many those are; a note."""
    tagged = sum(int(risky(image).sum()) for image in labelled.images)
    if tagged:
        return sweep.false_risky, tagged, ""
    people = labelled.counts()[labelled.classes[NOT_FALLEN]]
    return (
        sweep.people[:, NOT_FALLEN, FALLEN],
        people,
        "Nobody is tagged lie, sit or danger: false alarms are those about everybody not fallen.",
    )


def _last_best(values: np.ndarray) -> int:
    return len(values) - 1 - int(values[::-1].argmax())


def _choice(
    sweep: Sweep,
    k: int,
    floor: float,
    false: np.ndarray,
    people: int,
    images: int,
    kept: bool,
    note: str,
) -> Choice:
    counts = sweep.people[k]
    hits, true, said = counts[FALLEN, FALLEN], counts[FALLEN].sum(), counts[:, FALLEN].sum()
    return Choice(
        threshold=float(sweep.cuts[k]),
        floor=floor,
        recall=float(hits / true),
        precision=float(hits / said) if said else math.nan,
        f1=float(sweep.f1(FALLEN)[k]),
        f1_not_fallen=float(sweep.f1(NOT_FALLEN)[k]),
        false_fallen=wilson(int(false[k]), people),
        ghosts_per_image=float(counts[NOBODY, FALLEN] / images),
        kept=kept,
        note=note,
    )
