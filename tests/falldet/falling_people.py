"""People as a detector might tell of them, look by look, without any picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from falldet.detections import Detections
from falldet.events.event import FallEvent
from falldet.events.options import EventOptions, ZoneOptions
from falldet.events.watcher import Watcher

SIZE_PX = (640, 480)
UP, DOWN = (300.0, 100.0, 360.0, 280.0), (250.0, 230.0, 420.0, 290.0)
Person = tuple[tuple[float, float, float, float], float, float]
"""Box, fallen score, score of not fallen."""


def up(x: float = 0.0, y: float = 0.0, score: float = 0.8) -> Person:
    return (UP[0] + x, UP[1] + y, UP[2] + x, UP[3] + y), 0.02, score


def down(x: float = 0.0, y: float = 0.0, score: float = 0.8) -> Person:
    return (DOWN[0] + x, DOWN[1] + y, DOWN[2] + x, DOWN[3] + y), score, 0.1


def said(people: Sequence[Person]) -> Detections:
    """Both boxes of each person, those of no score left out."""
    rows = [(box, score, label) for box, *scores in people for label, score in enumerate(scores) if score > 0]
    boxes = np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in rows], np.float32)
    return Detections(boxes, scores, np.array([label for _, _, label in rows], np.int64))


def watch(
    looks: Iterable[Sequence[Person]],
    options: EventOptions | None = None,
    zones: Sequence[ZoneOptions] = (),
    *,
    every_s: float = 0.5,
    watcher: Watcher | None = None,
    start_s: float = 0.0,
) -> list[tuple[float, FallEvent]]:
    """What is told at which time of looks at even times; the wall clock says 1,000 s more."""
    watcher = watcher or Watcher("hall", options or EventOptions(), zones, 0.5)
    told = []
    for k, people in enumerate(looks):
        time_s = start_s + k * every_s
        told += [(time_s, event) for event in watcher.look(said(people), SIZE_PX, time_s, time_s + 1000.0)]
    return told
