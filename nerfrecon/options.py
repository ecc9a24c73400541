"""Settings of fields as they are written in YAML. Light: imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config

Count = Annotated[int, Field(ge=1)]


class GridOptions(Config):
    """Multi-resolution hash grid (Mueller et al. 2022)."""

    levels: Annotated[int, Field(ge=1, le=32)] = 16
    features: Literal[1, 2, 4, 8] = 2
    """Numbers a level gives."""
    log2_table: Annotated[int, Field(ge=8, le=24)] = 19
    """Entries of a level at most, as a power of two: 19 for quality, 17 for speed."""
    coarsest_resolution: Annotated[int, Field(ge=2, le=1024)] = 16
    finest_resolution: Annotated[int, Field(ge=2, le=65536)] = 2048
