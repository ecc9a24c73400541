"""Video files in and out: pictures as a person sees them, each with its own time.

Reading and writing go through FFmpeg's libraries (package av), which are imported when a file is opened.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from suite.errors import BackendUnavailable, BadInput

if TYPE_CHECKING:
    from types import ModuleType

    from av.container import InputContainer

_TICKS_HZ = 60_000  # whole for 24, 25, 30, 50, 60 and n/1001 frames/s; MPEG-4 part 2 allows at most 65535
_SHORT_S = 1.0  # a video that ends this much before its container says was cut off
_NOT_VIDEO = ("tty", "subviewer", "srt", "webvtt", "ass")  # what FFmpeg makes of text


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One picture of a video: ``number`` counts from 0, ``time_s`` since the first frame."""

    rgb: UInt8[np.ndarray, "h w 3"]
    number: int
    time_s: float


class VideoReader:
    """A video file that has been opened; close it, or use it as a context manager.

    ``rate_hz`` (the mean), ``duration_s`` and ``count`` are what the container says, None where it does not;
    ``count`` may be an estimate. Raises BadInput for a file that is missing, empty, cut off so that it cannot
    be opened, or not a video.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._av = _av()
        self._container = self._opened()
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        rate, base = stream.average_rate or stream.guessed_rate, stream.time_base or Fraction(1)
        self.rate_hz = float(rate) if rate else None
        if stream.duration:
            self.duration_s: float | None = float(stream.duration * base)
        else:
            whole = self._container.duration
            self.duration_s = whole / self._av.time_base if whole else None
        self.count: int | None = stream.frames or None
        if self.count is None and self.duration_s and self.rate_hz:
            self.count = max(1, round(self.duration_s * self.rate_hz))
        self._stream = stream

    def frames(self, stride: int = 1, until_s: float | int = math.inf) -> Iterator[VideoFrame]:
        """Every ``stride``-th frame before ``until_s``, turned as the file says it is to be shown. Once only.

        Of a damaged video comes what can be decoded; BadInput is raised after that.
        """
        start_s: float | None = None
        number, time_s, faults = -1, 0.0, _Faults()
        step_s = 1 / self.rate_hz if self.rate_hz else 0.04
        for number, frame in enumerate(self._decoded(faults)):
            if frame.time is not None and start_s is None:
                start_s = frame.time - (number * step_s)
            time_s = number * step_s if frame.time is None else max(0.0, frame.time - (start_s or 0.0))
            if time_s >= until_s:
                return
            if number % stride == 0:
                yield VideoFrame(_upright(frame), number, time_s)
        if number < 0:
            raise BadInput("holds no frame that can be decoded", self.path, hint="copy or export it again")
        end_s = time_s + step_s
        if self.duration_s is not None and end_s < self.duration_s - _SHORT_S:
            raise BadInput(f"is cut off: it ends after {end_s:.1f} of {self.duration_s:.1f} s", self.path)
        if faults.count:
            raise BadInput(f"is damaged: {faults.count} packets could not be decoded", self.path)

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> InputContainer:
        if not self.path.exists():
            raise BadInput("no such file", self.path)
        if not self.path.is_file():
            raise BadInput("is not a file", self.path)
        if self.path.stat().st_size == 0:
            raise BadInput("is empty (0 bytes)", self.path, hint="copy or export it again")
        try:
            # A playlist may name other files, and must not make the program fetch from the network.
            container = self._av.open(f"file:{self.path}", options={"protocol_whitelist": "file"})
        except (self._av.error.FFmpegError, OSError) as error:
            reason = (error.strerror or str(error)).lower()
            hint = "not a video, or a recording that was cut off: play, copy or export it"
            raise BadInput(f"cannot be opened as a video ({reason})", self.path, hint=hint) from None
        if container.format.name in _NOT_VIDEO or not container.streams.video:
            container.close()
            raise BadInput("holds no video", self.path)
        return container

    def _decoded(self, faults: _Faults) -> Iterator[Any]:
        """All frames; what cannot be decoded is counted and passed over."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (self._av.error.FFmpegError, OSError):
                faults.count += 1
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except self._av.error.FFmpegError:
                faults.count += 1
                continue
            yield from frames


class VideoWriter:
    """Writes an MP4 that plays up to where it was left, whatever ended it; no sound. A context manager.

    H.264 where FFmpeg has an encoder for it, else MPEG-4 part 2; or ``encoder``, by FFmpeg's name. Pictures
    keep their times, so a varying frame rate stays one; ``rate_hz`` is the usual one. The file is made with
    the first picture, whose size (made even) all others are scaled to. Raises OSError where the disk refuses.
    The bytes go to ``file``, where one is given, and ``path`` only names them.
    """

    def __init__(
        self,
        path: str | Path,
        rate_hz: float | int,
        encoder: str | None = None,
        file: io.BufferedIOBase | None = None,
    ) -> None:
        self.path = Path(path)
        self._file = file
        self.encoder = encoder or default_encoder()
        self._rate = Fraction(min(max(rate_hz, 0.1), 1000)).limit_denominator(1001)
        self._av = _av()
        self._container: Any = None
        self._stream: Any = None
        self._last = -1

    def write(self, rgb: UInt8[np.ndarray, "h w 3"], time_s: float | int) -> None:
        """Add a picture that is shown from ``time_s`` on; times must grow."""
        if self._container is None:
            self._container = self._started(*rgb.shape[:2])
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame = frame.reformat(self._stream.width, self._stream.height, "yuv420p", interpolation="BILINEAR")
        self._last = max(self._last + 1, round(time_s * _TICKS_HZ))
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS_HZ)
        try:
            self._container.mux(self._stream.encode(frame))
        except BaseException:
            container, self._container = self._container, None
            container.close()  # what is still to come cannot be added: FFmpeg would crash without its header
            raise

    def close(self) -> None:
        """Write what is still waiting, and end the file; nothing is made where no picture was written."""
        if self._container is None:
            return
        container, self._container = self._container, None
        try:
            container.mux(self._stream.encode())
        finally:
            container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.close()
        except OSError:
            if kind is None:  # else the first error is the one to tell
                raise

    def _started(self, height_px: int, width_px: int) -> Any:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
        file = f"file:{self.path}" if self._file is None else self._file
        container = self._av.open(file, "w", format="mp4", options=options)
        # Without B-frames the first picture is at 0 and nothing waits for its successor.
        coding = {"bf": "0"} | (
            {"preset": "veryfast", "crf": "21"}
            if self.encoder == "libx264"
            else {"flags": "+qscale", "global_quality": str(3 * 118)}  # quantizer 3, in FFmpeg's lambda
        )
        stream = container.add_stream(self.encoder, rate=self._rate, options=coding)
        stream.width, stream.height, stream.pix_fmt = (
            width_px + width_px % 2,
            height_px + height_px % 2,
            "yuv420p",
        )
        stream.codec_context.time_base = Fraction(1, _TICKS_HZ)
        stream.codec_context.gop_size = max(1, round(self._rate))  # a fragment, which is what a kill can cost
        self._stream = stream
        return container


def default_encoder() -> str:
    """FFmpeg's name of the encoder that is used where none is named: `libx264`, or `mpeg4` without it."""
    av = _av()
    try:
        return av.codec.Codec("libx264", "w").name
    except av.codec.codec.UnknownCodecError:
        return "mpeg4"


@dataclass
class _Faults:
    count: int = 0


def _upright(frame: Any) -> np.ndarray:
    """The frame's pixels, turned and mirrored by its display matrix where there is one.

    The matrix (a b u; c d v; x y w) shows pixel (p, q) at (a p + c q, b p + d q), in fixed point (ISO/IEC
    14496-12, 6.2.2); cameras write quarter turns and mirrorings only.
    """
    rgb = frame.to_ndarray(format="rgb24")
    side = frame.side_data.get("DISPLAYMATRIX")
    if side is None:
        return rgb
    a, b, _, c, d = np.frombuffer(bytes(side), np.int32)[:5].tolist()
    if abs(b) > abs(a):  # rows become columns
        rgb, across, down = rgb.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(rgb[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise BackendUnavailable("av", str(error), hint="install the package av to read video") from error
    return av
