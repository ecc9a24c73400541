"""What prediction leaves behind: one JSON line for each picture, and pictures or a video with boxes.

All is written as it comes: a run that is killed leaves whole lines, whole pictures, a video that plays.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from falldet.detections import Detections
from falldet.looking.drawing import draw
from falldet.looking.sources import Frame
from suite.data.images import write_image
from suite.data.video import VideoWriter
from suite.errors import BadInput, SuiteError

LINES, VIDEO, PICTURES = "detections.jsonl", "drawn.mp4", "drawn"
_WRITTEN_AS_THEY_ARE = (".jpg", ".jpeg", ".png")


def line_of(frame: Frame, detections: Detections) -> dict[str, Any]:
    """name; frame and time_s where it is from a moving picture; width_px, height_px, detections."""
    moving = {} if frame.number is None else {"frame": frame.number, "time_s": round(frame.time_s or 0.0, 3)}
    height, width = frame.rgb.shape[:2]
    size = {"width_px": width, "height_px": height}
    return {"name": frame.name} | moving | size | {"detections": detections.as_dicts()}


class Lines:
    """A text file to which whole lines are added; a full disk leaves no part of one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)

    def add(self, line: dict[str, Any]) -> None:
        """Raises OSError, and leaves the file as it was, where the line cannot be written."""
        text = (json.dumps(line, ensure_ascii=False) + "\n").encode()
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, text)
            while written < len(text):  # the disk is nearly full: the next attempt says so
                written += os.write(self._file, text[written:])
        except OSError:
            with suppress(OSError):  # no regular file
                os.ftruncate(self._file, before)
            raise

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


class Results:
    """The folder of a prediction, or standard output where there is none; a context manager.

    ``rate_hz`` is given for moving pictures, which are drawn into a video; with ``only_fallen`` pictures with
    fallen people alone are drawn, those of a video as files of their own. Nothing is made before the first
    picture comes. Raises SuiteError in one line where something cannot be written.
    """

    def __init__(self, folder: Path | None, *, drawn: bool, only_fallen: bool, rate_hz: float | None) -> None:
        self._folder, self._drawn, self._only_fallen = folder, drawn, only_fallen
        self._lines: Lines | None = None
        self._video: VideoWriter | None = None
        if folder is not None and rate_hz is not None and drawn and not only_fallen:
            self._video = VideoWriter(folder / VIDEO, rate_hz)

    def add(self, frame: Frame, detections: Detections, fallen: bool) -> None:
        """Write one picture's line, and draw it where that is wanted."""
        line = line_of(frame, detections)
        if self._folder is None:
            with _told("standard output"):
                print(json.dumps(line, ensure_ascii=False), flush=True)
            return
        with _told(self._folder / LINES):
            if self._lines is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._lines = Lines(self._folder / LINES)
            self._lines.add(line)
        if self._drawn and (fallen or not self._only_fallen):
            self._draw(self._folder, frame, detections)

    def _draw(self, folder: Path, frame: Frame, detections: Detections) -> None:
        picture = draw(frame.rgb, detections)
        if self._video is None:
            path = folder / PICTURES / _drawn_name(frame)
            with _told(path):
                write_image(path, picture)
        else:
            with _told(self._video.path):
                self._video.write(picture, frame.time_s or 0.0)

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *reason: Any) -> None:
        if self._lines is not None:
            self._lines.close()
        if self._video is not None:
            with _told(self._video.path):
                self._video.__exit__(*reason)


def make_room(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds something; with ``overwrite`` remove what an earlier prediction left in it.

    Raises BadInput, also where ``overwrite`` meets a folder that no prediction has made.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise BadInput("exists already and is not a folder", where=folder, hint="choose another name")
    if not overwrite:
        raise BadInput("exists already", where=folder, hint="choose another folder, or add --overwrite")
    if not (folder / LINES).is_file():
        hint = "choose another folder: nothing is removed from one that prediction has not made"
        raise BadInput(f"holds other files and no {LINES}", where=folder, hint=hint)
    with _told(folder):
        (folder / VIDEO).unlink(missing_ok=True)
        shutil.rmtree(folder / PICTURES, ignore_errors=True)
        (folder / LINES).unlink()


def _drawn_name(frame: Frame) -> str:
    if frame.number is not None:
        return f"{frame.number:06d}.jpg"
    suffix = Path(frame.name).suffix.lower()
    return frame.name if suffix in _WRITTEN_AS_THEY_ARE else f"{frame.name}.png"


@contextmanager
def _told(path: Path | str) -> Iterator[None]:
    """What the system refuses in this block becomes one line that names ``path``."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SuiteError(f"{path}: cannot be written ({reason.lower()})") from error
