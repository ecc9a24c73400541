"""People who fall by the clock, before cameras that are pictures of nothing, seen by a model that is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from falldet.detections import Detections
from falldet.watch.streams.health import StreamHealth
from falldet.watch.streams.options import CameraOptions
from falldet.watch.streams.shot import Shot

CYCLE_S, DOWN_S, UP_S = 100.0, 20.0, 50.0  # everybody falls 20 s into a cycle and is up again at 50 s
LOOKS_PER_S = 2.0
START_UNIX_S = 1_790_000_000.0


def cycle_at(camera: str, time_s: float) -> tuple[int, float]:
    """The cycle of a camera named `room 3`, and how long it has gone on: not all fall at once."""
    cycle, within_s = divmod(time_s - 7.0 * int(camera.rpartition(" ")[2]), CYCLE_S)
    return int(cycle), within_s


@dataclass
class Card:
    threshold: float = 0.5


class ScriptedModel:
    """Sees what the script has written into the first pixel: one person, fallen or not."""

    card = Card()

    def detect(self, pictures: Sequence[np.ndarray]) -> list[Detections]:
        return [self._person(int(rgb[0, 0, 0])) for rgb in pictures]

    def _person(self, down: int) -> Detections:
        box = [20.0, 40.0, 80.0, 64.0] if down else [40.0, 8.0, 60.0, 64.0]
        return Detections(
            np.array([box], np.float32), np.array([0.9], np.float32), np.array([0 if down else 1], np.int64)
        )


class PatientClock:
    """``speed`` times as fast as ours, but it waits for cameras nobody has looked at."""

    def __init__(self, speed: float) -> None:
        self.speed, self._now_s, self._real_s = speed, 0.0, time.monotonic()
        self.taken_s: dict[str, float] = {}
        """By camera, the time of its latest look; the clock goes no further than a little past the next."""
        self._lock = threading.Lock()

    def now_s(self) -> float:
        with self._lock:
            real_s = time.monotonic()
            raw_s = self._now_s + (real_s - self._real_s) * self.speed
            horizon_s = min(self.taken_s.values(), default=0.0) + 1.2 / LOOKS_PER_S
            self._real_s, self._now_s = real_s, max(self._now_s, min(raw_s, horizon_s))
            return self._now_s

    def unix_s(self) -> float:
        return START_UNIX_S + self.now_s()

    def wait(self, seconds: float | int, until: threading.Event | None = None) -> bool:
        end_s = self.now_s() + seconds
        while (left_s := end_s - self.now_s()) > 0:
            pause_s = min(max(left_s / self.speed, 0.001), 0.05)
            if until is None:
                time.sleep(pause_s)
            elif until.wait(pause_s):
                return True
        return until is not None and until.is_set()


class ScriptedStream:
    """A camera with one person before it who falls once a cycle, until ``quiet_s``. ``shown`` notes for each
    cycle the times of the first and the last look at the fallen person."""

    def __init__(
        self,
        options: CameraOptions,
        clock: PatientClock,
        quiet_s: float,
        shown: dict[tuple[str, int], list[float]],
    ) -> None:
        self.options, self._clock, self._quiet_s, self._shown = options, clock, quiet_s, shown
        clock.taken_s.setdefault(options.name, 0.0)
        self._ground = np.random.default_rng(1).integers(60, 120, (72, 96, 3), np.uint8)

    @property
    def health(self) -> StreamHealth:
        return StreamHealth("live", "", 0.0, size_px=(96, 72))

    def start(self) -> None:
        pass

    def stop(self, within_s: float | int = 3) -> bool:
        return True

    def latest(self, after: int = 0) -> Shot | None:
        number = int(self._clock.now_s() * LOOKS_PER_S) + 1
        if number <= after:
            return None
        time_s = self._clock.taken_s[self.options.name] = (number - 1) / LOOKS_PER_S
        cycle, within_s = cycle_at(self.options.name, time_s)
        down = DOWN_S <= within_s < UP_S and time_s < self._quiet_s and cycle >= 0
        if down:
            times_s = self._shown.setdefault((self.options.name, cycle), [time_s, time_s])
            times_s[1] = time_s
        rgb = self._ground.copy()
        rgb[0, 0] = 255 if down else 0
        return Shot(self.options.name, rgb, number, time_s, START_UNIX_S + time_s)
