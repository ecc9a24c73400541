"""How synthetic people are drawn, as it is written in YAML. Light: imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from suite.config import Config

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class SyntheticOptions(Config):
    """Pictures of people in rooms. Picture i is a function of these settings, the seed and i alone."""

    count: Count = 2000
    """Pictures."""
    seed: int = 0
    first: Annotated[int, Field(ge=0)] = 0
    """Number of the first picture, so that several processes can each draw a part."""
    image_px: Annotated[int, Field(ge=64)] = 416
    """Long side of a picture."""
    aspects: tuple[float, ...] = (4 / 3, 4 / 3, 16 / 9, 1.0)
    """Width by height; each as likely as any other that is written."""
    fallen: Share = 0.45
    """Share of people who are drawn fallen."""
    empty: Share = 0.05
    """Share of pictures with nobody in them."""
    outdoors: Share = 0.08
    """Share of pictures without walls."""
    min_visible: Share = 0.2
    """People of whom less is seen have no label, and pictures with such people are mostly drawn again."""
    min_side_px: Count = 12
    """So do people whose box is narrower or lower than this."""
    people: Count = 64
    """How many different bodies there are to dress and pose."""
    backgrounds: Path | None = None
    """A folder of photographs of empty rooms that replace the walls in some pictures."""
    films: Share = 0.0
    """Share of pictures that are stills of films (`falldet.synthetic.film`): a camera high on the wall,
    people small in the picture, between two postures, on and behind their own furniture."""
    stills: Count = 8
    """Stills of each film."""
    background_share: Share = 0.3
    """Share of pictures with such a photograph, where there are any."""
