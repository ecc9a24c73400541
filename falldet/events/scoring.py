"""Alarms against what happened: a hit is an alarm that starts in [onset, end + 5 s] of a fall.

Each fall takes the first alarm that can be its own, each alarm is of one fall at most; a second alarm for the
same fall is false. Alarms in intervals that are unclear do not count, nor do these.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from falldet.detections import Detections
from falldet.events.annotations import FALL, UNCLEAR, Interval
from falldet.events.follower import Followed, Follower
from falldet.events.lying import LyingModel
from falldet.events.options import EventOptions, ZoneOptions
from falldet.events.watcher import Watcher
from falldet.events.zones import Box
from falldet.metrics.intervals import UNKNOWN, wilson
from falldet.metrics.intervals import Interval as Bounds
from suite.report.metric import Metric

LATE_S = 5.0


@dataclass(frozen=True, eq=False)
class Looked:
    """A video as a detector saw it: ``looks`` are times (s) and who was found; ``size_px`` width, height.

    ``changed`` is, for each look, the share of each box that was not as the picture had been
    (`falldet.events.changes`); empty where nobody knows.
    """

    name: str
    size_px: tuple[int, int]
    seconds: float | int
    looks: tuple[tuple[float | int, Detections], ...]
    intervals: tuple[Interval, ...]
    changed: tuple[Float64[np.ndarray, " _"], ...] = ()


@dataclass(frozen=True)
class Alarm:
    """A confirmed event: when, how sure, and where in the picture."""

    time_s: float | int
    onset_s: float | int
    confidence: float | int
    box_px: Box


@dataclass(frozen=True)
class Outcome:
    """A fall and its alarm (None: missed), or a false alarm (``fall`` None) during ``doing``."""

    video: str
    fall: Interval | None
    alarm: Alarm | None
    doing: str = ""

    @property
    def delay_s(self) -> float:
        """From the onset to the alarm; NaN where there is none."""
        if self.fall is None or self.alarm is None:
            return math.nan
        return float(self.alarm.time_s - self.fall.onset_s)


@dataclass(frozen=True)
class Judgement:
    """What alarms were worth on some videos."""

    outcomes: tuple[Outcome, ...]
    seconds: float | int
    videos: int

    @property
    def falls(self) -> int:
        return sum(one.fall is not None for one in self.outcomes)

    @property
    def found(self) -> int:
        return sum(one.fall is not None and one.alarm is not None for one in self.outcomes)

    @property
    def false(self) -> int:
        return sum(one.fall is None for one in self.outcomes)

    @property
    def recall(self) -> Bounds:
        """Of falls, with Wilson's interval."""
        return wilson(self.found, self.falls)

    @property
    def precision(self) -> Bounds:
        """Of alarms, with Wilson's interval."""
        return wilson(self.found, self.found + self.false)

    @property
    def false_per_hour(self) -> Bounds:
        """With Garwood's exact interval of a Poisson rate."""
        return poisson(self.false, self.seconds / 3600)

    def delay_s(self, share: float | int = 0.5) -> float:
        """The delay that this share of the falls found does not exceed; NaN where none was found."""
        delays = [one.delay_s for one in self.outcomes if not math.isnan(one.delay_s)]
        return float(np.quantile(delays, share)) if delays else math.nan

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """What was missed, then what was false."""
        missed = [one for one in self.outcomes if one.alarm is None]
        return (*missed, *(one for one in self.outcomes if one.fall is None))

    def metrics(self) -> list[Metric]:
        """The figures with their intervals."""
        notes = f"{self.found} of {self.falls} falls", f"{self.false} false in {self.seconds / 3600:.2f} h"
        return [
            _metric("recall", self.recall, "", "higher", notes[0]),
            _metric("precision", self.precision, "", "higher", f"{self.found + self.false} alarms"),
            _metric("false_per_hour", self.false_per_hour, "1/h", "lower", notes[1]),
            Metric("delay_median_s", self.delay_s(0.5), "s", "lower", note="from the onset to the alarm"),
            Metric("delay_p95_s", self.delay_s(0.95), "s", "lower"),
            Metric("falls_found", self.found, "", "higher", note=f"of {self.falls}"),
            Metric("false_alarms", self.false, "", "lower"),
        ]


def alarms(
    looked: Looked,
    options: EventOptions,
    threshold: float | int,
    zones: Sequence[ZoneOptions] = (),
    followed: Sequence[Sequence[Followed]] | None = None,
    lying: LyingModel | None = None,
) -> list[Alarm]:
    """What a watcher would have told of this video; ``followed`` where that is known already."""
    watcher = Watcher(looked.name, options, zones, threshold, (), lying)
    told = []
    people = follow(looked, options) if followed is None else followed
    for (time_s, _), seen in zip(looked.looks, people, strict=True):
        for event in watcher.decide(seen, looked.size_px, time_s, time_s):
            if event.state == "confirmed":
                told.append(Alarm(time_s, event.onset_unix_s, event.confidence, event.box_px))
    return told


def follow(looked: Looked, options: EventOptions) -> tuple[tuple[Followed, ...], ...]:
    """The people of each look; the same for all settings but those of tracking."""
    follower = Follower(options.track)
    changed = looked.changed or (None,) * len(looked.looks)
    return tuple(
        follower.look(found, looked.size_px, time_s, shares)
        for (time_s, found), shares in zip(looked.looks, changed, strict=True)
    )


def judge(
    videos: Sequence[Looked],
    options: EventOptions,
    threshold: float | int,
    followed: Sequence[Sequence[Sequence[Followed]]] | None = None,
    lying: LyingModel | None = None,
) -> Judgement:
    """Every video watched by itself."""
    people = [None] * len(videos) if followed is None else followed
    outcomes = [
        one
        for video, seen in zip(videos, people, strict=True)
        for one in match(video, alarms(video, options, threshold, (), seen, lying))
    ]
    return Judgement(tuple(outcomes), sum(video.seconds for video in videos), len(videos))


def match(looked: Looked, found: Sequence[Alarm]) -> list[Outcome]:
    """Falls in their order, each with the first alarm in reach that no earlier fall took; then what is
    false."""
    waiting = sorted(found, key=lambda one: one.time_s)
    outcomes = []
    for fall in sorted((one for one in looked.intervals if one.kind == FALL), key=lambda one: one.onset_s):
        own = next((a for a in waiting if _in(a, fall)), None)
        if own is not None:
            waiting.remove(own)
        outcomes.append(Outcome(looked.name, fall, own))
    unclear = [one for one in looked.intervals if one.kind == UNCLEAR]
    false = [a for a in waiting if not any(_in(a, one) for one in unclear)]
    return [*outcomes, *(Outcome(looked.name, None, a, _doing(looked, a)) for a in false)]


def poisson(count: int, amount: float | int, level: float | int = 0.95) -> Bounds:
    """Events a unit of ``amount`` and the exact interval of their rate (Garwood 1936)."""
    if amount <= 0:
        return UNKNOWN
    from scipy.stats import chi2

    tail = (1 - level) / 2
    low = float(chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return Bounds(count / amount, low / amount, float(chi2.ppf(1 - tail, 2 * count + 2)) / 2 / amount)


def _in(alarm: Alarm, interval: Interval) -> bool:
    return interval.onset_s <= alarm.time_s <= interval.end_s + LATE_S


def _doing(looked: Looked, alarm: Alarm) -> str:
    """What was annotated at that time; the second alarm of a fall is said to be one."""
    at = [one.kind for one in looked.intervals if one.onset_s <= alarm.time_s <= one.end_s]
    return ", ".join("again in a fall" if kind == FALL else kind for kind in at) or "nothing annotated"


def _metric(key: str, bounds: Bounds, unit: str, better: str, note: str) -> Metric:
    interval = None if math.isnan(bounds.low) else (bounds.low, bounds.high)
    return Metric(key, bounds.value, unit, "higher" if better == "higher" else "lower", interval, note)
