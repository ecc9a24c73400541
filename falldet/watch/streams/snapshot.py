"""Cameras whose address gives one picture at a time (a snapshot URL): asked anew for every look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from falldet.watch.clock import Clock
from falldet.watch.streams.decoding import ToRgb
from falldet.watch.streams.feed import Looks, Lost, Picture, Refused
from falldet.watch.streams.health import Vitals
from falldet.watch.streams.options import CameraOptions


def is_snapshot(container: Any) -> bool:
    """Whether what PyAV opened is a single picture (FFmpeg's jpeg_pipe, png_pipe ...) and no video."""
    return str(container.format.name).endswith("_pipe") or container.format.name == "image2"


class SnapshotFeed:
    """Opens the address once for each look; ``opened`` is the container of the first.

    ``ask`` opens it again and raises Lost or Refused. A picture that does not come, or cannot be decoded, is
    noted; the camera is lost where none came for the time it may be silent.
    """

    endless = True

    def __init__(
        self,
        opened: Any,
        ask: Callable[[], Any],
        options: CameraOptions,
        clock: Clock,
        vitals: Vitals,
        stop: threading.Event,
    ) -> None:
        self._opened: Any = opened
        self._ask, self._options = ask, options
        self._clock, self._vitals, self._stop = clock, vitals, stop
        self._rgb = ToRgb(options.rotate, options.longest_px)

    def pictures(self) -> Iterator[Picture]:
        silent_s = self._options.timeouts.silent_s
        period_s = Looks(self._options.looks_per_s).period_s
        heard_s = time.monotonic()
        # An answer may take as long as a connection may; only then is the camera said to be silent.
        patient_s = silent_s + self._options.timeouts.connect_s + period_s
        while not self._stop.is_set():
            self._vitals.heard(patient_s)
            due_s = self._clock.now_s() + period_s
            try:
                picture = self._look()
            except Refused:
                raise
            except Lost as error:
                if time.monotonic() - heard_s > silent_s:
                    raise
                self._vitals.count(damaged=1)
                self._vitals.note("damaged", f"a picture did not come: {error}")
            else:
                heard_s = time.monotonic()
                yield picture
            if self._clock.wait(max(0.0, due_s - self._clock.now_s()), self._stop):
                return

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _look(self) -> Picture:
        """The picture as it is now."""
        from av.error import FFmpegError

        if self._opened is None:
            self._opened = self._ask()
        try:
            if not is_snapshot(self._opened):
                raise Lost("gave single pictures, and gives something else now")
            frame = next(self._opened.decode(video=0), None)
        except FFmpegError:
            raise Lost("the picture cannot be decoded") from None
        finally:
            self.close()
        if frame is None:
            raise Lost("the picture is empty")
        return Picture(self._rgb(frame), self._clock.now_s(), (frame.width, frame.height))
