"""Pictures from folders: frames at a fixed rate, and the colour of RGB-D recordings at its own times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from falldet.watch.clock import Clock
from falldet.watch.streams.feed import Looks, Picture
from falldet.watch.streams.health import Vitals
from falldet.watch.streams.options import CameraOptions
from falldet.watch.streams.pace import Pace
from falldet.watch.streams.pixels import fitted
from suite.data.images import read_image
from suite.errors import BadInput


@dataclass(frozen=True, eq=False)
class StillsFeed:
    """Picture files, each with its position in seconds. What cannot be read is counted and passed over."""

    files: tuple[tuple[Path, float], ...]
    duration_s: float
    options: CameraOptions
    clock: Clock
    pace: Pace
    vitals: Vitals
    endless: bool = field(default=False, init=False)

    def pictures(self) -> Iterator[Picture]:
        looks = Looks(self.options.looks_per_s)
        for path, position_s in self.files:
            time_s = self.pace.time_s(position_s)
            if not looks.due(time_s):
                continue
            if self.pace.late(time_s):  # who is slow skips
                looks.taken(time_s)
                self.vitals.count(dropped=1)
                continue
            if self.pace.wait(time_s):
                return
            try:
                rgb = read_image(path)
            except (BadInput, OSError):
                self.vitals.count(damaged=1)
                self.vitals.note("damaged", f"{path.name} cannot be read")
                continue
            looks.taken(time_s)
            size = (rgb.shape[1], rgb.shape[0])
            yield Picture(fitted(rgb, self.options.longest_px, self.options.rotate), time_s, size)
        self.pace.ended(self.duration_s)

    def close(self) -> None:
        """Nothing stays open between two pictures."""


def folder_feed(options: CameraOptions, clock: Clock, pace: Pace, vitals: Vitals) -> StillsFeed:
    """The pictures of a folder in the order of their names, ``rate_hz`` a second. Raises BadInput."""
    from falldet.looking.sources import PictureSource, open_source

    found = open_source(options.source)
    if not isinstance(found, PictureSource):
        raise BadInput("is no folder of pictures", options.shown)
    files = tuple((path, number / options.rate_hz) for number, (_, path) in enumerate(found.files))
    return StillsFeed(files, len(files) / options.rate_hz, options, clock, pace, vitals)


def recording_feed(options: CameraOptions, clock: Clock, pace: Pace, vitals: Vitals) -> StillsFeed:
    """The colour pictures of an RGB-D recording, as their own camera saw them. Raises BadInput."""
    from suite.data.recording import read_recording

    recording = read_recording(options.source)
    start_s = recording.timestamps_s[0]
    files = tuple(
        (recording.folder / file, time_s - start_s)
        for file, time_s in zip(recording.color_files, recording.timestamps_s, strict=True)
        if file is not None
    )
    if not files:
        raise BadInput("has depth only, no colour", options.shown, hint="record it with colour")
    return StillsFeed(files, files[-1][1] + 1 / options.rate_hz, options, clock, pace, vitals)
