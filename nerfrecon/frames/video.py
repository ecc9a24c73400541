"""Frames of a video that are sharp and evenly spread by how far the picture moved, in two passes over it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from nerfrecon.frames.blur import sharpness
from nerfrecon.frames.options import FramesOptions
from nerfrecon.frames.spread import motion, sharpest_in_slots, small_grey
from suite.data.video import VideoReader
from suite.errors import BadInput
from suite.progress import track

_DECODED = "play it, and export it again as MP4 (H.264)"


@dataclass(frozen=True, eq=False)
class ChosenFrame:
    """A frame of a video, its number and time from the start, and how sharp it is."""

    rgb: UInt8[np.ndarray, "h w 3"]
    number: int
    time_s: float
    sharpness: float


def video_frames(path: Path, options: FramesOptions) -> Iterator[ChosenFrame]:
    """The frames to use, in order. Raises BadInput where the file is not a video that can be decoded, or has
    too few frames.

    A video that is damaged further on gives what can be decoded before that.
    """
    numbers, travelled, sharp = _looked_through(path, options)
    wanted = {
        int(numbers[k]): float(sharp[k]) for k in sharpest_in_slots(travelled, sharp, options.from_video)
    }
    with VideoReader(path) as video:
        try:
            for frame in video.frames():
                if frame.number in wanted:
                    yield ChosenFrame(frame.rgb, frame.number, frame.time_s, wanted.pop(frame.number))
                if not wanted:
                    return
        except BadInput:  # damage was met in the first pass, too: what came before it is enough
            return


def _looked_through(path: Path, options: FramesOptions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every stride-th frame: its number, the motion summed up to it, and its sharpness."""
    numbers: list[int] = []
    travelled: list[float] = []
    sharp: list[float] = []
    last, fault = None, None
    with VideoReader(path) as video:
        stride = max(1, math.ceil((video.count or 0) / options.candidates))
        total = None if video.count is None else math.ceil(video.count / stride)
        try:
            for frame in track(video.frames(stride), "Looking through the video", total):
                grey = small_grey(frame.rgb)
                way = 0.0 if last is None else motion(last, grey)
                # Standing still is not travelling, however long the noise of it is summed up.
                way = way if way > options.duplicate_motion else 0.0
                travelled.append((travelled[-1] if travelled else 0.0) + way)
                numbers.append(frame.number)
                sharp.append(sharpness(frame.rgb))
                if way or last is None:
                    last = grey
        except BadInput as error:
            fault = error
    if len(numbers) < options.fewest:
        if fault is not None:
            raise BadInput(fault.what, path, hint=_DECODED)
        raise BadInput(
            f"holds {len(numbers)} frames, and {options.fewest} are needed",
            path,
            hint="walk once around the object while filming",
        )
    if travelled[-1] <= 0:
        raise BadInput(
            "nothing moves in the video", path, hint="walk around the object, or let it turn, while filming"
        )
    return np.array(numbers), np.array(travelled), np.array(sharp)
