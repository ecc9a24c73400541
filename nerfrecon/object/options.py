"""How the object is found, as it is written in YAML. Light: imports no numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config

Corner = tuple[float, float, float]


class AutoMasks(Config):
    """The scene's own masks or transparency; else a plain background by its colour; else geometry."""

    type: Literal["auto"] = "auto"


class GivenMasks(Config):
    """A folder of masks (object white), named as the pictures: NAME.jpg.png, NAME.png or NAME.jpg."""

    type: Literal["given"] = "given"
    folder: Path


class GeometryMasks(Config):
    """From the points, the ground and colour: what stands on the ground, cut out by GrabCut, agreed on by a
    visual hull."""

    type: Literal["geometry"] = "geometry"


class BorderMasks(Config):
    """A plain background (white, green): what differs in colour from the pictures' borders."""

    type: Literal["border"] = "border"
    least_difference: Annotated[float, Field(gt=0, le=200)] = 8.0
    """In CIELAB, from which a pixel may be the object's."""


class NetworkMasks(Config):
    """A network that is installed apart, and its weights with it: the package rembg."""

    type: Literal["network"] = "network"
    model: str = "u2net"


class NoMasks(Config):
    """No masks: the box alone says what the object is."""

    type: Literal["off"] = "off"


MaskOptions = Annotated[
    AutoMasks | GivenMasks | GeometryMasks | BorderMasks | NetworkMasks | NoMasks, Field(discriminator="type")
]


class ObjectOptions(Config):
    """Where the object is, and what shows it."""

    mask: MaskOptions = AutoMasks()
    box: tuple[Corner, Corner] | None = None
    """Lower and upper corner in the world of the poses, instead of finding it."""
    up: Corner | None = None
    """Up in the world of the poses, instead of finding it."""
    metres_per_unit: Annotated[float, Field(gt=0)] | None = None
    """Of the poses' world, instead of what SfM found."""
    margin: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Around the object, in longest sides of its box."""
    rough_px: Annotated[int, Field(ge=64, le=4000)] = 360
    """Longest side of the pictures that first masks are made of."""
    fine_px: Annotated[int, Field(ge=64, le=8000)] = 800
    """And of those that their outlines are refined on."""
    hull_cells: Annotated[int, Field(ge=16, le=256)] = 80
    """Of the visual hull, along the longest side of the box."""
    least_agreement: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Intersection over union with the hull from which a picture's mask is kept."""
    seed: Annotated[int, Field(ge=0)] = 0
