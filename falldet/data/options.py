"""Labelled data as it is named in YAML. Light: imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config


class CocoSource(Config):
    """A COCO file: boxes with a category; `tags` of an annotation and `video` or `group` of an image are kept."""

    type: Literal["coco"] = "coco"
    file: Path
    root: Path | None = None
    """Folder the image names are below; the folder of the file where it is not given."""


class LabelmeSource(Config):
    """A folder of pictures with one labelme JSON beside each; rectangles labelled "1" are fallen, "0" not."""

    type: Literal["labelme"] = "labelme"
    root: Path


class YoloSource(Config):
    """A folder of pictures with one text file beside each, or below `labels` where pictures are below `images`."""

    type: Literal["yolo"] = "yolo"
    root: Path
    names: tuple[str, ...] | None = None
    """Names of the class numbers; what data.yaml in the folder says where it is not given."""


Source = Annotated[CocoSource | LabelmeSource | YoloSource, Field(discriminator="type")]
