"""Everything measured of one detector on one labelled set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from falldet.data.labelled import LabelledSet
from falldet.detections import CLASSES, FALLEN, Detections
from falldet.metrics.average_precision import CocoFigures, coco_figures
from falldet.metrics.confusion import Confusion, confusion, outcome
from falldet.metrics.failures import Failure, failures
from falldet.metrics.false_fallen import RISKY_TAGS, FalseFallen, false_fallen
from falldet.metrics.frames import FrameFigures, frame_figures
from falldet.metrics.intervals import Interval, Resampling, groups_of
from falldet.metrics.overlap import iou
from falldet.metrics.people import NOT_FALLEN, NOT_FALLEN_FLOOR, people
from falldet.metrics.ranking import Ranking, rank
from suite.errors import BadInput
from suite.report.metric import Metric


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of one detector on one set, at one operating threshold.

    ``ap50`` is the mean over labelled classes; ``ap50_classes`` and ``rankings`` are in the classes' order.
    ``notes`` say what could not be measured.
    """

    name: str
    images: int
    groups: int
    people: dict[str, int]
    threshold: float
    floor: float
    coco: CocoFigures
    ap50: Interval
    ap50_classes: tuple[Interval, ...]
    rankings: tuple[Ranking, ...]
    confusion: Confusion
    false_fallen: FalseFallen
    frames: FrameFigures
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]

    def metrics(self, prefix: str = "") -> list[Metric]:
        """All figures with direction and interval, for the record of a run and for cards."""
        coco, person, frame = self.coco, self.confusion, self.frames
        shares = {
            "ap50": self.ap50,
            **{f"ap50_{name}": one for name, one in zip(CLASSES, self.ap50_classes, strict=True)},
            "recall_fallen": person.recall,
            "precision_fallen": person.precision,
            "f1_fallen": person.f1,
            "recall_not_fallen": person.recall_not_fallen,
            "precision_not_fallen": person.precision_not_fallen,
            "frame_recall": frame.recall,
            "frame_precision": frame.precision,
            "frame_f1": frame.f1,
            "frame_specificity": frame.specificity,
        }
        plain = {
            "ap": coco.ap,
            **{f"ap_{one.name}": one.ap for one in coco.classes},
            "ap75": coco.ap75,
            "ap_small": coco.ap_small,
            "ap_medium": coco.ap_medium,
            "ap_large": coco.ap_large,
            "ar_1": coco.ar_1,
            "ar_10": coco.ar_10,
            "ar_100": coco.ar_100,
        }
        ghosts_fallen, ghosts_not = person.ghosts
        counts = {
            "ghosts_fallen_per_image": ghosts_fallen / self.images,
            "ghosts_not_fallen_per_image": ghosts_not / self.images,
        }
        tagged = {f"false_fallen_{one.tag.replace(' ', '_')}": one.rate for one in self.false_fallen.tags}
        false = {"false_fallen_rate": self.false_fallen.risky.rate} | tagged
        return [
            *(_metric(prefix + key, one, "higher") for key, one in shares.items()),
            *(Metric(prefix + key, value, better="higher") for key, value in plain.items()),
            *(_metric(prefix + key, one, "lower") for key, one in false.items()),
            *(Metric(prefix + key, value, better="lower") for key, value in counts.items()),
            Metric(prefix + "threshold", self.threshold, better=None),
            Metric(prefix + "not_fallen_floor", self.floor, better=None),
            Metric(prefix + "images", self.images, better=None),
            *(Metric(f"{prefix}people_{name}", n, better=None) for name, n in self.people.items()),
        ]


def evaluate(
    predictions: Sequence[Detections],
    labelled: LabelledSet,
    threshold: float | int,
    *,
    floor: float | int = NOT_FALLEN_FLOOR,
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Judge one Detections for each picture at this threshold of fallen and this floor of not fallen.

    Intervals draw groups (clips) ``resamples`` times. BadInput for a set without pictures or of other
    classes; ValueError where pictures and predictions are not as many.
    """
    _check(predictions, labelled)
    again = Resampling(groups_of(labelled), resamples, seed)
    called = [people(found, threshold, floor) for found in predictions]
    outcomes = [
        outcome(np.where(one.fallen, FALLEN, NOT_FALLEN), iou(one.boxes_px, image.boxes_px))
        for one, image in zip(called, labelled.images, strict=True)
    ]
    counts = np.stack([one.counts(im.labels) for one, im in zip(outcomes, labelled.images, strict=True)])
    alarms = false_fallen([one.said for one in outcomes], labelled)
    rankings = tuple(rank(predictions, labelled, k) for k in range(len(labelled.classes)))

    def average_precisions(times: np.ndarray) -> list[float]:
        each = [one.average_precision(times) for one in rankings]
        return [*each, _mean(each)]

    *of_classes, over_all = again.intervals(average_precisions)
    any_fallen = np.array([(image.labels == FALLEN).any() for image in labelled.images])
    any_called = np.array([one.fallen.any() for one in called])
    return Evaluation(
        name=labelled.name,
        images=len(labelled),
        groups=int(again.groups.max()) + 1,
        people=labelled.counts(),
        threshold=float(threshold),
        floor=float(floor),
        coco=coco_figures(predictions, labelled),
        ap50=over_all,
        ap50_classes=tuple(of_classes),
        rankings=rankings,
        confusion=confusion(counts, again),
        false_fallen=alarms,
        frames=frame_figures(any_fallen, any_called, again),
        failures=failures(predictions, labelled, threshold, floor),
        notes=_notes(predictions, labelled, alarms),
    )


def _check(predictions: Sequence[Detections], labelled: LabelledSet) -> None:
    if not len(labelled):
        raise BadInput("holds no picture to judge", labelled.name)
    if labelled.classes != CLASSES:
        raise BadInput(f"has the classes {', '.join(labelled.classes)}", labelled.name, _CLASSES)
    if len(predictions) != len(labelled):
        raise ValueError(f"{len(predictions)} predictions for {len(labelled)} pictures")
    for found in predictions:
        check_classes(found)


def check_classes(found: Detections) -> None:
    """BadInput unless a detector's classes are fallen and not fallen."""
    if found.classes != CLASSES:
        raise BadInput(f"the detector knows the classes {', '.join(found.classes)}", hint=_CLASSES)


_CLASSES = f"only {' and '.join(CLASSES)} can be judged"


def _notes(predictions: Sequence[Detections], labelled: LabelledSet, alarms: FalseFallen) -> tuple[str, ...]:
    notes = [
        f"Nobody is labelled {name}: its average precision and recall cannot be measured."
        for name, n in labelled.counts().items()
        if not n
    ]
    if not any(len(found) for found in predictions):
        notes.append("The detector found nobody in any picture.")
    if not alarms.risky.people:
        notes.append(f"Nobody not fallen is tagged {', '.join(RISKY_TAGS)}: that rate cannot be measured.")
    if not any((image.labels == FALLEN).sum() == 0 for image in labelled.images):
        notes.append("Every picture has somebody fallen: specificity cannot be measured.")
    return tuple(notes)


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _metric(key: str, one: Interval, better: str) -> Metric:
    bounds = None if math.isnan(one.low) else (one.low, one.high)
    return Metric(key, one.value, better="lower" if better == "lower" else "higher", interval=bounds)
