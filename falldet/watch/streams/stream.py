"""A camera as the watch sees it: read this first.

A thread opens the source, keeps the newest picture of it, and when the source is lost waits and opens it
again. Whatever happens there, others only see the health of this camera.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

from falldet.watch.clock import Clock, RealClock
from falldet.watch.streams.backoff import Backoff
from falldet.watch.streams.container import file_feed, network_feed
from falldet.watch.streams.feed import Feed, Lost, Picture, Refused
from falldet.watch.streams.health import StreamHealth, Vitals
from falldet.watch.streams.options import CameraOptions
from falldet.watch.streams.pace import Pace
from falldet.watch.streams.shot import LatestShot, Shot
from falldet.watch.streams.stills import folder_feed, recording_feed
from falldet.watch.streams.webcam import Capture, WebcamFeed
from suite.errors import SuiteError

_JUMP_S = 2.0


class CameraStream:
    """One camera. ``start`` it, ask for the ``latest`` shot, look at its ``health``, ``stop`` it.

    ``arrived`` is set with every shot and with every new state, so that one event serves many cameras;
    ``tell`` is called with every new state and note of the camera, in its thread. ``opener`` opens webcams.
    """

    def __init__(
        self,
        options: CameraOptions,
        clock: Clock | None = None,
        *,
        arrived: threading.Event | None = None,
        tell: Callable[[str, StreamHealth], None] | None = None,
        opener: Callable[[int], Capture] | None = None,
    ) -> None:
        self.options = options
        self._clock = clock or RealClock()
        self._arrived = arrived or threading.Event()
        self._opener = opener
        self._stop = threading.Event()
        self._vitals = Vitals(self._clock, options.hide, self._teller(tell))
        self._pace = Pace(self._clock, self._stop)
        self._backoff = Backoff(options.retry)
        self._slot = LatestShot()
        self._number = 0
        self._wall_ahead_s: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"camera {options.name}", daemon=True)

    @property
    def name(self) -> str:
        return self.options.name

    @property
    def health(self) -> StreamHealth:
        return self._vitals.health()

    def start(self) -> None:
        """Once only."""
        self._thread.start()

    def stop(self, within_s: float | int = 3) -> bool:
        """Let go of the camera. Whether its thread ended in that time; it gives nothing more in any case."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(within_s)
        return not self._thread.is_alive()

    def latest(self, after: int = 0) -> Shot | None:
        """The newest shot, where its number is above ``after``."""
        return self._slot.newer(after)

    def _run(self) -> None:
        wait_s: float | None = 0.0
        while wait_s is not None and not self._clock.wait(wait_s, self._stop):
            wait_s = self._session()

    def _session(self) -> float | None:
        """Open the source and read it to its end. How long to wait before the next time; None: no more."""
        opened_s, shots = self._clock.now_s(), self._number
        try:
            with closing(self._open()) as feed:
                for picture in feed.pictures():
                    if self._stop.is_set():
                        return None
                    self._publish(picture)
                endless = feed.endless
            if self._stop.is_set():
                return None
            if endless:
                raise Lost("ended the connection")
            if not self._number:
                self._vitals.enter("failed", "holds no picture that can be read")
                return None
            if self.options.repeat:
                return 0.0
            self._vitals.enter("ended", "all of it was played")
            return None
        except Refused as error:
            self._vitals.enter("failed", str(error))
            return self._backoff.refused_s()
        except Lost as error:
            why = str(error)
        except SuiteError as error:  # a file that is not there, an environment variable that is not set
            self._vitals.enter("failed", str(error))
            return None
        except Exception as error:  # one camera's trouble, whatever it is, stays its own
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if self._stop.is_set():
            return None
        if self._number > shots and self._clock.now_s() - opened_s >= self.options.retry.steady_s:
            self._backoff.steady()
        wait_s = self._backoff.next_s()
        self._vitals.enter("reconnecting", why)
        return wait_s

    def _open(self) -> Feed:
        options, clock, pace, vitals = self.options, self._clock, self._pace, self._vitals
        match options.kind:
            case "network":
                return network_feed(options, clock, pace, vitals, self._stop)
            case "webcam":
                return WebcamFeed(options, clock, self._stop, vitals, self._opener)
            case "recording":
                return recording_feed(options, clock, pace, vitals)
            case "folder":
                return folder_feed(options, clock, pace, vitals)
            case "file":
                return file_feed(options, clock, pace, vitals)

    def _publish(self, picture: Picture) -> None:
        now_s, unix_s = self._clock.now_s(), self._clock.unix_s()
        self._number += 1
        shot = Shot(self.name, picture.rgb, self._number, picture.time_s, unix_s)
        back = self._number > 1 and self._vitals.health().state != "live"
        self._vitals.resized(picture.sent_px)
        self._vitals.count(shots=1, dropped=int(self._slot.put(shot)), reconnects=int(back))
        self._vitals.enter("live")
        ahead_s, before_s = unix_s - now_s, self._wall_ahead_s
        if before_s is not None and abs(ahead_s - before_s) > _JUMP_S:
            self._vitals.note("clock", f"the clock on the wall jumped by {ahead_s - before_s:+.0f} s")
        self._wall_ahead_s = ahead_s
        self._arrived.set()

    def _teller(self, tell: Callable[[str, StreamHealth], None] | None) -> Callable[[StreamHealth], None]:
        def hear(health: StreamHealth) -> None:
            self._arrived.set()
            if tell is not None:
                tell(self.name, health)

        return hear
