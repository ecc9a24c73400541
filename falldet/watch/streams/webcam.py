"""A camera of this computer. Pictures that nobody looks at are taken from the driver, but not decoded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

from falldet.watch.clock import Clock
from falldet.watch.streams.feed import Looks, Lost, Picture
from falldet.watch.streams.health import Vitals
from falldet.watch.streams.options import CameraOptions
from falldet.watch.streams.pixels import fitted


@runtime_checkable
class Capture(Protocol):
    """The part of ``cv2.VideoCapture`` that is used."""

    def isOpened(self) -> bool: ...
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


class WebcamFeed:
    """The camera of that number. Raises Lost where there is none: it may be plugged in later."""

    endless = True

    def __init__(
        self,
        options: CameraOptions,
        clock: Clock,
        stop: threading.Event,
        vitals: Vitals,
        opener: Callable[[int], Capture] | None = None,
    ) -> None:
        self._options, self._clock, self._stop, self._vitals = options, clock, stop, vitals
        self._capture = (opener or _opened)(int(options.source))
        if not self._capture.isOpened():
            self._capture.release()
            raise Lost("cannot be opened: no such camera, or another program uses it")

    def pictures(self) -> Iterator[Picture]:
        looks = Looks(self._options.looks_per_s)
        while not self._stop.is_set():
            self._vitals.heard(self._options.timeouts.silent_s)
            if not self._capture.grab():
                raise Lost("gave no more pictures: was it unplugged?")
            time_s = self._clock.now_s()
            if not looks.due(time_s):
                continue
            good, bgr = self._capture.retrieve()
            if not good:
                self._vitals.count(damaged=1)
                self._vitals.note("damaged", "a picture could not be decoded")
                continue
            looks.taken(time_s)
            size = (bgr.shape[1], bgr.shape[0])
            rgb = np.ascontiguousarray(bgr[..., ::-1])
            yield Picture(fitted(rgb, self._options.longest_px, self._options.rotate), time_s, size)

    def close(self) -> None:
        self._capture.release()


def _opened(index: int) -> Capture:
    import cv2

    cv2.utils.logging.setLogLevel(0)  # what is wrong is said in one line, not in OpenCV's many
    return cv2.VideoCapture(index)  # type: ignore[return-value]
