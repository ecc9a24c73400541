"""A detector judged on labelled sets: detections, figures, and a page, in one run folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from falldet.data.formats.read import inspect_labelled
from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.data.options import Source
from falldet.detections import Detecting, Detections
from falldet.metrics.evaluation import Evaluation, check_classes, evaluate
from falldet.metrics.options import ThresholdRule
from falldet.metrics.people import NOT_FALLEN_FLOOR
from falldet.metrics.thresholds import Choice, choose_threshold
from falldet.report.page import Judged, PageOptions, write_report
from falldet.report.tables import failure_table
from suite.data.images import read_image
from suite.errors import BadInput
from suite.files import atomic_write
from suite.progress import track
from suite.report.flag import Flag
from suite.run import Run

__all__ = [
    "EvaluationRun",
    "Look",
    "Operating",
    "choose",
    "evaluate",
    "evaluate_model",
    "judge",
    "look_at",
]

PAGE = "report.html"
_BATCH = 8


@dataclass(frozen=True, eq=False)
class Look:
    """What a detector saw: one Detections for each picture that could be read, and those that could not."""

    labelled: LabelledSet
    predictions: tuple[Detections, ...]
    skipped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class EvaluationRun:
    """The figures of each set, how the threshold was chosen (None where it was given), and the page."""

    evaluations: tuple[Evaluation, ...]
    choice: Choice | None
    page: Path


def evaluate_model(
    detector: Detecting,
    sources: Sequence[Source],
    out: Path,
    *,
    name: str = "detector",
    threshold: float | None = None,
    develop: Source | None = None,
    rule: ThresholdRule | None = None,
    inputs: Sequence[Path] = (),
    resamples: int = 1000,
    numbered: bool = False,
) -> EvaluationRun:
    """Judge ``detector`` on every source and write figures, detections, failures and the page to ``out``.

    The threshold is the given one, else chosen on ``develop`` by ``rule``, else the detector's own. A picture
    that cannot be read is named and left out. ``inputs`` are files to record, such as the model's;
    ``numbered`` takes the next free one of ``out``, ``out-2``, ... Raises BadInput where both a threshold
    and a develop split are given, where a set has nothing to judge, or where the detector knows others.
    """
    if threshold is not None and develop is not None:
        raise BadInput("a threshold is given, and a split to choose one on", hint="give one of the two")
    if threshold is not None and not 0 <= threshold <= 1:
        raise BadInput(f"the threshold {threshold:g} is no score", hint="give one from 0 to 1")
    readings = [inspect_labelled(source) for source in sources]
    notes: list[tuple[Flag, str]] = [("warn", line) for reading in readings for line in reading.notes()]
    with Run.create(out, inputs=inputs, numbered=numbered) as run:
        choice = None
        if develop is not None:
            held = inspect_labelled(develop).data
            choice = choose(detector, held, rule)
            notes += notes_on(choice, develop in sources)
            operating = Operating(choice.threshold, choice.floor, f"chosen on {held.name}")
        elif threshold is not None:
            operating = Operating(threshold, _floor(detector), "given")
        else:
            operating = Operating(detector.card.threshold, _floor(detector), "the detector's own")
        told = told_of(choice)
        sets = [reading.data for reading in readings]
        found = judge(run, detector, sets, name, operating, resamples=resamples, told=told, notes=notes)
    return EvaluationRun(found, choice, run.folder / PAGE)


@dataclass(frozen=True)
class Operating:
    """Scores from which people count as fallen and as not fallen, and where these numbers come from."""

    threshold: float
    floor: float
    origin: str


def choose(detector: Detecting, develop: LabelledSet, rule: ThresholdRule | None = None) -> Choice:
    """The threshold, and the floor of not fallen, by ``rule`` on pictures that nothing is reported on."""
    look = look_at(detector, develop)
    return choose_threshold(look.predictions, look.labelled, rule)


def judge(
    run: Run,
    detector: Detecting,
    sets: Sequence[LabelledSet],
    name: str,
    operating: Operating,
    *,
    resamples: int = 1000,
    told: Mapping[str, str] | None = None,
    notes: Sequence[tuple[Flag, str]] = (),
) -> tuple[Evaluation, ...]:
    """Judge ``detector`` on each set; figures, detections, failures and the page go into ``run``."""
    judged = []
    for labelled in _named_apart(sets):
        look = look_at(detector, labelled)
        found = evaluate(
            look.predictions, look.labelled, operating.threshold, floor=operating.floor, resamples=resamples
        )
        judged.append(Judged(look.labelled, found, look.skipped))
        prefix = "" if len(sets) == 1 else f"{_file_word(labelled.name)}."
        run.add_metrics(found.metrics(prefix))
        _write_lines(run.path(f"detections-{_file_word(labelled.name)}.jsonl"), look)
        failure_table(found).write_csv(run.path(f"failures-{_file_word(labelled.name)}.csv"))
    summary = {
        "detector": name,
        "threshold": f"{operating.threshold:.4f}, {operating.origin}",
        **(told or {}),
    }
    summary["floor of not fallen"] = f"{operating.floor:.4f}"
    write_report(run.path(PAGE), judged, PageOptions(f"Evaluation of {name}", summary, notes))
    return tuple(one.evaluation for one in judged)


def look_at(detector: Detecting, labelled: LabelledSet, batch: int = _BATCH) -> Look:
    """Detections of every picture that can be read. BadInput where none can, or of other classes."""
    images: list[LabelledImage] = []
    predictions: list[Detections] = []
    skipped: list[tuple[str, str]] = []
    starts = range(0, len(labelled), batch)
    for start in track(starts, f"Looking at {labelled.name}", total=len(starts)):
        pictures: list[np.ndarray] = []
        for image in labelled.images[start : start + batch]:
            try:
                pictures.append(read_image(image.path))
                images.append(image)
            except BadInput as error:
                skipped.append((image.path.name, error.what))
        if pictures:
            predictions += detector.detect(pictures)
            check_classes(predictions[-1])
    if not images:
        what = f"none of its {len(labelled)} pictures can be read" if len(labelled) else "holds no picture"
        first = f" (the first {skipped[0][1]})" if skipped else ""
        raise BadInput(what + first, labelled.name)
    return Look(replace(labelled, images=tuple(images)), tuple(predictions), tuple(skipped))


def notes_on(choice: Choice, reported: bool) -> list[tuple[Flag, str]]:
    notes: list[tuple[Flag, str]] = []
    if choice.note:
        notes.append(("warn", choice.note))
    if reported:
        text = "The threshold was chosen on pictures that are reported here: what depends on it is too good."
        notes.append(("warn", text))
    return notes


def _floor(detector: Detecting) -> float:
    return float(getattr(detector.card, "not_fallen_floor", NOT_FALLEN_FLOOR))


def told_of(choice: Choice | None) -> dict[str, str]:
    if choice is None:
        return {}
    false = choice.false_fallen
    return {
        "there, people": f"recall {choice.recall:.3f}, precision {choice.precision:.3f}, F1 {choice.f1:.3f}",
        "there, false fallen": f"{false.value:.3f} ({false.low:.3f} to {false.high:.3f})",
    }


def _named_apart(sets: Sequence[LabelledSet]) -> list[LabelledSet]:
    """The same with numbers where two have one name."""
    named: list[LabelledSet] = []
    taken: set[str] = set()
    for one in sets:
        name, number = one.name, 1
        while _file_word(name) in taken:
            number += 1
            name = f"{one.name} {number}"
        taken.add(_file_word(name))
        named.append(replace(one, name=name))
    return named


def _file_word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.") or "set"


def _write_lines(path: Path, look: Look) -> None:
    """One JSON line for each picture, as `falldet predict` writes them."""
    with atomic_write(path, "w") as stream:
        for image, found in zip(look.labelled.images, look.predictions, strict=True):
            size = {"width_px": image.width_px, "height_px": image.height_px}
            line = {"name": image.path.name} | size | {"detections": found.as_dicts()}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
