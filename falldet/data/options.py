"""Labelled data as it is named in YAML. Light: imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config


class LabelledSource(Config):
    """What all sources have in common."""

    rename: dict[str, str | None] = Field(default_factory=dict)
    """Categories of the source -> our classes; people of a category that becomes null are left out."""


class CocoSource(LabelledSource):
    """A COCO file: boxes with a category, `tags` of an annotation, `group` (or `video`) of an image."""

    type: Literal["coco"] = "coco"
    file: Path
    root: Path | None = None
    """Folder the image names are below; the folder of the file where it is not given."""


class LabelmeSource(LabelledSource):
    """A folder of pictures with one labelme JSON beside each; rectangles labelled "1" are fallen, "0" not."""

    type: Literal["labelme"] = "labelme"
    root: Path


class YoloSource(LabelledSource):
    """A folder of pictures with a text file beside each, or below `labels` where they are below `images`."""

    type: Literal["yolo"] = "yolo"
    root: Path
    names: tuple[str, ...] | None = None
    """Names of the class numbers; what data.yaml in the folder, or up to two above, says where not given."""


Source = Annotated[CocoSource | LabelmeSource | YoloSource, Field(discriminator="type")]
