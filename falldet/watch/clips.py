"""A film of each event, from before it began: a bounded ring of JPEGs a camera, one thread that writes.

With blur, a picture is held back until the next one was looked at: people are hidden where they were found in
it, in the one before or in the one after, so that a single miss of the detector shows nobody.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from falldet.events.event import FallEvent
from falldet.watch.blur import blurred
from falldet.watch.clock import Clock
from falldet.watch.keeping import ClipOptions
from falldet.watch.log import Say, silent
from falldet.watch.streams.shot import Shot
from suite.data.video import VideoWriter
from suite.files import atomic_write

_LONGEST_DOUBT_S = 15.0  # between onset and alarm, as far as the ring reaches back
_TOGETHER_S = 2.0  # looks further apart say nothing about one another
_MOST_AT_ONCE = 4
_MOST_WAITING_BYTES = 64_000_000
_TRY_AGAIN_S = 5.0


@dataclass(frozen=True)
class Kept:
    """A picture as a JPEG; ``time_s`` is the clock's."""

    time_s: float
    jpeg: bytes

    def rgb(self) -> UInt8[np.ndarray, "h w 3"]:
        import cv2

        bgr = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is not None  # it is of our own making
        return np.ascontiguousarray(bgr[..., ::-1])


@dataclass
class Clip:
    """The pictures of one event, taken until ``end_s``."""

    event: str
    end_s: float
    pictures: list[Kept] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return sum(len(kept.jpeg) for kept in self.pictures)


def clip_name(event_id: str) -> str:
    """The file's name in the folder of clips."""
    return f"{event_id}.mp4"


class ClipKeeper:
    """One camera's ring, and the clips that are being taken of it."""

    def __init__(self, options: ClipOptions, writer: ClipWriter, say: Say = silent) -> None:
        self._options, self._writer, self._say = options, writer, say
        self._lock = threading.Lock()
        self._ring: deque[Kept] = deque()
        self._ring_bytes = 0
        self._taking: list[Clip] = []
        self._held: _Held | None = None
        self._now_s = 0.0

    @property
    def memory_bytes(self) -> int:
        """Of the ring and the clips being taken; pictures that both hold count twice."""
        with self._lock:
            return self._ring_bytes + sum(clip.size_bytes for clip in self._taking)

    def keep(self, shot: Shot, people_px: Float[np.ndarray, "n 4"] | None = None) -> None:
        """Remember the shot. ``people_px``: boxes of everybody in it, those in doubt too; None where nobody
        has looked, which is not kept where people are to be blurred."""
        with self._lock:
            self._now_s = shot.time_s
            if not self._options.blur:
                self._add(shot, np.zeros((0, 4)))
            elif people_px is not None:
                before, self._held = self._held, _Held(shot, people_px)
                if before is not None:
                    self._held.before_px = before.people_px if _together(before.shot, shot) else _NOBODY
                    after_px = people_px if _together(before.shot, shot) else _NOBODY
                    self._add(before.shot, np.concatenate([before.before_px, before.people_px, after_px]))
            self._end(shot.time_s)

    def start(self, event: FallEvent) -> None:
        """Take a clip of an event that was confirmed just now."""
        with self._lock:
            if any(clip.event == event.id for clip in self._taking):
                return
            if len(self._taking) >= _MOST_AT_ONCE:
                self._say("clip_left_out", id=event.id, why=f"{_MOST_AT_ONCE} are being taken already")
                return
            # The wall clock may have jumped meanwhile; the ring's own times do not.
            doubt_s = min(max(event.confirmed_unix_s - event.onset_unix_s, 0.0), _LONGEST_DOUBT_S)
            begin_s = self._now_s - doubt_s - self._options.before_s
            pictures = [kept for kept in self._ring if kept.time_s >= begin_s]
            self._taking.append(Clip(event.id, self._now_s + self._options.after_s, pictures))

    def tend(self, now_s: float) -> None:
        """End the clips of a camera that gives no more pictures; to be called now and then."""
        with self._lock:
            self._end(now_s - _TOGETHER_S)

    def close(self) -> None:
        """End all clips as they are."""
        with self._lock:
            if self._held is not None:
                self._add(self._held.shot, np.concatenate([self._held.before_px, self._held.people_px]))
                self._held = None
            self._end(float("inf"))

    def _add(self, shot: Shot, people_px: Float[np.ndarray, "n 4"]) -> None:
        most_bytes = int(self._options.memory_mb * 1e6)
        kept = Kept(shot.time_s, _jpeg(shot.rgb, people_px, self._options))
        self._ring.append(kept)
        self._ring_bytes += len(kept.jpeg)
        oldest_s = shot.time_s - self._options.before_s - _LONGEST_DOUBT_S
        while self._ring and (self._ring[0].time_s < oldest_s or self._ring_bytes > most_bytes):
            self._ring_bytes -= len(self._ring.popleft().jpeg)
        for clip in self._taking:
            if kept.time_s <= clip.end_s:
                clip.pictures.append(kept)
            if clip.size_bytes > most_bytes:
                clip.pictures = clip.pictures[::2]

    def _end(self, now_s: float) -> None:
        for clip in [clip for clip in self._taking if clip.end_s < now_s]:
            self._taking.remove(clip)
            if clip.pictures:
                self._writer.put(clip)
            else:
                self._say("clip_left_out", id=clip.event, why="there are no pictures of it")


class ClipWriter:
    """Writes clips as MP4 files into ``folder``, in a thread of its own; whole or not at all.

    Where the disk takes nothing a clip waits, as long as those waiting have room in memory; ``trouble`` says
    why in one line, ``dropped`` counts those that had to go.
    """

    def __init__(self, folder: Path, clock: Clock, say: Say = silent) -> None:
        self.folder = folder
        self.trouble: str | None = None
        self.written = self.dropped = 0
        self._clock, self._say = clock, say
        self._waiting: deque[Clip] = deque()
        self._lock = threading.Lock()
        self._news, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        """Begin; remove what an earlier run was killed in the midst of."""
        if self.folder.is_dir():
            for part in self.folder.glob(".*.part"):
                part.unlink(missing_ok=True)
        self._thread.start()

    def put(self, clip: Clip) -> None:
        with self._lock:
            self._waiting.append(clip)
            while len(self._waiting) > 1 and sum(c.size_bytes for c in self._waiting) > _MOST_WAITING_BYTES:
                self.dropped += 1
                self._say(
                    "clip_dropped", id=self._waiting.popleft().event, why=self.trouble or "too many at once"
                )
        self._news.set()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Write what waits, and end."""
        self._stopping.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self._news.clear()
            with self._lock:
                clip = self._waiting[0] if self._waiting else None
            if clip is None:
                if self._stopping.is_set():
                    return
                self._clock.wait(60.0, until=self._news)
                continue
            why = self._write(clip)
            with self._lock:
                if why is None and self._waiting and self._waiting[0] is clip:
                    self._waiting.popleft()
            if why is not None:
                if self._stopping.is_set():
                    return
                self._clock.wait(_TRY_AGAIN_S, until=self._stopping)

    def _write(self, clip: Clip) -> str | None:
        """None, or why it could not be written and is to be tried again."""
        path = self.folder / clip_name(clip.event)
        try:
            write_clip(path, clip.pictures)
        except OSError as error:
            why = f"{self.folder}: clips cannot be written ({(error.strerror or str(error)).lower()})"
            if self.trouble is None:
                self._say("clips_cannot_be_written", folder=str(self.folder), why=why)
            self.trouble = why
            return why
        except Exception as error:  # such a clip would stand in the way of all others
            self.dropped += 1
            self._say("clip_dropped", id=clip.event, why=f"{type(error).__name__}: {error}")
            return None
        if self.trouble is not None:
            self._say("clips_can_be_written_again", folder=str(self.folder))
        self.trouble = None
        self.written += 1
        self._say("clip_written", id=clip.event, file=path.name, pictures=len(clip.pictures))
        return None


def write_clip(path: Path, pictures: Sequence[Kept]) -> None:
    """An MP4 that shows the pictures at their times. Atomic. Raises OSError where the disk refuses."""
    first_s, span_s = pictures[0].time_s, pictures[-1].time_s - pictures[0].time_s
    film = io.BytesIO()
    with VideoWriter(path, (len(pictures) - 1) / span_s if span_s > 0 else 1.0, file=film) as video:
        for kept in pictures:
            video.write(kept.rgb(), kept.time_s - first_s)
    with atomic_write(path) as out:
        out.write(film.getbuffer())


_NOBODY = np.zeros((0, 4))


@dataclass
class _Held:
    """The latest shot, which waits for the next."""

    shot: Shot
    people_px: Float[np.ndarray, "n 4"]
    before_px: Float[np.ndarray, "m 4"] = field(default_factory=lambda: _NOBODY)


def _together(one: Shot, other: Shot) -> bool:
    return abs(other.time_s - one.time_s) <= _TOGETHER_S and one.rgb.shape == other.rgb.shape


def _jpeg(
    rgb: UInt8[np.ndarray, "h w 3"], people_px: Float[np.ndarray, "n 4"], options: ClipOptions
) -> bytes:
    import cv2

    scale = min(1.0, options.long_px / max(rgb.shape[:2]))
    if scale < 1:
        size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
        # Averaging areas costs five times as much, and shows where pictures become less than half as large.
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA)
    if len(people_px):
        rgb = blurred(rgb, people_px * scale)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, options.quality]
    )
    return data.tobytes()
