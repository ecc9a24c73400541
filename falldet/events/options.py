"""How detections become events, as it is written in YAML. Light: imports no numpy."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from suite.config import Config

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
Point = tuple[Share, Share]


class ZoneOptions(Config):
    """A part of the picture where people may lie: a bed, a sofa. Whoever is down inside it is no alarm."""

    name: Annotated[str, Field(min_length=1)]
    polygon: Annotated[tuple[Point, ...], Field(min_length=3)]
    """Corners (x, y) as shares of the picture's width and height, from the top left."""
    type: Literal["ignore"] = "ignore"

    @field_validator("polygon")
    @classmethod
    def _simple(cls, polygon: tuple[Point, ...]) -> tuple[Point, ...]:
        if abs(twice_area(polygon)) < 1e-4:
            raise ValueError("the polygon encloses next to nothing")
        if _crosses_itself(polygon):
            raise ValueError("the polygon's sides cross; give its corners in their order around it")
        return polygon


class TrackOptions(Config):
    """How people are told apart from one look to the next."""

    begin: Share = 0.2
    """Boxes that score less, for either class, go on with a track but do not begin one."""
    go_on: Share = 0.1
    """Boxes that score less are nobody."""
    speed: Annotated[float, Field(ge=0)] = 0.6
    """Boxes are enlarged by this share of their size, on each side, for each second since the last look."""
    least_overlap: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Boxes that overlap less than this, so enlarged, are of two people."""
    forget_s: Seconds = 3.0
    """A person who was not seen for this long is somebody new; an open event goes on at its place."""


class EventOptions(Config):
    """When a person counts as fallen, and when that is over. Times are of watching, not of the calendar."""

    evidence: Literal["auto", "track", "score"] = "auto"
    """What says that somebody has fallen. ``track``: how likely that is by all of their last seconds, as was
    learned for the shipped detector (scores, posture, how they went down, what changed in the picture).
    ``score``: the detector's fallen score in each look. ``auto``: track for the detector that it was learned
    with, else score."""
    threshold: Annotated[float, Field(gt=0, le=1)] | None = None
    """Probability (track) or fallen score (score) from which a look at a person says fallen; where it is
    null, the one that was chosen for the detector, else the detector's own."""
    margin: Annotated[float, Field(ge=0)] = 1.3
    """By score: it must also be this many times the score of not fallen, as a person has one of each."""
    looks: Annotated[int, Field(ge=1)] = 4
    """So many looks must say fallen (where evidence is of the track and nothing of this is given, 2 of 3
    looks, 0.35 s apart, of the last 1.15 s) ..."""
    of: Annotated[int, Field(ge=1)] = 5
    """... among this many: of all looks since the first of them the share looks / of."""
    sure: Annotated[float, Field(ge=1)] = 2.0
    """A look whose scores are twice what is needed counts as two, and so on up to this many; 1 counts
    looks."""
    window_s: Annotated[float, Field(gt=0)] = 2.15
    """How far back looks count; where looks are rare, the last ``of`` count whenever they were."""
    min_duration_s: Seconds = 1.35
    """The first and the last of them are at least this far apart."""
    recovery_s: Seconds = 4.0
    """Seen up, or not fallen, for this long ends an event."""
    release: Share = 0.6
    """An open event goes on at scores from this share of the threshold, and of the margin."""
    lost_s: Seconds = 20.0
    """Nobody seen there for this long ends an event as lost."""
    cool_down_s: Seconds = 30.0
    """For this long after its end nobody in the same place is a new event, unless they were seen to leave or
    to get up."""
    gap_s: Annotated[float, Field(gt=0)] = 10.0
    """Nothing is known of a longer time between two looks: no evidence is carried over it, no time counts."""
    track: TrackOptions = TrackOptions()

    @model_validator(mode="after")
    def _possible(self) -> EventOptions:
        if self.looks > self.of:
            raise ValueError(f"{self.looks} of {self.of} looks can never be fallen; give looks <= of")
        if self.min_duration_s > 0 and self.looks < 2:
            raise ValueError("one look has no duration; give at least 2 looks, or min_duration_s 0")
        return self


def twice_area(polygon: tuple[tuple[float | int, float | int], ...]) -> float:
    """Twice the signed area (the shoelace formula)."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise((*polygon, polygon[0])))


def _crosses_itself(polygon: tuple[Point, ...]) -> bool:
    sides = list(pairwise((*polygon, polygon[0])))
    return any(
        _cross(*sides[i], *sides[j]) for i in range(len(sides)) for j in range(i + 2, len(sides) - (i == 0))
    )


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the open segments ab and cd cross."""

    def turn(p: Point, q: Point, r: Point) -> float:
        return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])

    return turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0
