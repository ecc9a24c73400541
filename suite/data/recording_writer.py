"""Writing a recording as quickly as a camera sends it.

Threads pack the images, so that the camera's own thread only hands them over. Between them lies a bounded
queue: where it is half full images are stored unpacked (ten times quicker), where it is full `add` waits.
The line of a frame is written after its images and after the lines before it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from suite.data.encoding import encode_jpeg, encode_png
from suite.data.frame import RgbdFrame, image_size
from suite.data.images import depth_counts
from suite.data.recording_info import FORMAT, HEAD, INDEX, VERSION, RecordingInfo
from suite.errors import BadInput
from suite.files import atomic_folder, atomic_write
from suite.geometry.camera import PinholeCamera

QUEUE_FRAMES = 64
"""At 1280 x 720 px 0.3 GB and two seconds."""


class RecordingWriter:
    """Writes a recording frame by frame; what was added is readable even where the program is killed.

    with RecordingWriter(folder, info) as writer:
        writer.add(depth_m, timestamp_s, color)

    With `threads` at 0 a frame is on disk when `add` returns; else when the block ends, or as soon as the
    threads come to it. Raises BadInput where the folder exists and is not empty, and OSError (at once or at
    a later frame) where the disk takes no more; frames before that stay readable.
    """

    def __init__(
        self,
        folder: str | Path,
        info: RecordingInfo,
        color_format: Literal["png", "jpg"] = "png",
        threads: int = 0,
        queue_frames: int = QUEUE_FRAMES,
    ) -> None:
        self.folder, self.info, self._suffix = Path(folder), info, color_format
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise BadInput("exists already", self.folder, hint="choose another name or remove it")
        try:
            (self.folder / "depth").mkdir(parents=True)
            with atomic_write(self.folder / HEAD, "w") as out:
                json.dump({"format": FORMAT, "version": VERSION, **info.to_json()}, out, indent=1)
            self._lines = (self.folder / INDEX).open("w", encoding="utf-8")
        except OSError:
            shutil.rmtree(self.folder, ignore_errors=True)  # a folder without frames would only be in the way
            raise
        self._pool = ThreadPoolExecutor(threads, "recording") if threads else None
        self._room, self._capacity = threading.Condition(), queue_frames
        self._pending: deque[tuple[dict[str, Any], Future[bool]]] = deque()
        self._failure: OSError | None = None
        self._count = self._waiting = self._deepest = self._written = self._stored = 0

    @property
    def written(self) -> int:
        """Frames that are on disk with their line."""
        return self._written

    @property
    def stored(self) -> int:
        """Frames on disk that were not packed, for lack of time."""
        return self._stored

    @property
    def deepest(self) -> int:
        """The most frames that have waited at a time."""
        return self._deepest

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with contextlib.suppress(Exception):  # the error on its way says more than one of tidying up
                self.close()

    def add(
        self,
        depth_m: Float[np.ndarray, "h w"],
        timestamp_s: float,
        color: UInt8[np.ndarray, "h_color w_color 3"] | None = None,
    ) -> None:
        """Append a frame; `color` is as its own camera saw it. Raises BadInput where a size does not fit."""
        counts = depth_counts(depth_m, self.info.depth_unit_m, f"{self.folder}: frame {self._count}")
        self.add_counts(counts, timestamp_s, color)

    def add_counts(
        self,
        counts: UInt16[np.ndarray, "h w"],
        timestamp_s: float,
        color: UInt8[np.ndarray, "h_color w_color 3"] | None = None,
        number: int | None = None,
    ) -> None:
        """Append a frame of depth in counts of the depth unit, as cameras send it.

        `number` is the camera's own count of frames, in which a gap is a frame that was lost. With threads
        the arrays must not be changed afterwards.
        """
        where = f"{self.folder}: frame {self._count}"
        self._commit()
        _check_size(counts, self.info.camera_depth, "depth image", where)
        name = f"{self._count:06d}"
        row: dict[str, Any] = {"timestamp_s": float(timestamp_s), "depth": f"depth/{name}.png", "color": None}
        if number is not None:
            row["number"] = int(number)
        if color is not None:
            _check_size(color, self.info.camera_color or self.info.camera_depth, "colour image", where)
            row["color"] = f"color/{name}.{self._suffix}"
            (self.folder / "color").mkdir(exist_ok=True)
        with self._room:
            self._room.wait_for(lambda: self._waiting < self._capacity)
            self._waiting += 1
            self._deepest = max(self._deepest, self._waiting)
        self._count += 1
        if self._pool is None:
            future: Future[bool] = Future()
            try:
                future.set_result(self._write_images(row, counts, color))
            except OSError as error:
                future.set_exception(error)
        else:
            future = self._pool.submit(self._write_images, row, counts, color)
        self._pending.append((row, future))
        self._commit()

    def close(self) -> None:
        """Write what waits. Raises OSError where the disk takes no more."""
        try:
            self._commit(wait=True)
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)
            with contextlib.suppress(OSError):  # what a full disk refused once it refuses again
                self._lines.close()

    def _write_images(self, row: dict[str, Any], counts: np.ndarray, color: np.ndarray | None) -> bool:
        """Whether the images were stored unpacked."""
        stored = self._pool is not None and 2 * self._waiting > self._capacity
        packing = "stored" if stored else "quick"
        try:
            if color is not None:
                as_jpeg = self._suffix == "jpg"
                self._write(row["color"], encode_jpeg(color) if as_jpeg else encode_png(color, packing))
            self._write(row["depth"], encode_png(counts, packing))
        finally:
            with self._room:
                self._waiting -= 1
                self._room.notify()
        return stored

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        try:
            path.write_bytes(content)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from None  # a write does not name its file

    def _commit(self, wait: bool = False) -> None:
        """Write the lines of all frames whose images are there, in order: frame n is line n."""
        if self._failure is not None:
            raise self._failure
        while self._pending and (wait or self._pending[0][1].done()):
            row, future = self._pending.popleft()
            try:
                self._stored += future.result()
                self._lines.write(json.dumps(row) + "\n")
                self._lines.flush()
            except OSError as error:
                self._failure = error
                for _, later in self._pending:
                    later.cancel()
                self._pending.clear()
                raise
            self._written += 1


def write_recording(path: str | Path, info: RecordingInfo, frames: Iterable[RgbdFrame]) -> None:
    """A recording of frames, all or nothing; `info` has no colour camera, as their colour is registered."""
    if info.camera_color is not None:
        raise BadInput("camera_color is given, but the colour of frames is registered to depth", path)
    with atomic_folder(path) as part, RecordingWriter(part, info) as writer:
        for frame in frames:
            writer.add(frame.depth_m, frame.timestamp_s, frame.color)


def _check_size(image: np.ndarray, camera: PinholeCamera, what: str, where: str) -> None:
    if image.shape[:2] != (camera.height, camera.width):
        raise BadInput(f"{what} is {image_size(image)} px, not {camera.width} x {camera.height} px", where)
