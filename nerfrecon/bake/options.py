"""How a field is baked. Light: imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class OpticsOptions(Config):
    """What a stored voxel means to a ray. Page and reference read these from the file."""

    step: Annotated[float, Field(ge=0.25, le=2)] = 1.0
    """Length of a step, in voxels."""
    stop: Annotated[float, Field(ge=0, lt=0.1)] = 0.003
    """Transmittance below which a ray ends."""
    low: float = -6.0
    high: float = 3.5
    """Optical thickness of a voxel's length is exp(low + (high - low) code) - exp(low), code in [0, 1]."""


class BakeOptions(Config):
    """Budget, and what is spent on it."""

    most_mb: Positive = 15.0
    """Of the file, in 10^6 bytes; the resolution shrinks until it fits."""
    most_resolution: Annotated[int, Field(ge=16, le=640, multiple_of=8)] = 416
    """Voxels along the cube's side, at most."""
    voxels_per_px: Positive = 1.25
    """Resolution by the pictures': voxels in the width of a pixel at the middle of the cube, at most."""
    learn_from: Literal["photographs", "field"] = "photographs"
    """What training views should look like: their photographs, where these say what is object and exposures
    were not fitted, or the field's renderings of them."""
    views: Annotated[int, Field(ge=1)] = 56
    """Training views that are learned from, at most; spread evenly."""
    orbit: Annotated[int, Field(ge=0)] = 8
    """Renderings of a turn around the box that are learned from too."""
    most_px: Annotated[int, Field(ge=16)] = 400
    """Longest side of all these pictures."""
    least_thickness: Positive = 0.003
    """Optical thickness of a voxel's length below which it is empty."""
    least_weight: Share = 0.004
    """Voxels that no ray of these views sees with this weight are dropped."""
    margin_voxels: Annotated[float, Field(ge=0)] = 6.0
    """Depth behind visible surfaces in which voxels are looked at at all."""
    look_rays: Annotated[int, Field(ge=1)] = 400_000
    """Rays that find out what is seen, and in which colours, before the fit."""
    fit_cpu_s: Positive = 160.0
    """CPU-seconds of the fit to these pictures ..."""
    fit_steps: Annotated[int, Field(ge=1)] | None = None
    """... or so many steps of it, where that is less."""
    rays: Annotated[int, Field(ge=64)] = 8192
    """Of a step of the fit."""
    value_rate: Positive = 0.05
    """Adam's step of voxel values (which lie in [0, 1])."""
    network_rate: Positive = 2e-2
    seed: Annotated[int, Field(ge=0)] = 0
    optics: OpticsOptions = OpticsOptions()
