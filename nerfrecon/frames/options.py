"""How pictures are chosen. Light: imports no numpy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from nerfrecon.options import Count, NotNegative, Share
from suite.config import Config


class FramesOptions(Config):
    """Which pictures of a folder or video are used, and how large."""

    fewest: Annotated[int, Field(ge=3)] = 6
    """Fewer good pictures than this are refused."""
    from_video: Annotated[int, Field(ge=3)] = 60
    """Pictures that are taken from a video."""
    most: Count | None = None
    """Of a folder that holds more, this many are kept, evenly spread over its order; all where not given."""
    longest_px: Annotated[int, Field(ge=64)] | None = 2400
    """Larger pictures are averaged down to this longest side; never where not given."""
    sharpness_least: Share = 0.25
    """Sharpness (0 to 1) below which a picture is blurred whatever the others are like."""
    sharpness_share: Share = 0.65
    """A picture is blurred that has less than this share of the median sharpness."""
    duplicate_motion: NotNegative = 0.002
    """Two pictures between which nothing moved by more than this share of the longest side are the same."""
    candidates: Annotated[int, Field(ge=10)] = 1200
    """Of a longer video every so many frames are looked at."""
