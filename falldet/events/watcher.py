"""One camera: detections, look by look, become falls that somebody is told of; read `Watcher.look` first.

Durations are those of ``time_s``, which no calendar can change; ``unix_s`` only labels. Time that nobody
watched (a gap between looks) neither recovers nor loses anybody.

An event stands for one person. What is open, or ended a moment ago, must not hide another fall: whoever was
seen up since then, or beside the one who lies, is told of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float64

from falldet.detections import Detections
from falldet.events.confirm import Evidence, Look
from falldet.events.course import Courses
from falldet.events.event import FallEvent, State, event_id
from falldet.events.follower import Followed, Follower
from falldet.events.lying import LyingModel
from falldet.events.options import EventOptions, ZoneOptions
from falldet.events.zones import Box, zone_of
from falldet.metrics.overlap import iou

FLOOR = 0.05
"""Detections from this score on are of use to a watcher."""
_SAME_PLACE = 0.4
_SAME_BOX = 0.5
_CERTAIN_S = 8.0  # nobody was seen to fall, and nothing has moved: scores alone must do
_UPS = 2  # looks that said up, as one may be wrong


@dataclass(frozen=True)
class Track:
    """A person before the camera, for drawing: ``score`` is the fallen score, smoothed, ``zone`` where they
    are allowed to lie."""

    id: int
    box_px: Box
    score: float
    state: Literal["up", "suspected", "fallen", "ignored"]
    zone: str | None = None


@dataclass
class _Seen:
    """A person in this look: ``down`` enough to begin an event with, ``lying`` so that it goes on, or ``up``,
    or none of them, where the detector cannot tell."""

    track: int
    box_px: Box
    score: float
    down: bool
    lying: bool
    up: bool
    zone: str | None


@dataclass
class _Open:
    """An event that has not ended: where the person lies; in watched time, when they were seen last and since
    when they are up; whether they ``left``, as chairs that were taken for somebody never do."""

    event: FallEvent
    track: int
    box_px: Box
    seen_s: float
    up_since_s: float | None = None
    left: bool = False
    since_s: float = 0.0


@dataclass
class _Ended:
    """Where somebody lay who was not seen to leave."""

    box_px: Box
    at_s: float


class Watcher:
    """Tracking, confirmation, recovery, cool-down and zones of one camera."""

    def __init__(
        self,
        camera: str,
        options: EventOptions,
        zones: Sequence[ZoneOptions],
        threshold: float | int,
        open_events: Iterable[FallEvent] = (),
        lying: LyingModel | None = None,
    ) -> None:
        """``threshold`` is the score from which a look says fallen, where the options have none. With
        ``lying`` that is its probability instead of the detector's score.

        ``open_events`` were confirmed before a restart and have not ended: they go on, and no second event
        is made of them. What counts of them is their place.
        """
        self.camera = camera
        self.options = options
        self.zones = tuple(zones)
        self.threshold = threshold if options.threshold is None else options.threshold
        self.tracks: tuple[Track, ...] = ()
        self._follower = Follower(options.track)
        self._evidence: dict[int, Evidence] = {}
        self._open = [_Open(event, 0, event.box_px, 0.0) for event in open_events]
        self._ended: list[_Ended] = []
        self._ups: dict[int, deque[float]] = {}
        self.lying = lying
        self._courses = Courses()
        self._time_s: float | None = None
        self._watched_s = 0.0
        self._size_px: tuple[int, int] | None = None

    def look(
        self,
        detections: Detections,
        size_px: tuple[int, int],
        time_s: float | int,
        unix_s: float | int,
        changed: Float64[np.ndarray, " n"] | None = None,
    ) -> list[FallEvent]:
        """The events that this look confirms or ends, those that end first.

        ``detections`` from about the score FLOOR on, in any order, in a picture of ``size_px`` (width,
        height). A look at the time of the last one is no look; one that goes back begins afresh. ``changed``
        is the share of each box that is not as the picture has been (`falldet.events.changes`).
        """
        if self._time_s is not None and time_s == self._time_s:
            return []
        return self.decide(self._follower.look(detections, size_px, time_s, changed), size_px, time_s, unix_s)

    def decide(
        self, people: Sequence[Followed], size_px: tuple[int, int], time_s: float | int, unix_s: float | int
    ) -> list[FallEvent]:
        """The same for people who are followed already; times differ from look to look."""
        told = self._afresh(unix_s) if self._time_s is not None and time_s < self._time_s else []
        dt = 0.0 if self._time_s is None else time_s - self._time_s
        self._watched_s += dt if dt <= self.options.gap_s else 0.0
        self._time_s = time_s
        self._resize(size_px)
        forget_s = self.options.track.forget_s
        self._evidence = {k: e for k, e in self._evidence.items() if time_s - e.newest_s <= forget_s}
        self._ups = {k: n for k, n in self._ups.items() if k in self._evidence}
        self._courses.forget(but=self._evidence)
        said = self._said(people, size_px, float(time_s))
        seen = [
            self._weighed(one, *this, size_px, time_s, unix_s) for one, this in zip(people, said, strict=True)
        ]
        told += self._go_on(seen, unix_s)
        told += self._confirm(seen, unix_s)
        self._show(seen)
        return told

    def _said(
        self, people: Sequence[Followed], size_px: tuple[int, int], time_s: float
    ) -> list[tuple[float, float]]:
        """How much this look says fallen of each: as a score, and as how many times over that is enough."""
        if self.lying is not None:
            likely = self.lying.probability(self._courses.look(people, size_px, time_s))
            certain = [self._courses.certain_s(one.number) >= _CERTAIN_S for one in people]
            sure = [max(p, self.threshold) if c else p for p, c in zip(likely.tolist(), certain, strict=True)]
            return [(float(p), p / self.threshold) for p in sure]
        margin = self.options.margin
        return [
            (one.fallen, min(one.fallen / self.threshold, one.fallen / max(margin * one.other, 1e-9)))
            for one in people
        ]

    def _weighed(
        self,
        one: Followed,
        score: float,
        enough: float,
        size_px: tuple[int, int],
        time_s: float | int,
        unix_s: float | int,
    ) -> _Seen:
        """What this look says of somebody is added to what is known of them."""
        zone = zone_of(one.box_px, size_px, self.zones)
        enough = enough if zone is None else 0.0
        down, lying = enough >= 1.0, enough >= self.options.release
        up = not lying and (zone is not None or one.other > one.fallen)
        evidence = self._evidence.setdefault(one.number, Evidence(self.options))
        evidence.add(Look(time_s, unix_s, score, enough))
        ups = self._ups.setdefault(one.number, deque(maxlen=_UPS))
        if up:
            ups.append(self._watched_s)
        return _Seen(one.number, one.box_px, score, down, lying, up, None if zone is None else zone.name)

    def _go_on(self, seen: list[_Seen], unix_s: float | int) -> list[FallEvent]:
        """Open events: who still lies, who is up, who is gone."""
        told, now_s = [], self._watched_s
        for one in list(self._open):
            own = next((s for s in seen if s.track == one.track), None)
            # Perhaps under another number: whoever lies there is who fell there.
            there = [s for s in seen if s.lying and (s is own or self._may_be(s, one))]
            if there:
                down = max(there, key=lambda s: (s is own, s.score))
                one.event = replace(one.event, peak=max(one.event.peak, down.score))
                one.track, one.box_px, one.seen_s = down.track, down.box_px, now_s
                one.up_since_s, one.left = None, False
            elif own is not None and own.up:
                one.seen_s, one.left = now_s, one.left or not _same_box(own.box_px, one.box_px)
                one.up_since_s = now_s if one.up_since_s is None else one.up_since_s
                if now_s - one.up_since_s >= self.options.recovery_s:
                    told.append(self._end(one, "recovered", unix_s))
            elif now_s - one.seen_s >= self.options.lost_s:
                told.append(self._end(one, "lost", unix_s))
        return told

    def _confirm(self, seen: list[_Seen], unix_s: float | int) -> list[FallEvent]:
        """New events: enough looks at somebody whose fall nobody has been told of."""
        told, now_s = [], self._watched_s
        self._ended = [one for one in self._ended if now_s - one.at_s < self.options.cool_down_s]
        for one in seen:
            looks = self._evidence[one.track].confirmed()
            if looks is None:
                continue
            own = next((open_ for open_ in self._open if open_.track == one.track), None)
            if own is not None and self._was_up(one, own.since_s):  # up for a moment, and down again
                own.left = True
                told.append(self._end(own, "recovered", unix_s))
                own = None
            known = own is not None or any(self._may_be(one, open_) for open_ in self._open)
            cooling = any(_same_place(one.box_px, ended.box_px) for ended in self._ended)
            if known or cooling:
                continue
            onset, scores = looks[0].unix_s, [look.score for look in looks]
            event = FallEvent(
                event_id(self.camera, onset, unix_s, one.track), self.camera, one.track, onset, unix_s, None,
                sum(scores) / len(scores), max(scores), one.box_px, self._size_px or (0, 0), "confirmed",
            )  # fmt: skip
            lain_s = now_s - (looks[-1].time_s - looks[0].time_s)
            self._open.append(_Open(event, one.track, one.box_px, now_s, since_s=lain_s))
            told.append(event)
        return told

    def _may_be(self, one: _Seen, open_: _Open) -> bool:
        """Whether this may be whose event that is, or a part of them: there, and never seen up."""
        return not self._was_up(one, open_.since_s) and _same_place(one.box_px, open_.box_px)

    def _was_up(self, one: _Seen, since_s: float) -> bool:
        """Whether they were seen up under their number since then, so that they are nobody who lay there."""
        ups = self._ups[one.track]
        return len(ups) == _UPS and ups[0] >= since_s

    def _end(self, one: _Open, state: State, unix_s: float | int) -> FallEvent:
        self._open.remove(one)
        if not one.left:
            self._ended.append(_Ended(one.box_px, self._watched_s))
        if one.track in self._evidence:
            self._evidence[one.track].clear()
        return replace(one.event, state=state, ended_unix_s=unix_s)

    def _afresh(self, unix_s: float | int) -> list[FallEvent]:
        """The clock of the pictures began again: another recording, of which nothing is known."""
        told = [self._end(one, "lost", unix_s) for one in list(self._open)]
        self._evidence.clear()
        self._ended.clear()
        self._ups.clear()
        self._courses = Courses()
        return told

    def _resize(self, size_px: tuple[int, int]) -> None:
        """Places move with the size of the picture; those of a restart have their own."""
        for one in self._open:
            old = self._size_px or one.event.size_px
            if old != size_px:
                one.box_px = _scaled(one.box_px, old, size_px)
        if self._size_px is not None and self._size_px != size_px:
            for one in self._ended:
                one.box_px = _scaled(one.box_px, self._size_px, size_px)
        self._size_px = size_px

    def _show(self, seen: list[_Seen]) -> None:
        fallen = {one.track for one in self._open if one.up_since_s is None}
        tracks = []
        for one in seen:
            score = self._evidence[one.track].smooth
            if one.track in fallen:
                state = "fallen"
            elif one.zone is not None and one.score >= self.threshold:
                state = "ignored"
            else:
                state = "suspected" if one.down else "up"
            tracks.append(Track(one.track, one.box_px, score, state, one.zone))
        self.tracks = tuple(tracks)


def _same_place(a: Box, b: Box) -> bool:
    """Whether much of the smaller box is in the other: one of them may be a part of a person."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    least = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return width > 0 and height > 0 and width * height >= _SAME_PLACE * max(least, 1.0)


def _same_box(a: Box, b: Box) -> bool:
    """Whether one of them is where the other was, in the same posture."""
    return bool(iou(np.array([a]), np.array([b]))[0, 0] >= _SAME_BOX)


def _scaled(box: Box, old: tuple[int, int], new: tuple[int, int]) -> Box:
    across, down = new[0] / old[0], new[1] / old[1]
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down
