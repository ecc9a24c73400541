"""Packets in, the newest picture out, and as little decoded on the way as can be.

Packets wait undecoded until a look is due. A key frame needs nothing before it, so it sends all that waits
away: of a camera with a key frame a second and two looks a second, half of the pictures are never decoded,
and of one whose pictures are all key frames (MJPEG) only those that are looked at.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import UInt8

from falldet.watch.streams.pixels import turned

_MOST = 600  # packets that may wait: 24 s at 25 pictures/s
_PATIENCE = 50  # packets after which pictures that no other needs are decoded too


class LazyDecoder:
    """Decodes one video stream of PyAV with one thread. ``damaged`` counts what could not be decoded."""

    def __init__(self, stream: Any) -> None:
        self.damaged = 0
        self.decoded = 0
        self._context = stream.codec_context
        self._context.thread_count = 1  # threads would hold back as many pictures as they are
        self._context.thread_type = "NONE"
        self._context.skip_frame = "NONREF"  # no other picture needs these (B-frames)
        self._waiting: list[Any] = []
        self._restart = True  # the first that waits is a key frame
        self._broken = True  # nothing can be decoded before the next key frame
        self._fruitless = 0
        self._key_pts: int | None = None  # of a key frame that may come in two halves

    def add(self, packet: Any) -> None:
        """A packet in its order."""
        if packet.is_keyframe and (packet.pts is None or packet.pts != self._key_pts):
            self._waiting, self._restart, self._broken = [packet], True, False
            self._key_pts = packet.pts
        elif not self._broken:
            self._waiting.append(packet)
            if len(self._waiting) > _MOST:
                self._waiting, self._broken = [], True

    def newest(self, *, end: bool = False) -> Any:
        """The newest picture that can be had now, None where it needs later packets; ``end``: there are none.

        Pictures that the decoder knows to be damaged are left out.
        """
        frames: list[Any] = []
        if self._waiting and self._restart:
            self._context.flush_buffers()
            self._restart = False
        for packet in self._waiting:
            frames = self._decode(packet) or frames
        self._fruitless = 0 if frames else self._fruitless + len(self._waiting)
        if self._fruitless > _PATIENCE:
            self._context.skip_frame = "DEFAULT"
        self._waiting = []
        if end and not self._broken:
            frames = self._decode(None) or frames
            self._broken = True
        return frames[-1] if frames else None

    def _decode(self, packet: Any) -> list[Any]:
        from av.error import FFmpegError

        try:
            frames = self._context.decode(packet)
        except FFmpegError:
            self.damaged += 1
            return []
        self.decoded += len(frames)
        whole = [frame for frame in frames if not frame.is_corrupt]
        self.damaged += len(frames) - len(whole)
        return whole


class ToRgb:
    """Frames of PyAV as pixels: upright, turned clockwise by ``turn_deg``, at most ``longest_px`` long."""

    def __init__(self, turn_deg: int, longest_px: int) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # keeps its tables as long as the size stays
        self._turn_deg, self._longest_px = turn_deg, longest_px

    def __call__(self, frame: Any) -> UInt8[np.ndarray, "h w 3"]:
        share = min(1.0, self._longest_px / max(frame.width, frame.height))
        size = (max(1, round(frame.width * share)), max(1, round(frame.height * share)))
        quality = "AREA" if share < 1 else "BILINEAR"
        rgb = self._reformatter.reformat(frame, *size, format="rgb24", interpolation=quality, threads=1)
        # FFmpeg's rotation of a frame is counter-clockwise, as np.rot90 turns.
        return turned(rgb.to_ndarray(), self._turn_deg - round(frame.rotation))
