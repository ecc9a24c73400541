"""Where pictures come from: files, a video, a camera. All give Frames, and errors in place of bad ones."""

from __future__ import annotations

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from suite.data.images import read_image
from suite.data.video import VideoReader
from suite.errors import BadInput

PICTURES = (
    *(".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp"),
    *(".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif"),
)
VIDEOS = (
    ".mp4",
    ".m4v",
    ".mov",
    ".avi",
    ".mkv",
    ".webm",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mts",
    ".wmv",
    ".3gp",
    ".flv",
)
_DECODERS = 2
_USUAL_HZ = 30.0


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture to look at. ``name`` is that of its file, below the folder that was given, or of the video.

    ``number`` counts a video's frames from 0 and ``time_s`` is since its first; both None for a picture file.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    name: str
    number: int | None = None
    time_s: float | None = None


@runtime_checkable
class Source(Protocol):
    """``frames`` gives pictures in their order, and for one that cannot be read the error that says why.

    ``total`` is how many there are likely to be, None where nobody knows; ``rate_hz`` how many of a moving
    picture come in a second, None for files; ``live`` pictures do not wait to be looked at.
    """

    @property
    def name(self) -> str: ...
    @property
    def total(self) -> int | None: ...
    @property
    def rate_hz(self) -> float | None: ...
    @property
    def live(self) -> bool: ...
    def frames(self) -> Iterator[Frame | BadInput]: ...


@dataclass(frozen=True)
class PictureSource:
    """Picture files, read in threads a few ahead."""

    name: str
    files: tuple[tuple[str, Path], ...]
    rate_hz: None = None
    live: bool = False

    @property
    def total(self) -> int:
        return len(self.files)

    def frames(self) -> Iterator[Frame | BadInput]:
        files = iter(self.files)
        with ThreadPoolExecutor(_DECODERS) as pool:
            reading: deque[Future[Frame | BadInput]] = deque()
            try:
                for file in itertools.islice(files, 2 * _DECODERS):
                    reading.append(pool.submit(_picture, *file))
                while reading:
                    yield reading.popleft().result()
                    for file in itertools.islice(files, 1):
                        reading.append(pool.submit(_picture, *file))
            finally:
                for waiting in reading:
                    waiting.cancel()


@dataclass(frozen=True)
class VideoSource:
    """Every ``stride``-th frame of a video file, up to ``seconds``. What is damaged is told at its end."""

    path: Path
    name: str
    total: int | None
    rate_hz: float
    stride: int = 1
    seconds: float | int = math.inf
    live: bool = False

    @staticmethod
    def open(path: Path, stride: int = 1, seconds: float | int = math.inf) -> VideoSource:
        """Look at the container. Raises BadInput where it is no video."""
        with VideoReader(path) as video:
            count, rate_hz = video.count, video.rate_hz
        if count is not None and rate_hz is not None:
            count = math.ceil(min(seconds * rate_hz, count))
        total = None if count is None else math.ceil(count / stride)
        rate_hz = None if rate_hz is None else rate_hz / stride
        return VideoSource(path, path.name, total, rate_hz or _USUAL_HZ, stride, seconds)

    def frames(self) -> Iterator[Frame | BadInput]:
        with VideoReader(self.path) as video:
            try:
                for frame in video.frames(self.stride, self.seconds):
                    yield Frame(frame.rgb, self.name, frame.number, frame.time_s)
            except BadInput as error:
                yield error


@runtime_checkable
class Camera(Protocol):
    """The part of ``cv2.VideoCapture`` that is used."""

    def isOpened(self) -> bool: ...
    def read(self) -> tuple[bool, Any]: ...
    def get(self, key: int) -> float: ...
    def release(self) -> None: ...


@dataclass(frozen=True)
class CameraSource:
    """A camera of this computer by its number; it ends after ``seconds`` or when nobody asks any more.

    ``time_s`` is when the picture arrived, since the first one.
    """

    index: int
    stride: int = 1
    seconds: float | int = math.inf
    total: None = None
    live: bool = True
    opener: Callable[[int], Camera] = field(default=lambda index: _camera(index), compare=False)
    clock: Callable[[], float] = field(default=time.monotonic, compare=False)

    @property
    def name(self) -> str:
        return f"camera {self.index}"

    @property
    def rate_hz(self) -> float:
        """What a drawn video is marked with; its pictures keep the times at which they came."""
        return _USUAL_HZ / self.stride

    def frames(self) -> Iterator[Frame | BadInput]:
        """Raises BadInput where there is no such camera."""
        camera = self.opener(self.index)
        try:
            if not camera.isOpened():
                raise BadInput(
                    "cannot be opened", self.name, hint="no such camera, or another program uses it"
                )
            start_s: float | None = None
            for number in itertools.count():
                good, bgr = camera.read()
                now_s = self.clock()
                start_s = now_s if start_s is None else start_s
                if not good:
                    yield BadInput(f"gave no more pictures after {number}", self.name)
                    return
                if now_s - start_s >= self.seconds:
                    return
                if number % self.stride == 0:
                    rgb = np.ascontiguousarray(bgr[..., ::-1])
                    yield Frame(rgb, self.name, number, now_s - start_s)
        finally:
            camera.release()


def open_source(
    given: str | Path, *, stride: int = 1, seconds: float | int = math.inf, without: Path | None = None
) -> PictureSource | VideoSource | CameraSource:
    """The source that ``given`` names: a picture, a folder of pictures, a video, or the number of a camera.

    Every ``stride``-th frame or picture is taken, of moving pictures the first ``seconds``. ``without`` is a
    folder whose pictures are left out: where results go. Raises BadInput where there is nothing to read.
    """
    path = Path(given)
    if not path.exists() and str(given).isdecimal():
        return CameraSource(int(str(given)), stride, seconds)
    if path.is_dir():
        return PictureSource(str(path), _found(path, without)[::stride])
    if path.suffix.lower() in PICTURES:
        return PictureSource(str(path), ((path.name, path),))
    return VideoSource.open(path, stride, seconds)


def _found(folder: Path, without: Path | None) -> tuple[tuple[str, Path], ...]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    without = None if without is None else without.resolve()
    if without is not None and folder.resolve() in without.parents:
        files = [path for path in files if without not in path.resolve().parents]
    pictures = [path for path in files if path.suffix.lower() in PICTURES]
    if not pictures:
        videos: Sequence[Path] = [path for path in files if path.suffix.lower() in VIDEOS]
        hint = f"kinds looked for: {' '.join(PICTURES)}"
        if videos:
            hint = f"to look at a video, name it: {videos[0]}"
        raise BadInput("holds no pictures", where=folder, hint=hint)
    return tuple((path.relative_to(folder).as_posix(), path) for path in pictures)


def _picture(name: str, path: Path) -> Frame | BadInput:
    try:
        return Frame(read_image(path), name)
    except BadInput as error:
        return error
    except OSError as error:
        return BadInput(f"cannot be read ({error.strerror})", path)


def _camera(index: int) -> Camera:
    import cv2

    cv2.utils.logging.setLogLevel(0)  # what is wrong is said in one line, not in OpenCV's many
    return cv2.VideoCapture(index)  # type: ignore[return-value]
