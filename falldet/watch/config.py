"""A watch as it is written in YAML: cameras, detector, events, whom to tell, what to keep. Light."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from falldet.events.options import EventOptions
from falldet.events.thresholds import WATCHING
from falldet.watch.deliver.options import RetryOptions, TargetOptions
from falldet.watch.keeping import ClipOptions, RetentionOptions
from falldet.watch.page.options import PageOptions
from falldet.watch.streams.options import CameraOptions
from suite.config import Config


class WatchConfig(Config):
    """A watch. Credentials are best given as names of environment variables (``..._env``)."""

    cameras: tuple[CameraOptions, ...]
    model: str = WATCHING
    """A shipped detector, a file, or the folder of a run of `falldet train`."""
    long_px: Annotated[int, Field(ge=64, le=4096)] | None = None
    """The longer side that pictures are scaled to before the detector looks: more finds people who are small
    in the picture and takes more time, with its square. Where it is null, what the evidence was learned at,
    else the detector's own. Only for detectors of ours, not mmdet's."""
    device: str = "cpu"
    """cpu, cuda or cuda:NUMBER."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of the detector on a CPU. One leaves the other cores to the cameras' pictures."""
    events: EventOptions = EventOptions()
    targets: tuple[TargetOptions, ...] = ()
    """Whom to tell of falls: webhooks and MQTT brokers."""
    retry: RetryOptions = RetryOptions()
    """When a target that did not acknowledge is asked again."""
    folder: Path = Path("watch")
    """Where events, clips and drawn zones are kept, from where the command runs."""
    clips: ClipOptions = ClipOptions()
    retention: RetentionOptions = RetentionOptions()
    page: PageOptions = PageOptions()
    log: Path | None = None
    """A file for the log, one JSON object a line; where none is named, standard error."""
    line_s: Annotated[float, Field(gt=0)] = 60.0
    """How often one line says how the watch is."""

    @field_validator("cameras")
    @classmethod
    def _cameras_apart(cls, cameras: tuple[CameraOptions, ...]) -> tuple[CameraOptions, ...]:
        if not cameras:
            raise ValueError("there is no camera")
        return _apart(cameras, "cameras")

    @field_validator("targets")
    @classmethod
    def _targets_apart(cls, targets: tuple[Any, ...]) -> tuple[Any, ...]:
        return _apart(targets, "targets")


def _apart(named: Any, what: str) -> Any:
    twice = _first_twice(one.name.casefold() for one in named)
    if twice is not None:
        raise ValueError(f"two {what} are called {twice!r}; they are told apart by their names")
    return named


def _first_twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
