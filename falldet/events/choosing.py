"""Settings of events chosen on videos that nothing is reported on: all of a grid are tried, one is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from falldet.events.lying import LyingModel
from falldet.events.options import EventOptions
from falldet.events.scoring import Judgement, Looked, follow, judge
from suite.progress import track

FALSE_PER_HOUR = 1.0
_N_OF_M = ((2, 2), (2, 3), (3, 3), (3, 4), (3, 5), (4, 5), (4, 6))
_MARGINS = (0.6, 0.8, 1.0, 1.25, 1.5, 2.0)
_STEPS = 12


@dataclass(frozen=True)
class Tried:
    """One setting and what it was worth."""

    options: EventOptions
    threshold: float | int
    judgement: Judgement


def choose(
    videos: Sequence[Looked],
    settings: Sequence[tuple[EventOptions, float]],
    lying: LyingModel | None = None,
) -> Tried:
    """The best of these settings, which share those of tracking; see :func:`best`."""
    followed = [follow(video, settings[0][0]) for video in videos]
    tried = [
        Tried(options, at, judge(videos, options, at, followed, lying))
        for options, at in track(settings, "Choosing")
    ]
    return best(tried)


def grid(
    options: EventOptions, threshold: float | int, looks_per_s: float | int
) -> Iterator[tuple[EventOptions, float]]:
    """N of M looks, margins, and thresholds from a third to the double of the given one.

    The window is as long as M looks take, the first and the last of the N are as far apart as N looks are.
    """
    every_s = 1 / looks_per_s
    for step in range(_STEPS):
        at = round(threshold * (1 / 3 + step / (_STEPS - 1) * (5 / 3)), 3)
        if not 0 < at <= 1:
            break
        for looks, of in _N_OF_M:
            times = {"window_s": (of - 0.7) * every_s, "min_duration_s": (looks - 1.3) * every_s}
            for margin in _MARGINS:
                changed = {"looks": looks, "of": of, "margin": margin, **times}
                yield options.model_copy(update={**changed, "threshold": at}), at


def best(tried: Sequence[Tried]) -> Tried:
    """The highest recall with at most FALSE_PER_HOUR; of equals the fewest false alarms, then the one whose
    neighbours in threshold are as good, then the shortest delay.

    Where none is so quiet, the fewest missed falls and false alarms together.
    """
    quiet = [one for one in tried if one.judgement.false_per_hour.value <= FALSE_PER_HOUR]
    if not quiet:
        return min(tried, key=lambda one: one.judgement.falls - one.judgement.found + one.judgement.false)

    def key(one: Tried) -> tuple[float | int, ...]:
        said = one.judgement
        return -said.found, said.false, -_steady(one, tried), said.delay_s()

    return min(quiet, key=key)


def _steady(one: Tried, tried: Sequence[Tried]) -> int:
    """How many thresholds do no worse with the same N of M: a choice on an edge would not carry over."""
    same = one.options.model_copy(update={"threshold": None})
    return sum(
        other.judgement.found >= one.judgement.found and other.judgement.false <= one.judgement.false
        for other in tried
        if other.options.model_copy(update={"threshold": None}) == same
    )
