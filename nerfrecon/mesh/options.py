"""How a field becomes a mesh. Light: imports no numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config


class MeshOptions(Config):
    """Where the surface is taken from, how finely it is looked at, and how many triangles may be left."""

    source: Literal["level_set", "depth"] = "level_set"
    """`level_set`: where the signed distance is zero, or the density a threshold, filled where no views look
    into. `depth`: depth rendered from the views the field learned from, fused: smoother, and blunter in
    openings."""
    coarse_cells: Annotated[int, Field(ge=16, le=256)] = 96
    """Cells a side of the unit cube that are all looked at ..."""
    finer: Annotated[int, Field(ge=1, le=8)] = 3
    """... and into how many a side those near the surface are split."""
    density_threshold: Annotated[float, Field(gt=0)] = 120.0
    """Density per unit length that is a surface."""
    depth_px: Annotated[int, Field(ge=32)] = 160
    """Longest side of the depth pictures, which are fused, or say what views look into."""
    truncation_cells: Annotated[float, Field(gt=0)] = 2.5
    """Coarse cells behind a surface that a view still says something about."""
    smooth_cells: Annotated[float, Field(ge=0, le=8)] = 0.0
    """Sigma, in fine cells, of the Gaussian over what comes from a density; it shrinks what is convex."""
    smooth_rounds: Annotated[int, Field(ge=0, le=200)] = 30
    """Of smoothing that does not shrink, of what comes from a density; a signed distance is smooth."""
    keep_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Parts of at least this share of the largest one's area stay; 1 keeps the largest alone."""
    faces: Annotated[int, Field(ge=100)] = 50_000
    """At most so many triangles."""
