"""The page of alarms on annotated videos: figures with their intervals, delays, and failures by name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from falldet.detections import FALLEN, Detections
from falldet.events.scoring import LATE_S, Judgement, Outcome
from falldet.looking.drawing import draw
from suite.data.video import VideoReader
from suite.errors import BadInput
from suite.report.figure import PALETTE, Figure, drawing
from suite.report.flag import Flag
from suite.report.page import Page
from suite.report.table import Cell, Column, Table

_ACROSS, _SIDE_PX, _SHOWN = 3, 440, 12
_LABELS = {
    "recall": "Falls found",
    "precision": "Alarms that are right",
    "false_per_hour": "False alarms an hour",
    "delay_median_s": "Delay, median",
    "delay_p95_s": "Delay, 95th percentile",
}
_RULE = (
    f"A fall is found where an alarm starts between its onset and {LATE_S:g} s after its end; the delay is "
    "from the onset to the alarm. Every other alarm is false, also the second one for the same fall. Alarms "
    "in intervals that are annotated as unclear do not count."
)
_LIMITS = (
    "Shares have Wilson's intervals, the rate of false alarms Garwood's exact one; both take falls and "
    "alarms for independent, which those of one person or one room are not. Staged falls are easier than "
    "real ones, and people lose balance in more ways than they act."
)


@dataclass(frozen=True, eq=False)
class EventsPage:
    """What stands beside the figures; ``videos`` are files by name, to show failures from."""

    title: str
    summary: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[tuple[Flag, str]] = ()
    videos: Mapping[str, Path] = field(default_factory=dict)


def write_events_report(path: Path, found: Judgement, about: EventsPage) -> Path:
    """Write the page, whole or not at all, and give its path."""
    hours = f"{found.seconds / 3600:.2f} h" if found.seconds >= 360 else f"{found.seconds:.0f} s"
    page = Page(about.title, f"{found.videos} videos, {hours}", footer="Intervals are 95 % intervals.")
    page.heading("At a glance")
    for flag, text in about.notes:
        page.note(flag, text)
    if found.falls < 20 or found.seconds < 3600:
        page.note("info", f"A smoke test: {found.falls} falls in {hours} say little; mind the intervals.")
    page.metrics([metric for metric in found.metrics() if metric.key in _LABELS], _LABELS)
    rows: list[list[Cell]] = [[key, value] for key, value in about.summary.items()]
    page.table(Table(["Part", "Setting"], rows))
    if found.found > 1:
        page.figure(delay_figure(found), "Share of all falls that were told of within a time of their onset.")
    page.heading("Failures")
    if not found.failures:
        page.note("ok", "Every fall was found, and no alarm was false.")
    _show(page, found.failures[:_SHOWN], about.videos)
    if found.failures:
        page.table(outcome_table(found.failures))
    page.heading("All falls and alarms")
    page.table(outcome_table(found.outcomes))
    page.download("outcomes.csv", outcome_table(found.outcomes).to_csv().encode(), "text/csv")
    page.heading("How it is measured")
    page.text(f"{_RULE}\n\n{_LIMITS}")
    return page.write(path)


def outcome_table(outcomes: Sequence[Outcome]) -> Table:
    """A row for each fall and each false alarm."""
    rows: list[list[Cell]] = []
    for one in outcomes:
        onset, end = (None, None) if one.fall is None else (one.fall.onset_s, one.fall.end_s)
        alarm, sure = (None, None) if one.alarm is None else (one.alarm.time_s, one.alarm.confidence)
        delay = None if math.isnan(one.delay_s) else one.delay_s
        rows.append([one.video, _what(one), onset, end, alarm, delay, sure])
    times = [Column(title, "s", 1) for title in ("Onset", "End", "Alarm", "Delay")]
    return Table(["Video", "What", *times, Column("Confidence", decimals=2)], rows)


def delay_figure(found: Judgement) -> Figure:
    """Share of all falls over the delay."""
    delays = np.sort([one.delay_s for one in found.outcomes if not math.isnan(one.delay_s)])
    with drawing(alt="Share of falls found over the delay from the onset", height=2.6) as (figure, axes):
        shares = np.arange(1, len(delays) + 1) / found.falls
        axes.step(np.append(0, delays), np.append(0, shares), where="post", color=PALETTE[0])
        axes.set_xlabel("delay (s)")
        axes.set_ylabel("share of falls")
        axes.set_ylim(0, 1.05)
        axes.set_xlim(0, max(5.0, float(delays[-1]) + 0.5))
    return figure


def _what(one: Outcome) -> str:
    if one.fall is None:
        return f"false alarm: {one.doing}"
    return "missed" if one.alarm is None else "found"


def _show(page: Page, failures: Sequence[Outcome], videos: Mapping[str, Path]) -> None:
    """Cards: the picture of a false alarm, and of a missed fall the one two seconds after its onset."""
    cards = []
    for one in failures:
        time_s = one.alarm.time_s if one.alarm is not None else one.fall.onset_s + 2.0 if one.fall else 0.0
        if one.video in videos and (rgb := _picture(videos[one.video], time_s)) is not None:
            cards.append((_drawn(rgb, one), f"{one.video} at {time_s:.1f} s: {_what(one)}"))
    for start in range(0, len(cards), _ACROSS):
        columns = page.columns(*(1,) * _ACROSS)
        for column, (image, text) in zip(columns, cards[start : start + _ACROSS], strict=False):
            column.image(image, text, text, photo=True)


def _picture(path: Path, time_s: float) -> np.ndarray | None:
    """The last picture up to this time."""
    rgb = None
    try:
        with VideoReader(path) as video:
            for frame in video.frames():
                if frame.time_s > time_s + 1e-3 and rgb is not None:
                    break
                rgb = frame.rgb
    except BadInput:
        pass
    return rgb


def _drawn(rgb: UInt8[np.ndarray, "h w 3"], one: Outcome) -> UInt8[np.ndarray, "_h _w 3"]:
    from PIL import Image

    scale = min(1.0, _SIDE_PX / max(rgb.shape[:2]))
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    small = np.array(Image.fromarray(rgb).resize(size))
    if one.alarm is None:
        return small
    box = np.array([one.alarm.box_px], np.float32) * np.float32(scale)
    score = np.array([one.alarm.confidence], np.float32)
    return draw(small, Detections(box, score, np.array([FALLEN], np.int64)))
