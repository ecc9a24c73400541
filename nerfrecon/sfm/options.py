"""How cameras are found. Light: imports no numpy, no pycolmap."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nerfrecon.options import Count, Positive, Share
from suite.config import Config

Pixel = tuple[str, float, float]
"""Name of a picture in frames/images, and u, v in it (whole numbers are pixel centres)."""


class NoScale(Config):
    """Lengths stay in the units of the reconstruction."""

    type: Literal["none"] = "none"


class AutoScale(Config):
    """The printed mat is looked for; where it is not there, lengths stay in the reconstruction's units."""

    type: Literal["auto"] = "auto"


class MatScale(Config):
    """The printed mat lies under the object: four quadrant targets on the corners of a square, such as those
    of S. Porter's "Scale for Small-Object Photogrammetry" (2016), which says A to C = 12 cm."""

    type: Literal["mat"] = "mat"
    diagonal_mm: Positive = 120.0
    """Between the centres of opposite targets."""


class MarkerScale(Config):
    """ArUco markers of one size lie in the scene."""

    type: Literal["marker"] = "marker"
    side_mm: Positive
    """Of the marker's black square."""
    dictionary: Annotated[str, Field(pattern=r"^[\w]+$")] = "4X4_50"
    """As OpenCV names it, without DICT_."""


class DistanceScale(Config):
    """A distance between two points that can be told in at least two pictures each."""

    type: Literal["distance"] = "distance"
    length_mm: Positive
    first: Annotated[tuple[Pixel, ...], Field(min_length=2)]
    """Where the one end is seen: picture, u, v."""
    second: Annotated[tuple[Pixel, ...], Field(min_length=2)]
    """Where the other end is seen."""


ScaleOptions = Annotated[
    NoScale | AutoScale | MatScale | MarkerScale | DistanceScale, Field(discriminator="type")
]


class SfmOptions(Config):
    """Features, which pictures are compared, and how poses are found from that."""

    image_px: Annotated[int, Field(ge=64)] = 1200
    """Features are looked for in pictures of at most this longest side: 800 for a draft, 1600 for detail."""
    features: Annotated[int, Field(ge=100)] = 4096
    """At most so many in a picture."""
    thorough: bool = False
    """Features by affine shape and domain-size pooling: for difficult pictures; several times slower."""
    guided: bool = False
    """Match once more along the epipolar lines."""
    lens: Literal["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"] = "SIMPLE_RADIAL"
    """COLMAP's camera model; one lens for all pictures of a size, camera and focal length."""
    focal_px: Positive | None = None
    """To begin with, of the pictures as they are; from EXIF, or 1.2 times the longest side, if not given."""
    pairs: Literal["auto", "sequential", "exhaustive", "both"] = "auto"
    """Which pictures are compared: neighbours in order (and the last with the first), all with all, or
    neighbours and, of all others, those whose largest features agree. `auto`: all with all where there are
    few, otherwise the likeliest, and neighbours where the order says something."""
    few: Count = 20
    """Up to so many pictures `auto` compares all with all."""
    neighbours: Count = 6
    """Pictures before and after that are compared with one; further ones at 2, 4, 8 ... places."""
    partners: Count = 14
    """Likeliest pictures that are compared with one."""
    mapping: Literal["incremental", "global"] = "incremental"
    """One picture after the other, or all poses at once, which is faster for hundreds."""
    turntable: bool | None = None
    """The object turns before a camera that stands still: what stays in place in the pictures is background
    and left out. Found out where not given."""
    least_share: Share = 0.5
    """Less than this share of the pictures with a pose is refused."""
    fewest: Annotated[int, Field(ge=3)] = 6
    """Fewer pictures than this are refused."""
    scale: ScaleOptions = AutoScale()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    threads: Count | None = None
    """For features and matching; all cores where not given. Poses are found by one, to be repeatable."""
