"""Cameras that give every picture of a list, one a look, so that tests depend on no machine's speed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bright_boxes import scene

from falldet.events.event import FallEvent
from falldet.watch.camera import Stream
from falldet.watch.clock import RealClock
from falldet.watch.config import WatchConfig
from falldet.watch.streams.health import StreamHealth
from falldet.watch.streams.options import CameraOptions
from falldet.watch.streams.shot import Shot
from falldet.watch.watch import Watch

UP, DOWN = (40, 10, 52, 60), (30, 50, 70, 64)
START_UNIX_S = 1_760_000_000.0
Act = tuple[float, "tuple[int, int, int, int] | None"]


def pictures(*acts: Act, looks_per_s: float = 2.0) -> Iterator[np.ndarray]:
    """So many seconds of a figure with this box, or of nobody, in pictures of 96 x 72 px."""
    for seconds, box in acts:
        for _ in range(round(seconds * looks_per_s)):
            yield scene(box)


class ScriptClock(RealClock):
    """Shows the time of the newest picture of all scripts; its threads wait in real time."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def now_s(self) -> float:
        return self.time_s

    def unix_s(self) -> float:
        return START_UNIX_S + self.time_s


@dataclass
class Scripted:
    """A stream: a picture for each time it is asked, ``step_s`` apart; then it has ended, or as ``state``
    says."""

    options: CameraOptions
    script: Iterable[np.ndarray]
    clock: ScriptClock
    state: Any = "ended"
    step_s: float = 0.5
    start_s: float = 100.0
    stopped: bool = False
    _shot: Shot | None = None
    _done: bool = False
    _script: Iterator[np.ndarray] | None = field(default=None, repr=False)

    @property
    def health(self) -> StreamHealth:
        return StreamHealth(self.state if self._done else "live", "", 0.0)

    def start(self) -> None:
        self._script = iter(self.script)

    def stop(self, within_s: float | int = 3) -> bool:
        self.stopped = True
        return True

    def latest(self, after: int = 0) -> Shot | None:
        assert self._script is not None
        if self._shot is None or self._shot.number <= after:
            rgb = next(self._script, None)
            if rgb is None:
                self._done = True
                return None
            number = after + 1
            time_s = self.start_s + number * self.step_s
            self.clock.time_s = max(self.clock.time_s, time_s)
            self._shot = Shot(self.options.name, rgb, number, time_s, START_UNIX_S + time_s)
        return self._shot


class Heard:
    """A target that acknowledges all, and notes it."""

    name = "heard"

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)

    def close(self) -> None:
        pass


def config_of(folder: Path, *names: str, **more: Any) -> WatchConfig:
    """Cameras of these names, for streams that are scripted."""
    cameras = [{"name": name, "source": f"{name}.mp4"} for name in names]
    return WatchConfig.model_validate({"cameras": cameras, "folder": folder} | more)


def watch_of(
    config: WatchConfig, model: Any, scripts: dict[str, Any], **more: Any
) -> tuple[Watch, list[FallEvent]]:
    """A watch over scripts (pictures, or a stream), and what it will tell."""
    told: list[FallEvent] = []
    clock = ScriptClock()

    def open_stream(options: CameraOptions) -> Stream:
        script = scripts[options.name]
        if isinstance(script, Iterable):
            return Scripted(options, script, clock)
        return script(options, clock)

    return Watch(config, model, clock=clock, tell=told.append, streams=open_stream, **more), told


def play(watch: Watch, most_looks: int = 10_000) -> None:
    """Until all scripts have ended, or after so many turns."""
    turns = iter(range(most_looks * (len(watch.cameras) + 1)))
    watch.start()
    watch.run(lambda: next(turns, None) is None)
