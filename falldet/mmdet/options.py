"""mmdet as the engine, as it is written in YAML. Light: imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from suite.config import Config

Count = Annotated[int, Field(ge=1)]


class MmdetOptions(Config):
    """One of mmdet's configs, trained on our data and with our classes."""

    type: Literal["mmdet"] = "mmdet"
    config: str = "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py"
    """A config: its name among those that come with mmdet, or a file (.py, .json, .yaml)."""
    allow_code: bool = False
    """Run a config that is a Python file of one's own; it may do anything. mmdet's own always run."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Values over those of the config, by dotted names (`model.backbone.depth`); they are merged first."""
    weights: Path | None = None
    """A checkpoint to start from, of the same model; its classes are cut to ours where it is a cascade."""
    fetch: bool = True
    """Without `weights`: let mmdet fetch the weights that the config names for its backbone."""
    epochs: Count | None = None
    """The config's own where it is not given; its schedule is stretched to it."""
    lr: Annotated[float, Field(gt=0)] | None = None
    """The config's own where it is not given; those of mmdet are for 16 pictures in a batch."""
    batch: Count = 2
    """Pictures in a batch."""
    long_px: Count | None = None
    """Pictures are scaled within `long_px` and `short_px`; as in the config where they are not given."""
    short_px: Count | None = None
    seed: int = 0
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Score from which a detection of the trained model counts."""
