"""What is simulated, as it is written in YAML or on a command line. Light: imports no numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config

MARKER_DICTIONARY, MARKER_ID, MARKER_SIDE_M = "DICT_4X4_50", 7, 0.05
"""The ArUco marker on the product's mat; its side is that of the black square."""

Share = Annotated[float, Field(ge=0, le=1)]


class ProductOptions(Config):
    """Photographs of the procedural product on its mat, as a phone on a walk around it would take them."""

    views: Annotated[int, Field(ge=8, le=2000)] = 60
    width_px: Annotated[int, Field(ge=64, le=8000)] = 640
    height_px: Annotated[int, Field(ge=48, le=8000)] = 480
    rings: Annotated[int, Field(ge=1, le=20)] = 4
    lowest_deg: Annotated[float, Field(ge=2, le=85)] = 10.0
    highest_deg: Annotated[float, Field(ge=2, le=85)] = 68.0
    """The highest ring looks into the opening."""
    finer: Annotated[int, Field(ge=1, le=8)] = 2
    """A pixel is the mean of this many by this many rays."""
    jpeg_quality: Annotated[int, Field(ge=10, le=100)] = 93
    noise: Annotated[float, Field(ge=0, le=50)] = 1.5
    """Of the sensor: standard deviation in grey levels of 255."""
    exposure_jitter: Share = 0.03
    """Standard deviation of a picture's gain."""
    hand_jitter: Share = 0.06
    """How much distance, aim and level vary by hand: 0 is a robot's."""
    exif: bool = True
    """Write the focal length into the photographs, as phones do."""
    seed: Annotated[int, Field(ge=0)] = 0


class SimulateOptions(Config):
    """A capture of a mesh with exact poses, depth and masks."""

    variant: Literal["clean", "jpeg", "white", "depth_outliers"] = "clean"
    """clean: RGBA pictures. jpeg: JPEG on grey with exposures that differ, masks beside. white: JPEG on a
    white background, without masks. depth_outliers: clean, but some depth is wrong."""
    views: Annotated[int, Field(ge=12, le=2000)] = 63
    side_px: Annotated[int, Field(ge=8, le=8000)] = 400
    finer: Annotated[int, Field(ge=1, le=8)] = 2
    """A pixel is the mean of this many by this many rays."""
    distance: Annotated[float, Field(gt=1)] = 2.2
    """Of the cameras from the middle, in diagonals of the subject's box."""
    lowest_deg: float = -20.0
    highest_deg: float = 82.0
    rings: Annotated[int, Field(ge=1)] = 6
    jpeg_quality: Annotated[int, Field(ge=10, le=100)] = 88
    """Of the variants jpeg and white."""
    exposure_jitter: Share = 0.12
    """Standard deviation of a picture's gain, in the variant jpeg."""
    outlier_share: Annotated[float, Field(gt=0, le=0.5)] = 0.015
    """Of the depth's pixels that are wrong, in the variant depth_outliers."""
    seed: Annotated[int, Field(ge=0)] = 0
