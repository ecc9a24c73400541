"""Photographs to a product as YAML: where they lie, and one part for each stage. Light: imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from nerfrecon.bake.options import BakeOptions
from nerfrecon.config import NerfreconConfig
from nerfrecon.frames.options import FramesOptions
from nerfrecon.mesh.options import MeshOptions
from nerfrecon.object.options import ObjectOptions
from nerfrecon.sfm.options import SfmOptions
from nerfrecon.texture.options import TextureOptions
from suite.config import Config

Quality = Literal["draft", "standard", "high"]
RECIPES = Path(__file__).with_name("configs") / "product"


class ViewerOptions(Config):
    """The pages that show the product."""

    title: str = ""
    """Of the pages; the product's name where it is empty."""
    baked: bool = True
    """Bake a model that renders in real time, and write its page."""


class ProductConfig(Config):
    """A product: its photographs, or a scene with poses, and the settings of each stage."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "product"
    """Name of the product's folder below `runs`."""
    source: Path | None = None
    """A folder of photographs, or a video."""
    poses: Path | None = None
    """Instead: a scene whose poses are known (anything that nerfrecon train reads)."""
    quality: Quality = "standard"
    """The recipe that this began as."""
    frames: FramesOptions = FramesOptions()
    sfm: SfmOptions = SfmOptions()
    object: ObjectOptions = ObjectOptions()
    field: NerfreconConfig = NerfreconConfig(name="field")
    """As in nerfrecon train; its scene is what stage object makes."""
    mesh: MeshOptions = MeshOptions()
    texture: TextureOptions = TextureOptions()
    bake: BakeOptions = BakeOptions()
    viewer: ViewerOptions = ViewerOptions()

    @model_validator(mode="after")
    def _has_one_source(self) -> ProductConfig:
        if self.source is not None and self.poses is not None:
            raise ValueError("give source or poses, not both")
        if self.field.scene is not None or self.field.box is not None:
            raise ValueError("field.scene and field.box come from stage object; set object instead")
        return self
