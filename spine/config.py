"""Every setting of `spine fit`, with a sentence each: what a configuration file or `key=value` may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from spine.fit_options import FitOptions
from spine.landmarks import LandmarkOptions
from spine.orientation import Axis
from spine.surface import Units
from suite.config import Config

Positive = Annotated[float, Field(gt=0)]


class SurfaceOptions(Config):
    """How the file is to be read; what is left on `auto` is found, and said in the report."""

    units: Units = "auto"
    """Unit of the file's coordinates."""
    up: Axis = "auto"
    """Axis of the file that points up, against gravity; stating it makes gravity known."""
    facing: Axis = "auto"
    """Axis of the file that points from the person to the viewer behind."""
    depth_unit_m: Positive = 0.001
    """Metres per count of a 16-bit depth image."""


class MeasureOptions(Config):
    """How the indices and their intervals are computed."""

    samples: Annotated[int, Field(ge=50, le=20_000)] = 400
    """Draws from the posterior behind every 90 % interval."""
    seed: int = 0
    """Seed of these draws: the same scan gives the same intervals."""
    calibrated_cobb: bool = True
    """Whether Cobb angles are also given on the scale of radiographs, where a calibration is shipped."""


class ReportOptions(Config):
    """What stands on the page."""

    subject: Annotated[str, Field(max_length=60)] = ""
    """A pseudonym to print at the top; nothing else on the page says who was scanned."""
    scene: bool = True
    """Whether the page carries the 3D scene, which adds about 7 MB."""
    skin_vertices: Annotated[int, Field(ge=1000, le=200_000)] = 20_000
    """Most vertices of the skin in the scene and in skin.glb."""
    heat: Literal["asymmetry", "curvature"] = "asymmetry"
    """What colours the skin in the 3D scene when its heat map is switched on."""


class SpineConfig(Config):
    """All settings of a fit; the defaults need no change for a scan of a standing person's bare back."""

    surface: SurfaceOptions = SurfaceOptions()
    """Reading the scan."""
    landmarks: LandmarkOptions = LandmarkOptions()
    """Finding VP, base, dimples and the spinous line."""
    fit: FitOptions = FitOptions()
    """Fitting the chain of vertebrae."""
    measure: MeasureOptions = MeasureOptions()
    """Indices and intervals."""
    report: ReportOptions = ReportOptions()
    """The page."""
