"""How a mesh gets its texture. Light: imports no numpy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from suite.config import Config


class AtlasOptions(Config):
    """How the surface is cut into charts and these are laid out (xatlas)."""

    max_cost: Annotated[float, Field(gt=0)] = 2.0
    """A chart grows until it would cost more: larger means fewer charts that are more distorted."""
    max_iterations: Annotated[int, Field(ge=1, le=8)] = 1
    """Rounds in which charts are grown anew from their middles."""
    padding_px: Annotated[int, Field(ge=2, le=32)] = 4
    """Texels between charts; 4 are enough for two levels of a mip map."""
    texels_a_pixel: Annotated[float, Field(gt=0)] = 1.0
    """How fine the texture is, by the pixels in the sharpest quarter of what photographs show of it ..."""
    smallest_px: Annotated[int, Field(ge=64, le=4096)] = 512
    largest_px: Annotated[int, Field(ge=64, le=8192)] = 2048
    """... within these sides of the texture."""


class RobustOptions(Config):
    """Residuals that say little, such as highlights, which move with the camera, and edges a pixel off."""

    type: Literal["none", "huber", "cauchy", "welsch"] = "cauchy"
    scale: Annotated[float, Field(gt=0)] = 3.0
    """In standard deviations of the residuals (by their median) ..."""
    least: Annotated[float, Field(gt=0)] = 0.02
    """... and at least this, of white."""


class SolveOptions(Config):
    """The least squares of what a render of the texture differs from the photographs by."""

    rounds: Annotated[int, Field(ge=1, le=20)] = 3
    """Robust weights and exposures are set anew between so many solves ..."""
    iterations: Annotated[int, Field(ge=1, le=200)] = 8
    """... of so many steps of conjugate gradients each."""
    smooth: Annotated[float, Field(ge=0)] = 0.01
    """Weight of differences between neighbouring texels, by what a well-seen texel weighs."""
    exposure: Literal["auto", "on", "off"] = "auto"
    """A gain of each colour for every photograph; `auto` keeps gains of 1 where they hardly differ."""
    robust: RobustOptions = RobustOptions()


class ViewOptions(Config):
    """Which pixels of the photographs are painted from, and how far each is believed."""

    rays_a_side: Annotated[int, Field(ge=1, le=4)] = 2
    """A pixel is the mean of this many by this many rays."""
    border_px: Annotated[int, Field(ge=0, le=32)] = 2
    """So near to the object's border, its mask's and to edges that hide something, pixels say little."""
    border_weight: Annotated[float, Field(ge=0, le=1)] = 0.01
    least_cosine: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Between the ray and the surface's normal."""
    best_power: Annotated[float, Field(ge=0)] = 1.0
    """Of a pixel's weight by the best one's that shows the same spot: larger leans on the best views."""
    most_rays: Annotated[int, Field(ge=10_000)] = 12_000_000
    """In all; beyond that the pixels that count least are left out. 30 bytes of memory each."""


class RefineOptions(Config):
    """Vertices moved along their normals before the texture is made, until photographs agree."""

    rounds: Annotated[int, Field(ge=0, le=20)] = 0
    """Of Gauss-Newton; 0 leaves the mesh as it is."""
    spots: Annotated[int, Field(ge=1000)] = 100_000
    """On the surface, where the photographs are compared."""
    blur_px: Annotated[float, Field(ge=0)] = 1.5
    """Sigma of the Gaussian over the photographs in the first round; it falls to 0 by the last."""
    smooth: Annotated[float, Field(ge=0)] = 1.0
    """Weight of differences between the offsets of neighbours, by what a typical vertex is pushed with."""
    most_step_px: Annotated[float, Field(gt=0)] = 1.0
    """A vertex moves at most so many pixels' sizes a round."""


class ImageOptions(Config):
    """The texture in the file."""

    format: Literal["jpeg", "png"] = "jpeg"
    quality: Annotated[int, Field(ge=50, le=100)] = 93
    """Of the JPEG."""


class TextureOptions(Config):
    """From mesh and photographs to a textured mesh in one GLB."""

    refine: RefineOptions = RefineOptions()
    atlas: AtlasOptions = AtlasOptions()
    views: ViewOptions = ViewOptions()
    solve: SolveOptions = SolveOptions()
    image: ImageOptions = ImageOptions()
    picture_px: Annotated[int, Field(ge=32)] = 2000
    """Photographs are averaged down to this longest side."""
    material: Literal["unlit", "matt"] = "unlit"
    """`unlit` shows the photographs' colours as they are; `matt` is lit once more by the viewer's lamps."""
