"""One camera of a watch: its stream, who is followed in it, its zones, its clips, its open events."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

from falldet.detections import Detections
from falldet.events.changes import Changes
from falldet.events.event import FallEvent
from falldet.events.watcher import Watcher
from falldet.watch.clips import ClipKeeper
from falldet.watch.health import Counts
from falldet.watch.page.view import Look, Person
from falldet.watch.streams.health import StreamHealth
from falldet.watch.streams.options import CameraOptions
from falldet.watch.streams.shot import Shot
from falldet.watch.zones_file import Zones


@runtime_checkable
class Stream(Protocol):
    """What a watch needs of `falldet.watch.streams.stream.CameraStream`."""

    @property
    def options(self) -> CameraOptions: ...
    @property
    def health(self) -> StreamHealth: ...
    def start(self) -> None: ...
    def stop(self, within_s: float | int = 3) -> bool: ...
    def latest(self, after: int = 0) -> Shot | None: ...


class WatchedCamera:
    """What the watch's one thread does with a camera; ``newest``, ``health`` and ``counts`` may be read
    by others.

    ``fixed`` zones stand in the configuration, ``drawn`` ones come from the page.
    """

    def __init__(
        self, stream: Stream, watcher: Watcher, keeper: ClipKeeper | None, fixed: Zones, drawn: Zones
    ) -> None:
        self.name = stream.options.name
        self.stream, self.keeper = stream, keeper
        self.newest: Look | None = None
        self.fixed, self.drawn = fixed, drawn
        self.counts = Counts()
        self.faults = 0
        self.fault = ""
        """Why the newest picture could not be looked at; empty where it could."""
        self._watcher = watcher
        self._changes = Changes() if watcher.lying is not None else None
        self._seen = 0
        self._open: dict[str, FallEvent] = {}
        self.draw(drawn)

    @property
    def threshold(self) -> float:
        return self._watcher.threshold

    @property
    def over(self) -> bool:
        """Whether no more pictures will come, and all that came were looked at."""
        health = self.stream.health
        live = self.stream.options.kind in ("network", "webcam")  # which are asked again
        dead = health.state == "ended" or (health.state == "failed" and not live)
        return dead and self.stream.latest(self._seen) is None

    def draw(self, zones: Zones) -> None:
        """Other zones of the page, from the next look on."""
        self.drawn = zones
        self._watcher.zones = (*self.fixed, *zones)

    def go_on(self, events: list[FallEvent]) -> None:
        """Events that were open when an earlier watch ended."""
        self._open.update((event.id, event) for event in events)

    def next_shot(self) -> Shot | None:
        """The newest picture that was not looked at yet."""
        shot = self.stream.latest(self._seen)
        if shot is not None:
            self._seen = shot.number
        return shot

    def look(self, shot: Shot, detections: Detections) -> list[FallEvent]:
        """What this picture confirms or ends."""
        changed = None
        if self._changes is not None:
            self._changes.look(shot.rgb, shot.time_s)
            changed = self._changes.within(detections.boxes_px)
        told = self._watcher.look(detections, shot.size_px, shot.time_s, shot.unix_s, changed)
        for event in told:
            self._count(event)
            if event.state == "confirmed":
                self._open[event.id] = event
            else:
                self._open.pop(event.id, None)
        people = tuple(
            Person(track.id, track.box_px, track.score, track.state) for track in self._watcher.tracks
        )
        doubtful = tuple(tuple(box) for box in detections.boxes_px.tolist())
        self.newest = Look(shot.number, shot.rgb, shot.unix_s, people, doubtful)
        self.counts.looks += 1
        self.counts.newest_look_s = shot.time_s
        self.fault = ""
        return told

    def film(self, shot: Shot, detections: Detections, told: list[FallEvent]) -> None:
        """Keep the picture, and begin a clip of what it confirms."""
        if self.keeper is not None:
            self.keeper.keep(shot, detections.boxes_px)
            for event in told:
                if event.state == "confirmed":
                    self.keeper.start(event)

    def give_up(self, unix_s: float) -> list[FallEvent]:
        """The ends of what was open, where nobody will ever see how it went on."""
        lost = [replace(event, state="lost", ended_unix_s=unix_s) for event in self._open.values()]
        self._open.clear()
        for event in lost:
            self._count(event)
        return lost

    def failed(self, error: Exception) -> None:
        """A picture could not be looked at."""
        self.faults += 1
        self.fault = f"{type(error).__name__}: {error}"

    @property
    def health(self) -> StreamHealth:
        """Of the camera, and of looking at what it gives."""
        health = self.stream.health
        if self.fault and health.state == "live":
            return replace(health, state="failed", why=f"pictures cannot be looked at ({self.fault})")
        return health

    def _count(self, event: FallEvent) -> None:
        self.counts.events[event.state] = self.counts.events.get(event.state, 0) + 1
