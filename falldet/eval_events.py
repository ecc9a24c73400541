"""Alarms judged on videos with annotated falls: a detector looks, a watcher tells, and both are compared with
what happened. `evaluate_events` reads as the procedure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from falldet.detections import Detecting, Detections
from falldet.events.annotations import Annotated, read_annotations
from falldet.events.changes import Changes
from falldet.events.choosing import FALSE_PER_HOUR, Tried, choose, grid
from falldet.events.options import EventOptions
from falldet.events.scoring import Judgement, Looked, judge
from falldet.events.thresholds import Decision, decision
from falldet.events.watcher import FLOOR
from falldet.model.file import sized
from falldet.report.events import EventsPage, write_events_report
from suite.ahead import ahead
from suite.data.video import VideoReader
from suite.errors import BadInput
from suite.files import atomic_write
from suite.progress import track
from suite.report.flag import Flag
from suite.run import Run

PAGE, OUTCOMES, LOOKS = "report.html", "outcomes.csv", "looks.jsonl"


@dataclass(frozen=True)
class EventsRun:
    """What was measured, the settings that were chosen on other videos, and the page."""

    judgement: Judgement
    chosen: Tried | None
    page: Path


def evaluate_events(
    detector: Detecting,
    annotations: Sequence[Path],
    out: Path,
    *,
    name: str = "detector",
    options: EventOptions | None = None,
    looks_per_s: float | int = 2.0,
    long_px: int | None = None,
    develop: Sequence[Path] = (),
    inputs: Sequence[Path] = (),
    numbered: bool = False,
) -> EventsRun:
    """Watch every video and write figures, alarms, what the detector saw and the page to ``out``.

    Threshold and N of M are those of ``options`` (else those of watching with the model of this ``name``), or
    chosen on the videos of ``develop``; pictures are scaled to ``long_px``, else to what watching does.
    Raises BadInput where a file is no annotation, where none has a fall
    or a video is both reported on and chosen on.
    """
    if not looks_per_s > 0:
        raise BadInput(f"{looks_per_s:g} looks a second", hint="give more than 0")
    given = options or EventOptions()
    reported = [video for path in annotations for video in read_annotations(path)]
    held = [video for path in develop for video in read_annotations(path)]
    both = {video.path.resolve() for video in reported} & {video.path.resolve() for video in held}
    if both:
        raise BadInput("is reported on and chosen on", min(both), "choose on other videos")
    notes: list[tuple[Flag, str]] = []
    with Run.create(out, inputs=[*inputs, *annotations, *develop], numbered=numbered) as run:
        chosen, how = None, decision(given, name, detector.card)
        given = how.options
        detector = sized(detector, how.long_px if long_px is None else long_px)
        if held:
            seen = look_at(detector, held, looks_per_s, notes)
            chosen = choose(seen, list(grid(given, how.threshold, looks_per_s)), how.lying)
            given, how = chosen.options, replace(how, threshold=chosen.threshold)
        looked = look_at(detector, reported, looks_per_s, notes)
        found = judge(looked, given, how.threshold, lying=how.lying)
        run.add_metrics(found.metrics())
        _write_looks(run.path(LOOKS), looked)
        told = _told(name, given, how, looks_per_s, chosen)
        paths = {video.path.name: video.path for video in reported}
        write_events_report(run.path(PAGE), found, EventsPage(f"Alarms of {name}", told, notes, paths))
    return EventsRun(found, chosen, run.folder / PAGE)


def look_at(
    detector: Detecting,
    videos: Sequence[Annotated],
    looks_per_s: float | int,
    notes: list[tuple[Flag, str]] | None = None,
) -> list[Looked]:
    """The videos as the detector sees them, so many looks a second. What is damaged is added to ``notes``."""
    return [_looked(detector, video, looks_per_s, notes) for video in track(videos, "Watching")]


def _looked(
    detector: Detecting, video: Annotated, looks_per_s: float | int, notes: list[tuple[Flag, str]] | None
) -> Looked:
    looks: list[tuple[float, Detections]] = []
    changed: list[np.ndarray] = []
    changes = Changes()
    size, end_s, due_s = (1, 1), 0.0, 0.0
    with VideoReader(video.path) as reader:
        step_s = 1 / (reader.rate_hz or 25.0)
        try:
            for frame in ahead(reader.frames(), 4):
                end_s = frame.time_s + step_s
                if frame.time_s >= due_s - step_s / 2:
                    due_s = max(due_s + 1 / looks_per_s, frame.time_s)
                    size = (frame.rgb.shape[1], frame.rgb.shape[0])
                    found = detector.detect([frame.rgb])[0].above(FLOOR)
                    changes.look(frame.rgb, frame.time_s)
                    looks.append((frame.time_s, found))
                    changed.append(changes.within(found.boxes_px))
        except BadInput as error:
            if not looks:
                raise
            if notes is not None:
                notes.append(("warn", str(error)))
    return Looked(video.path.name, size, end_s, tuple(looks), video.intervals, tuple(changed))


def _told(
    name: str, options: EventOptions, how: Decision, looks_per_s: float | int, chosen: Tried | None
) -> dict[str, str]:
    told = {
        "detector": name,
        "looks a second": f"{looks_per_s:g}",
        "evidence": "the detector's score" if how.lying is None else "of the last seconds, learned",
        "threshold": f"{how.threshold:.3f}",
        "looks that must say fallen": f"{options.looks} of {options.of}, {options.min_duration_s:g} s apart",
    }
    if how.lying is None:
        told["margin over not fallen"] = f"{options.margin:g}"
    if chosen is not None:
        there = chosen.judgement
        told["chosen on"] = (
            f"{there.videos} other videos: the highest recall with at most {FALSE_PER_HOUR:g} false alarm an "
            f"hour. There {there.found} of {there.falls} falls, {there.false} false alarms in "
            f"{there.seconds / 3600:.2f} h"
        )
    return told


def _write_looks(path: Path, looked: Iterable[Looked]) -> None:
    """One JSON line a look, as `falldet predict` writes them."""
    with atomic_write(path, "w") as stream:
        for video in looked:
            for time_s, found in video.looks:
                line = {"name": video.name, "time_s": round(time_s, 3), "detections": found.as_dicts()}
                stream.write(json.dumps(line, ensure_ascii=False) + "\n")
