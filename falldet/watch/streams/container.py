"""Video files and cameras on the network, through FFmpeg's libraries (package av)."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from falldet.watch.clock import Clock
from falldet.watch.streams.address import host_of, with_login
from falldet.watch.streams.decoding import LazyDecoder, ToRgb
from falldet.watch.streams.feed import Feed, Looks, Lost, Picture, Refused
from falldet.watch.streams.health import Vitals
from falldet.watch.streams.lag import Effort, Lag
from falldet.watch.streams.options import CameraOptions
from falldet.watch.streams.pace import Pace
from falldet.watch.streams.snapshot import SnapshotFeed, is_snapshot
from suite.data.video import VideoReader

_PROTOCOLS = {  # what a playlist or a redirection may lead to: never to a file of this computer
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,crypto",
    "http": "http,https,tcp,tls,crypto",
    "https": "http,https,tcp,tls,crypto",
}
_SHORT_S = 1.0


class ContainerFeed:
    """An open stream of video; `file_feed` and `network_feed` open it.

    ``endless`` ones were lost where they end. What is ``paced`` (files, and HLS, which comes in bursts) is
    played at its own pace; of all others what comes is taken when it comes.
    """

    def __init__(
        self,
        container: Any,
        options: CameraOptions,
        clock: Clock,
        pace: Pace,
        vitals: Vitals,
        *,
        endless: bool,
        paced: bool,
    ) -> None:
        self.endless, self._paced = endless, paced
        self._container, self._stream = container, container.streams.video[0]
        self._options, self._clock, self._pace, self._vitals = options, clock, pace, vitals
        self._network = options.kind == "network"
        self._decoder = LazyDecoder(self._stream)
        self._rgb = ToRgb(options.rotate, options.longest_px)
        self._silent_s = options.timeouts.silent_s
        self._step_s = 1 / float(self._stream.average_rate or 25)
        self._start_s: float | None = None
        self._position_s = 0.0
        self._damaged = 0

    def pictures(self) -> Iterator[Picture]:
        looks, lag, effort = Looks(self._options.looks_per_s), Lag(), Effort()
        fruitless_s: float | None = None
        for packet, waited_s in self._packets():
            self._decoder.add(packet)
            real_s, stamp_s = time.monotonic(), self._stamp_s(packet)
            if not self._paced:
                time_s, late = self._clock.now_s(), lag.late(real_s, stamp_s, waited_s)
            else:
                time_s = self._pace.time_s(self._position_s)
                late = self._pace.late(time_s)
            if not looks.due(time_s, cheap=packet.is_keyframe):
                continue
            if late or (effort.keys_only(real_s) and not packet.is_keyframe):
                looks.taken(time_s)
                self._vitals.count(dropped=1)
                continue
            if self._paced and self._pace.wait(time_s):
                return
            begun_s = time.monotonic()
            frame = self._decoder.newest()
            self._tell_damage()
            if frame is not None:
                looks.taken(time_s)
                fruitless_s = None
                effort.spent(begun_s, time.monotonic())
                yield self._picture(frame, time_s)
                continue
            fruitless_s = begun_s if fruitless_s is None else fruitless_s
            if self.endless and begun_s - fruitless_s > self._silent_s:
                raise Lost(f"sends packets, but none became a picture for {self._silent_s:g} s")
        frame = self._decoder.newest(end=True)
        self._tell_damage()
        time_s = self._pace.time_s(self._position_s)
        if self._paced and frame is not None and looks.due(time_s) and not self._pace.wait(time_s):
            yield self._picture(frame, time_s)
        if self._paced:
            self._pace.ended(self._position_s + self._step_s)

    def close(self) -> None:
        self._container.close()

    def _packets(self) -> Iterator[tuple[Any, float]]:
        """Packets, and how long each was waited for, to the end. Raises Lost where a camera falls silent."""
        from av import time_base
        from av.error import FFmpegError

        packets = self._container.demux(self._stream)
        while True:
            if self.endless:
                self._vitals.heard(self._silent_s + 1)
            asked_s = time.monotonic()
            try:
                packet = next(packets, None)
            except FFmpegError as error:
                if not self._network:  # a file that was cut off
                    self._vitals.note("damaged", "the rest of the file cannot be read")
                    return
                raise _lost(error, f"no packet for {self._silent_s:g} s") from None
            if packet is None or packet.size == 0:
                whole_s = (self._container.duration or 0) / time_base
                if self._network and not self.endless and self._position_s < whole_s - _SHORT_S:
                    raise Lost(f"the connection ended after {self._position_s:.0f} of {whole_s:.0f} s")
                return
            if not packet.is_corrupt:
                yield packet, time.monotonic() - asked_s
            else:
                self._decoder.damaged += 1

    def _stamp_s(self, packet: Any) -> float | None:
        """What the packet is stamped with, if anything. The position only goes forward."""
        ticks = packet.pts if packet.dts is None else packet.dts
        if ticks is None or packet.time_base is None:
            self._position_s += self._step_s
            return None
        stamp_s = float(ticks * packet.time_base)
        start_s = stamp_s if self._start_s is None else self._start_s
        if stamp_s - start_s < self._position_s - _SHORT_S:  # parts that were put together begin anew
            start_s = stamp_s - self._position_s - self._step_s
        self._start_s = start_s
        self._position_s = max(self._position_s, stamp_s - start_s)
        return stamp_s

    def _picture(self, frame: Any, time_s: float) -> Picture:
        size_px = (frame.width, frame.height)
        return Picture(self._rgb(frame), time_s if self._paced else self._clock.now_s(), size_px)

    def _tell_damage(self) -> None:
        new, self._damaged = self._decoder.damaged - self._damaged, self._decoder.damaged
        if new:
            self._vitals.count(damaged=new)
            packets = "a packet" if self._damaged == 1 else f"{self._damaged} packets"
            self._vitals.note("damaged", f"{packets} could not be decoded since the stream was opened")


def file_feed(options: CameraOptions, clock: Clock, pace: Pace, vitals: Vitals) -> ContainerFeed:
    """A video file. Raises BadInput where it is none."""
    import av

    VideoReader(options.source).close()  # which says what is wrong with it
    container = av.open(f"file:{options.source}", options={"protocol_whitelist": "file"})
    return ContainerFeed(container, options, clock, pace, vitals, endless=False, paced=True)


def network_feed(
    options: CameraOptions, clock: Clock, pace: Pace, vitals: Vitals, stop: threading.Event
) -> Feed:
    """A camera at an address: a stream, a picture that is asked for again and again, or a video on a server.
    Raises Lost, Refused or BadInput."""
    container = _opened(options, stop)
    if is_snapshot(container):
        return SnapshotFeed(container, lambda: _opened(options, stop), options, clock, vitals, stop)
    # A video on a server has an end, and HLS comes in bursts: both are played at their pace.
    paced = not options.source.lower().startswith("rtsp") and (
        bool(container.duration) or container.format.name == "hls"
    )
    endless = not (paced and container.duration)
    return ContainerFeed(container, options, clock, pace, vitals, endless=endless, paced=paced)


def _opened(options: CameraOptions, stop: threading.Event) -> Any:
    """PyAV's container of the address. Raises Lost, Refused or BadInput."""
    import av
    from av.error import FFmpegError

    url = with_login(options.source, *options.login())
    scheme = url.partition("://")[0].lower()
    timeouts = options.timeouts
    settings = {
        "protocol_whitelist": _PROTOCOLS[scheme],
        "timeout": str(round(1e6 * timeouts.connect_s)),
        "tls_verify": str(int(options.check_certificate)),
        "fpsprobesize": "0",  # else opening takes a second more, to learn how many pictures come
    }
    if scheme.startswith("rtsp"):
        settings |= {"rtsp_transport": options.transport, "allowed_media_types": "video"}
    _find(host_of(url))
    if stop.is_set():
        raise Lost("stopped")
    asked_s = time.monotonic()
    try:
        container = av.open(url, options=settings, timeout=(timeouts.connect_s, timeouts.silent_s))
    except FFmpegError as error:
        waited = time.monotonic() - asked_s > 0.95 * timeouts.connect_s
        raise _lost(error, f"no answer within {timeouts.connect_s:g} s", waited) from None
    if not container.streams.video:
        container.close()
        raise Refused("sends no video")
    return container


def _find(host: str) -> None:
    """FFmpeg does not say that it is the name which nobody knows."""
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        raise Lost(f"the name {host} is not known: is it right, and the network up?") from None


def _lost(error: Any, silent: str, waited: bool = False) -> Lost:
    """What FFmpeg says, in a line without the address, which holds the login.

    Where it was ``waited`` for, what it makes of half an answer does not matter.
    """
    from av import error as said

    match error:
        case said.HTTPUnauthorizedError():
            return Refused("refused the user name or password (401)")
        case said.HTTPForbiddenError():
            return Refused("does not let this user see it (403)")
        case said.HTTPNotFoundError():
            return Refused("has nothing at this address (404)")
        case _ if waited or isinstance(error, (said.ExitError, said.TimeoutError)):
            return Lost(silent)
        case said.EOFError():
            return Lost("ended the connection")
        case said.InvalidDataError():
            return Lost("sends no video that can be read")
        case _:
            return Lost((error.strerror or "does not answer").lower())
