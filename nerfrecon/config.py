"""The whole of a reconstruction as YAML. Light: imports no torch, so that checking is instant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from nerfrecon.options import (
    BatchOptions,
    Count,
    DensityFieldOptions,
    FieldOptions,
    LossOptions,
    NotNegative,
    OptimiserOptions,
    Positive,
    SamplingOptions,
    SdfFieldOptions,
    TrainOptions,
)
from suite.config import Config

Corner = tuple[float, float, float]


class DensityStart(Config):
    """A density field that goes before a signed distance: it opens what a sphere would close."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Its share of the training. It finds the shape, openings above all; what follows keeps it."""
    batch: BatchOptions = BatchOptions()
    optimiser: OptimiserOptions = OptimiserOptions(network_lr=1e-2, warm_up_steps=20)
    """Rates of its own: a density field bears greater ones than a signed distance."""
    threshold: Positive = 120.0
    """Density per unit length that is the surface."""
    resolution: Annotated[int, Field(ge=16, le=256)] = 192
    """Cells a side that it is looked at in."""
    fit_steps: Count = 600
    """Steps of the signed distance's fit to what it found."""
    prior: tuple[NotNegative, NotNegative] = (1.0, 0.03)
    """Weight, a ray, of the cells that its samples are off the distance that was found: at first and in the
    end; it falls by a constant factor, and 0 in either leaves it out. Colours begin with nothing, and what
    they say of the shape at first is wrong."""


class LookOptions(Config):
    """What is shown and saved while a training goes on."""

    times: Annotated[int, Field(ge=1, le=1000)] = 10
    """Looks at held-out views, with a preview and a checkpoint each."""
    views: Annotated[int, Field(ge=1)] = 2
    """Held-out views at each of them; all of them in the end."""
    most_px: Annotated[int, Field(ge=8)] = 256
    """Longest side of the pictures at each of them; their full size in the end."""


class VisibilityOptions(Config):
    """When cells that no camera sees any more are given up (`sampling.dynamic_visibility`)."""

    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.4, 0.7)
    """Shares of the training after which surfaces are taken to hide what is behind them."""
    lines_of_sight: bool = False
    """Begin without cells that lines of sight to sparse points pass through, from two sets of views."""
    margin_cells: NotNegative = 3.0
    """Cells behind a surface that stay, and cells before and around a sparse point."""


class NerfreconConfig(Config):
    """A reconstruction: scene, field, sampling, losses, training."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] = "scene"
    """Name of the run's folder below `runs`."""
    scene: Path | None = None
    """Folder or file with pictures and poses: transforms.json, NeRF-synthetic, COLMAP, cameras_sphere.npz."""
    box: tuple[Corner, Corner] | None = None
    """Lower and upper corner in the world of what is to be reconstructed, instead of the scene's own."""
    picture_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Pictures are averaged down by this before anything else."""
    background: Literal["white", "black"] = "white"
    """What pictures with a mask or alpha are laid over in judging and rendering."""
    field: FieldOptions = DensityFieldOptions()
    sampling: SamplingOptions = SamplingOptions()
    losses: LossOptions = LossOptions()
    train: TrainOptions = TrainOptions()
    start: DensityStart | None = None
    """Begin a signed distance from a density field."""
    visibility: VisibilityOptions = VisibilityOptions()
    look: LookOptions = LookOptions()
    device: str = "cpu"
    """Where the torch backend computes: cpu, cuda, cuda:NUMBER."""

    @model_validator(mode="after")
    def _starts(self) -> NerfreconConfig:
        if self.start is not None and not isinstance(self.field, SdfFieldOptions):
            raise ValueError("start is for fields of type sdf")
        return self
