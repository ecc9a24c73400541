"""Learns how likely somebody lies after a fall, for one detector; `train_evidence` reads as the procedure.

Films are drawn and looked at, a model is fitted on some of them and its threshold chosen on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from falldet.events.choosing import FALSE_PER_HOUR
from falldet.events.learning import learn
from falldet.events.lying import LyingModel, write_lying
from falldet.events.options import EventOptions
from falldet.events.scoring import Judgement, Looked, follow, judge
from falldet.events.thresholds import by_track
from falldet.films import CACHE, Seen, films
from falldet.model.file import Model
from falldet.synthetic.film import FilmOptions
from suite.errors import BadInput

_THRESHOLDS = tuple(step / 100 for step in range(50, 97, 5))


@dataclass(frozen=True)
class Learned:
    """A model, and what its thresholds were worth on the films that the last word was said on."""

    model: LyingModel
    tried: tuple[tuple[float, Judgement], ...]


def train_evidence(
    detector: Model,
    out: Path,
    *,
    seeds: Sequence[int],
    choose: Sequence[int],
    seconds: float | int,
    cache: Path = CACHE,
) -> Learned:
    """Write an evidence model for ``detector`` to ``out``.

    It is fitted on films of ``seconds`` for each of ``seeds``; its threshold is chosen on as many for each of
    ``choose``. Raises BadInput where the two share a seed, or where nobody falls.
    """
    both = sorted(set(seeds) & set(choose))
    if both:
        raise BadInput(f"seed {both[0]} is both learned from and chosen on", hint="choose on other films")
    shown = _films(detector, seeds, seconds, cache)
    told = {
        "detector": detector.card.name,
        "long_px": detector.card.pixels.long_px,
        "films": len(shown),
        "seconds": round(sum(one.looked.seconds for one in shown)),
        "seeds": list(seeds),
        "chosen_on": list(choose),
        "threshold": _THRESHOLDS[0],
    }
    model = learn([(one.looked, one.truth) for one in shown], told)
    tried = _tried(model, [one.looked for one in _films(detector, choose, seconds, cache)])
    threshold, found = _best(tried)
    told |= {
        "threshold": threshold,
        "found": f"{found.found} of {found.falls} falls, {found.false} false in {found.seconds / 3600:.2f} h",
    }
    model = replace(model, learned=told)
    write_lying(out, model)
    return Learned(model, tried)


def _films(detector: Model, seeds: Sequence[int], seconds: float | int, cache: Path) -> list[Seen]:
    return [seen for seed in seeds for seen in films(FilmOptions(seed=seed), seconds, detector, cache)]


def _tried(model: LyingModel, videos: list[Looked]) -> tuple[tuple[float, Judgement], ...]:
    options = by_track(EventOptions())
    followed = [follow(video, options) for video in videos]
    return tuple((at, judge(videos, options, at, followed, model)) for at in _THRESHOLDS)


def _best(tried: Sequence[tuple[float, Judgement]]) -> tuple[float, Judgement]:
    """The most falls among the thresholds that are quiet enough; where none is, the fewest errors in all, and
    of equals the fewest false alarms."""
    quiet = [one for one in tried if one[1].false_per_hour.value <= FALSE_PER_HOUR]
    if quiet:
        return max(quiet, key=lambda one: (one[1].found, one[0]))
    return min(tried, key=lambda one: (one[1].falls - one[1].found + one[1].false, one[1].false))
