"""Transforms of training images as they are written in YAML. Light: imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config

Probability = Annotated[float, Field(ge=0, le=1)]


class RandomResizedCrop(Config):
    """A random part of the image, stretched to the square."""

    type: Literal["random_resized_crop"] = "random_resized_crop"
    scale: tuple[Probability, Probability] = (0.35, 1.0)
    """Share of the image's area."""
    ratio: tuple[float, float] = (0.75, 1.3333333)
    """Width over height of the part."""


class Flip(Config):
    """Mirrored."""

    type: Literal["flip"] = "flip"
    direction: Literal["horizontal", "vertical"] = "horizontal"
    probability: Probability = 0.5


Transform = Annotated[RandomResizedCrop | Flip, Field(discriminator="type")]


class AugmentOptions(Config):
    """What is done to training images, in order; the first that makes a square sets the size."""

    transforms: tuple[Transform, ...] = (RandomResizedCrop(), Flip())
