"""Look for people, fallen or not, in pictures, a video or a camera: `predict` reads as the algorithm.

A thread decodes ahead of the detector; batches are filled across frames; results are written as they come.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from falldet.detections import FALLEN, Detecting, Detections
from falldet.looking.results import Results, make_room
from falldet.looking.sources import Frame, PictureSource, Source, VideoSource, open_source
from suite import progress
from suite.ahead import ahead
from suite.engine.interrupts import Interrupted, Interrupts
from suite.errors import BadInput


@dataclass(frozen=True)
class PredictOptions:
    """How to look, and what to leave behind. Raises BadInput for numbers that mean nothing."""

    threshold: float | int | None = None
    """Score from which a person is told; the model's own where it is None."""
    batch: int = 4
    """Pictures the detector looks at together; a camera's are looked at one by one, as they come."""
    stride: int = 1
    """Look at every n-th frame or picture. A drawn video then has these frames only, at their times."""
    seconds: float | int | None = None
    """Stop a video or a camera after this time."""
    draw: bool = True
    """Draw boxes: files into pictures of the same names, videos and cameras into a video without sound."""
    only_fallen: bool = False
    """Draw only what shows a fallen person; of a video as single pictures, named by their frame."""
    overwrite: bool = False
    """Replace what an earlier prediction left in the same folder."""

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise BadInput(f"the threshold is {self.threshold:g}", hint="give a score from 0 to 1")
        if self.batch < 1:
            raise BadInput(f"the batch is {self.batch}", hint="give at least 1")
        if self.stride < 1:
            raise BadInput(f"the stride is {self.stride}", hint="give at least 1, which takes every frame")
        if self.seconds is not None and not self.seconds > 0:
            raise BadInput(f"the time to look is {self.seconds:g} s", hint="give more than 0")


@dataclass
class Summary:
    """What was looked at and found. ``unreadable`` holds a line for each picture that could not be read."""

    source: str
    out: Path | None
    pictures: int = 0
    people: int = 0
    fallen: int = 0
    with_fallen: int = 0
    unreadable: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    signal_number: int = 0
    _told: int = 0

    @property
    def exit_code(self) -> int:
        """0; or 128 and the number of the signal that ended it, as shells count: 130 for Ctrl-C."""
        return 128 + self.signal_number if self.signal_number else 0

    def line(self) -> str:
        """One line for people."""
        pictures = "picture" if self.pictures == 1 else "pictures"
        people = "person" if self.people == 1 else "people"
        parts = [
            f"{self.pictures} {pictures}, {self.people} {people}, {self.fallen} fallen in {self.with_fallen}",
            f"{self.pictures / max(self.wall_s, 1e-9):.1f} pictures/s",
        ]
        if self.unreadable:
            parts.append(f"{len(self.unreadable)} could not be read")
        if self.signal_number:
            parts.append("stopped early: what was found until then is kept")
        where = "" if self.out is None else f" -> {self.out}"
        return f"{self.source}: {'; '.join(parts)}{where}"

    def tell(self) -> None:
        """Say on stderr what could not be read and was not told yet."""
        for line in self.unreadable[self._told :]:
            print(line, file=sys.stderr, flush=True)
        self._told = len(self.unreadable)

    def count(self, detections: Detections) -> bool:
        """Add one picture; whether somebody in it has fallen."""
        fallen = int((detections.labels == FALLEN).sum())
        self.pictures += 1
        self.people += len(detections)
        self.fallen += fallen
        self.with_fallen += fallen > 0
        return fallen > 0


def predict(
    model: Detecting,
    source: str | Path | Source,
    out: Path | None,
    options: PredictOptions | None = None,
) -> Summary:
    """Look at all of ``source``: a picture, a folder, a video, the number of a camera, or one's own Source.

    The folder ``out`` gets detections.jsonl and what is drawn; without one the lines go to stdout and nothing
    is drawn. What cannot be read is told on stderr and the rest goes on. A first Ctrl-C or SIGTERM ends it in
    good order: see `Summary.exit_code`. Raises BadInput where nothing could be read or the folder is taken,
    SuiteError where results cannot be written.
    """
    options = options or PredictOptions()
    threshold = model.card.threshold if options.threshold is None else options.threshold
    pictures = _opened(source, out, options)
    if out is not None:
        _refuse_own_output(pictures, out)
        make_room(out, options.overwrite)
    summary = Summary(pictures.name, out)
    started = time.monotonic()
    writing = Results(out, drawn=options.draw, only_fallen=options.only_fallen, rate_hz=pictures.rate_hz)
    try:
        with (
            Interrupts() as interrupts,
            writing as results,
            closing(_batches(pictures, options, summary)) as batches,
        ):
            while True:
                with interrupts.at_once():
                    batch = next(batches, None)
                    if batch is None:
                        break
                    found = model.detect([frame.rgb for frame in batch])
                for frame, detections in zip(batch, found, strict=True):
                    certain = detections.above(threshold)
                    results.add(frame, certain, summary.count(certain))
    except Interrupted as interrupted:
        summary.signal_number = interrupted.signal_number
    summary.wall_s = time.monotonic() - started
    if summary.pictures:
        summary.tell()
    if not summary.pictures and summary.unreadable and not summary.signal_number:
        raise _nothing(summary)
    return summary


def _opened(source: str | Path | Source, out: Path | None, options: PredictOptions) -> Source:
    if not isinstance(source, (str, Path)):
        return source
    seconds = math.inf if options.seconds is None else options.seconds
    return open_source(source, stride=options.stride, seconds=seconds, without=out)


def _batches(source: Source, options: PredictOptions, summary: Summary) -> Generator[list[Frame], None, None]:
    """Frames in batches; what cannot be read is told and noted."""
    size = 1 if source.live else options.batch
    batch: list[Frame] = []
    with closing(ahead(source.frames(), size + 1, newest=source.live)) as frames:
        for frame in progress.track(frames, f"looking at {source.name}", source.total):
            if isinstance(frame, BadInput):
                summary.unreadable.append(str(frame))
                if summary.pictures or batch or len(summary.unreadable) > 1:
                    summary.tell()  # else it may be all there is, and become the error
                continue
            batch.append(frame)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch


def _refuse_own_output(source: Source, out: Path) -> None:
    """A picture or video that lies in the folder of results might be overwritten by them."""
    if isinstance(source, VideoSource):
        read = [source.path]
    elif isinstance(source, PictureSource):
        read = [path for _, path in source.files]
    else:
        return
    folder = out.resolve()
    for path in read:
        if folder in path.resolve().parents:
            raise BadInput(f"the results would go into the folder of {path.name}", out, hint="choose another")


def _nothing(summary: Summary) -> BadInput:
    if len(summary.unreadable) == 1:
        return BadInput(summary.unreadable[0])
    return BadInput(f"none of {len(summary.unreadable)} pictures could be read", where=summary.source)
