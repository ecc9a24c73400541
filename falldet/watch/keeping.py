"""What is kept of an event, and for how long, as it is written in YAML. Light: imports no numpy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from suite.config import Config

Amount = Annotated[float, Field(gt=0)]


class ClipOptions(Config):
    """A short film of each event, of the pictures that were looked at."""

    enabled: bool = True
    before_s: Annotated[float, Field(ge=0, le=120)] = 8.0
    """From so long before the onset ..."""
    after_s: Annotated[float, Field(ge=0, le=600)] = 12.0
    """... to so long after the alarm."""
    blur: bool = True
    """Make people unrecognisable before a picture is kept, in memory as on disk."""
    long_px: Annotated[int, Field(ge=64, le=4096)] = 960
    """Larger pictures are scaled down to this long side."""
    quality: Annotated[int, Field(ge=10, le=100)] = 85
    """Of the JPEGs in memory, which the film is made of."""
    memory_mb: Amount = 24.0
    """Bound on the pictures kept of a camera, and on each film being taken of it: a film that would be larger
    has every second picture left out."""


class RetentionOptions(Config):
    """How much may be on the disk. What is oldest goes first."""

    clips_days: Amount = 30.0
    clips_gb: Amount = 10.0
    events_days: Amount = 365.0
    """Events that somebody has still to be told of are kept beyond this."""
    events_mb: Amount = 200.0
    """Bound on the file of events, whatever is still to be told."""
    free_mb: Annotated[float, Field(ge=0)] = 500.0
    """Clips of more than a day go as long as the disk has less room than this, whoever fills it."""
    every_s: Amount = 60.0
