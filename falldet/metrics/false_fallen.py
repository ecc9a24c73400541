"""False alarms about people: who is not fallen and is called so, by tag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from falldet.data.labelled import LabelledImage, LabelledSet
from falldet.detections import FALLEN
from falldet.metrics.intervals import Interval, wilson

RISKY_TAGS = ("lie", "sit", "danger")
"""People whom detectors take for fallen: lying in bed, sitting, about to fall."""
EVERYBODY = "everybody not fallen"


@dataclass(frozen=True)
class TagRate:
    """Of ``people`` with a tag who are not fallen, ``called`` fallen; Wilson's interval of the share."""

    tag: str
    called: int
    people: int
    rate: Interval


@dataclass(frozen=True)
class FalseFallen:
    """``risky`` are those who lie, sit or are in danger, each once; ``tags`` all, the most frequent first."""

    risky: TagRate
    everybody: TagRate
    tags: tuple[TagRate, ...]


def false_fallen(said: Sequence[Int64[np.ndarray, " _n"]], labelled: LabelledSet) -> FalseFallen:
    """From what the labelled people of each picture are called (Outcome.said); who is missed is no alarm."""
    risky_calls: list[bool] = []
    calls: list[bool] = []
    tagged: dict[str, list[bool]] = {}
    for image, words in zip(labelled.images, said, strict=True):
        danger = risky(image)
        for n in np.flatnonzero(image.labels != FALLEN):
            call = bool(words[n] == FALLEN)
            calls.append(call)
            if danger[n]:
                risky_calls.append(call)
            for tag in set(image.tags[n]):
                tagged.setdefault(tag, []).append(call)
    order = sorted(tagged, key=lambda tag: (-len(tagged[tag]), tag))
    return FalseFallen(
        risky=_rate(", ".join(RISKY_TAGS), risky_calls),
        everybody=_rate(EVERYBODY, calls),
        tags=tuple(_rate(tag, tagged[tag]) for tag in order),
    )


def risky(image: LabelledImage) -> Bool[np.ndarray, " n"]:
    """Which labelled people are not fallen and lie, sit or are in danger."""
    tagged = [not set(RISKY_TAGS).isdisjoint(tags) for tags in image.tags]
    return np.array(tagged, bool) & (image.labels != FALLEN)


def _rate(tag: str, calls: list[bool]) -> TagRate:
    return TagRate(tag, sum(calls), len(calls), wilson(sum(calls), len(calls)))
