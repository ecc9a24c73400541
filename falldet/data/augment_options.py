"""How training pictures are varied, as it is written in YAML. Light: imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from suite.config import Config

Chance = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(gt=0, le=8)]


class AugmentOptions(Config):
    """Geometry first, then colours, then the faults of cameras. Gravity tells who has fallen: little is
    turned."""

    scale: tuple[Factor, Factor] = (0.6, 1.5)
    """Range of the scale, relative to the whole picture in view; drawn evenly in its logarithm."""
    close: Chance = 0.0
    """Chance of a close view instead: somebody, whole, fills a third to nearly all of the canvas, as in
    photographs."""
    shift: Chance = 0.2
    """How far the picture moves, as a share of the canvas, at most."""
    rotate_deg: Annotated[float, Field(ge=0, le=45)] = 6.0
    stretch: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """How much wider or narrower, at most; pictures stretched to a square are common in public sets."""
    flip: Chance = 0.5
    mosaic: Chance = 0.3
    """Chance that four pictures share the canvas."""
    smallest_share: Chance = 0.4
    """A person of whom less is left in the canvas is no longer labelled."""
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.3
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.3
    saturation: Annotated[float, Field(ge=0, lt=1)] = 0.5
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.03
    """Of the whole circle."""
    grey: Chance = 0.1
    """Chance of a picture without colours, as infrared cameras give at night."""
    coarse: Chance = 0.0
    """Chance of a picture that was small and has been enlarged."""
    blur: Chance = 0.1
    noise: Chance = 0.1
    jpeg: Chance = 0.1
    """Chance of a strong compression."""
    erase: Chance = 0.2
    """Chance that a patch of a person is covered, as by furniture."""

    @model_validator(mode="after")
    def _check(self) -> AugmentOptions:
        if self.scale[0] > self.scale[1]:
            raise ValueError("scale goes from the smaller factor to the larger")
        return self
