"""Cameras -> one detector -> who is followed in each -> events -> store -> deliveries and clips: read `run`.

One thread looks, at the newest picture of each camera in turn, so that a machine that is too slow looks less
often and never later. Whatever happens with one camera, target, clip or disk is told, and the rest goes on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from falldet.detections import Detecting
from falldet.events.event import FallEvent
from falldet.events.thresholds import decision
from falldet.events.watcher import FLOOR, Watcher
from falldet.watch.camera import Stream, WatchedCamera
from falldet.watch.clips import ClipKeeper, ClipWriter, clip_name
from falldet.watch.clock import Clock, RealClock
from falldet.watch.config import WatchConfig
from falldet.watch.deliver.build import build_targets
from falldet.watch.deliver.outbox import Outbox
from falldet.watch.deliver.target import Target
from falldet.watch.health import health_of
from falldet.watch.log import Say, silent
from falldet.watch.retention import Sweeper
from falldet.watch.store import Store
from falldet.watch.streams.health import StreamHealth
from falldet.watch.streams.options import CameraOptions
from falldet.watch.streams.stream import CameraStream
from falldet.watch.zones_file import Zones, ZonesFile

EVENTS, CLIPS, ZONES = "events.sqlite", "clips", "zones.json"
_WAIT_S = 0.2
_LAST_S = 3.0


class Watch:
    """A watch over ``config``'s cameras with ``model``: `start`, `run` until it is to end, `stop`.

    ``tell`` hears of every confirmed and ended event. ``targets`` and ``streams`` stand in for those that the
    configuration names. Raises BadInput for what is wrong from the start: a variable that is not set, a
    folder that cannot be written, a damaged zones file.
    """

    def __init__(
        self,
        config: WatchConfig,
        model: Detecting,
        *,
        clock: Clock | None = None,
        say: Say = silent,
        tell: Callable[[FallEvent], None] | None = None,
        targets: Sequence[Target] | None = None,
        streams: Callable[[CameraOptions], Stream] | None = None,
    ) -> None:
        self.config, self.clock = config, clock or RealClock()
        self._model, self._say, self._tell = model, say, tell
        for camera in config.cameras:
            camera.login()  # a word of it that is missing is told now and not in the night
        targets = build_targets(config.targets) if targets is None else targets
        self.zones = ZonesFile(config.folder / ZONES)
        self.store = Store(config.folder / EVENTS, [target.name for target in targets], say=say)
        self.outbox = Outbox(self.store, targets, self.clock, options=config.retry, say=say)
        self.arrived = threading.Event()
        self._began_s = self.clock.now_s()
        self.films = ClipWriter(config.folder / CLIPS, self.clock, say)
        self.sweeper = Sweeper(self.store, self.films.folder, self.clock, config.retention, say)
        self._changes = 0
        self.ages_s: deque[float] = deque(maxlen=1000)
        """Of the newest looks: how old their pictures were."""
        streams = streams or self._stream
        left_open = self.store.open_events()
        self.cameras = {options.name: self._camera(streams(options), left_open) for options in config.cameras}
        self._turns = deque(self.cameras.values())
        self._end_orphans(left_open)

    def start(self) -> None:
        """Open the cameras and begin to deliver what is still owed."""
        self.outbox.start()
        self.films.start()
        self.sweeper.start()
        for camera in self.cameras.values():
            camera.stream.start()

    def run(self, ended: Callable[[], bool]) -> None:
        """Look until ``ended`` says so, or until no camera will give anything more."""
        told_s = self.clock.now_s()
        while not ended():
            self.arrived.clear()
            looked = False
            for _ in range(len(self._turns)):
                if ended():
                    break
                self._turns.rotate(-1)
                looked |= self._look(self._turns[-1])
            for camera in self.cameras.values():
                self._tend(camera)
            if self.clock.now_s() - told_s >= self.config.line_s:
                told_s = self.clock.now_s()
                self._say("health", line=self.health()["line"])
            if looked:
                continue
            if all(camera.over for camera in self.cameras.values()):
                break
            self.arrived.wait(_WAIT_S)

    def stop(self) -> dict[str, Any]:
        """Let go of everything in good order; what nobody acknowledges at once stays in the store. The health
        at the end."""
        for camera in self.cameras.values():
            self._tend(camera)
            camera.stream.stop(0)
        for camera in self.cameras.values():
            if not camera.stream.stop():
                self._say("camera_hangs", camera=camera.name)
            if camera.keeper is not None:
                camera.keeper.close()
        self.films.stop()
        self.sweeper.stop()
        self._deliver_last()
        health = self.health()
        self.outbox.stop()
        self.store.close()
        return health

    @property
    def changes(self) -> int:
        """Grows with every change of events, clips or zones."""
        return self._changes + self.films.written

    def health(self) -> dict[str, Any]:
        """Of everything, as `falldet.watch.health.health_of` gives it."""
        cameras = self.cameras
        return health_of(
            {name: camera.health for name, camera in cameras.items()},
            {name: camera.counts for name, camera in cameras.items()},
            self.outbox.health(),
            self.store,
            self.films if self.config.clips.enabled else None,
            now_s=self.clock.now_s(),
            started_s=self._began_s,
        )

    def draw(self, camera: str, zones: Zones) -> None:
        """Save other zones of a camera, and use them from the next look on."""
        self.zones.put(camera, zones)
        self.cameras[camera].draw(zones)
        self._changes += 1
        self._say("zones_drawn", camera=camera, zones=len(zones))

    def _look(self, camera: WatchedCamera) -> bool:
        """Look at the camera's newest picture; whether there was one."""
        shot = camera.next_shot()
        if shot is None:
            return False
        try:
            began_s = time.perf_counter()
            detections = self._model.detect([shot.rgb])[0].above(FLOOR)
            camera.counts.look_cpu_s += time.perf_counter() - began_s
            self.ages_s.append(self.clock.now_s() - shot.time_s)
            told = camera.look(shot, detections)
            for event in told:  # first of all, whatever becomes of the clip
                self._happened(event)
            camera.film(shot, detections, told)
        except Exception as error:  # of one picture; the next may be another
            camera.failed(error)
            if camera.faults & (camera.faults - 1) == 0:  # the 1st, 2nd, 4th, 8th ...
                self._say("look_failed", camera=camera.name, why=camera.fault, faults=camera.faults)
        return True

    def _tend(self, camera: WatchedCamera) -> None:
        """What is to be done without a picture too."""
        if camera.keeper is not None:
            camera.keeper.tend(self.clock.now_s())
        if camera.over:  # a recording that was played: nobody will see how it goes on
            for event in camera.give_up(self.clock.unix_s()):
                self._happened(event)

    def _deliver_last(self) -> None:
        """Give targets that answer a moment for what they have not been told yet."""
        until_s = time.monotonic() + _LAST_S
        while time.monotonic() < until_s:
            if not any(one.waiting and one.why is None for one in self.outbox.health().values()):
                return
            time.sleep(0.05)

    def _happened(self, event: FallEvent) -> None:
        """Recorded, safely, before anything else is done with it; then told."""
        self.store.record(event, {"clip": clip_name(event.id)} if self.config.clips.enabled else None)
        self.outbox.wake()
        self._changes += 1
        certainty = round(event.confidence, 3)
        self._say("fall", camera=event.camera, id=event.id, state=event.state, confidence=certainty)
        if self._tell is not None:
            self._tell(event)

    def _stream(self, options: CameraOptions) -> Stream:
        return CameraStream(options, self.clock, arrived=self.arrived, tell=self._camera_is)

    def _camera(self, stream: Stream, left_open: Sequence[FallEvent]) -> WatchedCamera:
        options = stream.options
        own = [event for event in left_open if event.camera == options.name]
        how = decision(self.config.events, self.config.model, self._model.card)
        watcher = Watcher(options.name, how.options, (), how.threshold, own, how.lying)
        keeper = ClipKeeper(self.config.clips, self.films, self._say) if self.config.clips.enabled else None
        camera = WatchedCamera(stream, watcher, keeper, options.zones, self.zones.of(options.name))
        camera.go_on(own)
        return camera

    def _end_orphans(self, left_open: Sequence[FallEvent]) -> None:
        """Events of cameras that are watched no more: they would be open for ever."""
        for event in left_open:
            if event.camera not in self.cameras:
                self._happened(replace(event, state="lost", ended_unix_s=self.clock.unix_s()))

    def _camera_is(self, camera: str, health: StreamHealth) -> None:
        self._say("camera", camera=camera, state=health.state, why=health.why)
