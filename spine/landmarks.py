"""Finds on the skin what the fit needs: VP, the base mid-point, lumbar dimples and the spinous line.

    heights of VP and base (anchors) -> frame (align_to_body) -> line (spinous_line), twice, each time from
    better landmarks -> surface rotation along the line -> dimples

Sideways, VP and base are where the line is; only their heights are looked for by themselves. Coloured skin
markers, where the scan has colour and shows them, take the place of what was found. Landmarks that a person
has edited come through `spine.landmarks_file`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from spine.anchors import end_features, ends, middle_at
from spine.dimples import find_dimples
from spine.heightmap import HeightMap, smoothed
from spine.landmark_model import DEFAULT, LandmarkModel, load_landmark_model
from spine.observations import LineObservation, Observations
from spine.skin_markers import find_markers
from spine.spinous_line import ROWS_U, TRUNK_MM, canonical_map, chord, find_line
from spine.surface import BackSurface, align_to_body
from spine.surface_rotation import mean_rotation_rad
from suite.config import Config
from suite.errors import BadInput
from suite.geometry.rotations import transform_points

Source = Literal["automatic", "edited", "markers"]
Positive = Annotated[float, Field(gt=0)]

SHIFTED_MM = ((0.0, 0.0, 0.0), (8.0, -4.0, 8.0), (-8.0, 4.0, 8.0), (8.0, 4.0, -8.0), (-8.0, -4.0, -8.0))
"""Landmarks the line is sought from beside those found: x of VP, x of base, y of both. Mirrored, the set is
the same."""
LEAST_TRUNK_MM = 150.0
DISAGREEMENT_MM = 8.0


class LandmarkOptions(Config):
    """How landmarks are found."""

    model: str = DEFAULT
    """The learned model: `simulated`, trained on simulated backs only, or the path of one of your own."""
    markers: bool = True
    """Whether coloured markers on the skin are read where the scan has colour."""
    real_factor: Positive = 1.5
    """Lateral error of the line on real backs over that on simulated ones."""
    rotation_half_widths_mm: tuple[Positive, ...] = (35.0, 50.0, 65.0)
    """Half widths of the windows in which the rotation of the skin is measured; their mean counts."""
    rotation_sigma_deg: Positive = 1.0
    """Error of measuring the rotation of the skin."""


@dataclass(frozen=True)
class Landmarks:
    """Landmarks and spinous line in the body frame of the surface they belong to (mm).

    Sigmas are standard deviations of the landmarks' heights. `confidence` lies between 0 and 1 for "vp",
    "base", "line" and "dimples". Dimples are None where they do not show; left and right are the subject's.
    """

    vp_mm: Float[np.ndarray, " 3"]
    base_mm: Float[np.ndarray, " 3"]
    vp_sigma_mm: float
    base_sigma_mm: float
    dimple_left_mm: Float[np.ndarray, " 3"] | None
    dimple_right_mm: Float[np.ndarray, " 3"] | None
    line: LineObservation
    source: Source
    confidence: Mapping[str, float]
    flags: tuple[str, ...] = ()

    def observations(self) -> Observations:
        """What the fit is given. Raises BadInput for a line that is too short or landmarks out of order."""
        return Observations(
            self.line,
            self.vp_mm,
            self.base_mm,
            self.vp_sigma_mm,
            self.base_sigma_mm,
            edited=self.source != "automatic",
        )


def find_landmarks(
    surface: BackSurface, options: LandmarkOptions | None = None
) -> tuple[BackSurface, Landmarks]:
    """The landmarks of a back, and the surface in its body frame proper: origin at the base, facing the
    viewer.

    Raises BadInput for a back whose ends leave no room for a trunk.
    """
    options = options or LandmarkOptions()
    model = load_landmark_model(options.model)
    height = surface.height()
    vp_y, base_y = _heights(height, model)
    vp = on_skin(height, middle_at(height, vp_y), vp_y)
    base = on_skin(height, middle_at(height, base_y), base_y)
    for _ in range(2):
        surface, vp, base = aligned(surface, vp, base)
        x, _ = _line(surface.height(), vp, base, model)
        vp, base = (on_skin(surface.height(), x[end], point[1]) for end, point in ((-1, vp), (0, base)))
    surface, vp, base = aligned(surface, vp, base)
    x, spread = _line(surface.height(), vp, base, model)

    trunk, inside = vp[1] - base[1], _inside()
    sigma = np.hypot(options.real_factor * model.line.sigma_mm[inside] * trunk / TRUNK_MM, spread)
    flags = ()
    if spread.max() > DISAGREEMENT_MM:
        flags = (f"the spinous line is unsure: its estimates differ by {spread.max():.0f} mm (SD)",)
    dimples, dimple_confidence = find_dimples(surface.height())
    confidence = {
        "vp": _confidence(model.vp.sigma_mm, 15.0),
        "base": _confidence(model.base.sigma_mm, 15.0),
        "line": _confidence(float(np.sqrt((sigma**2).mean())), 7.0),
        "dimples": dimple_confidence,
    }
    found = Landmarks(
        vp_mm=vp,
        base_mm=base,
        vp_sigma_mm=model.vp.sigma_mm,
        base_sigma_mm=model.base.sigma_mm,
        dimple_left_mm=None if dimples is None else dimples[0],
        dimple_right_mm=None if dimples is None else dimples[1],
        line=observe_line(surface.height(), x, ROWS_U[inside] * trunk, sigma, options),
        source="automatic",
        confidence=confidence,
        flags=flags,
    )
    return with_markers(surface, found, options) if options.markers else (surface, found)


def observe_line(
    height: HeightMap,
    x_mm: Float[np.ndarray, " m"],
    y_mm: Float[np.ndarray, " m"],
    sigma_mm: Float[np.ndarray, " m"],
    options: LandmarkOptions,
) -> LineObservation:
    """A line on the skin with the depth and rotation of the skin along it; NaN where no skin was seen."""
    skin = smoothed(height, 2.0, 6.0)
    z = np.where(height.is_observed(x_mm, y_mm), skin.sample(x_mm, y_mm), np.nan)
    rotation = mean_rotation_rad(height, x_mm, y_mm, options.rotation_half_widths_mm)
    rotation_sigma = np.full(len(y_mm), np.radians(options.rotation_sigma_deg))
    return LineObservation(y_mm, x_mm, z, sigma_mm, rotation, rotation_sigma)


def with_markers(
    surface: BackSurface, found: Landmarks, options: LandmarkOptions
) -> tuple[BackSurface, Landmarks]:
    """The same landmarks, with those in place that coloured markers on the skin show."""
    from spine.landmarks_file import GivenLandmarks, placed

    markers = find_markers(surface, found.line)
    if markers is None:
        return surface, found
    given = GivenLandmarks(
        vp_mm=markers.vp_mm if markers.vp_mm is not None else found.vp_mm,
        base_mm=markers.base_mm if markers.base_mm is not None else found.base_mm,
        dimple_left_mm=markers.dimple_left_mm,
        dimple_right_mm=markers.dimple_right_mm,
        line_mm=markers.line_mm if markers.line_mm is not None else None,
    )
    return placed(given, surface, found, "markers", options)


def _heights(height: HeightMap, model: LandmarkModel) -> tuple[float, float]:
    """y of VP and base from the two ends of the scan."""
    back = ends(height)
    vp = back.top_mm - model.vp.distance_mm(end_features(height, at_top=True))
    base = back.bottom_mm + model.base.distance_mm(end_features(height, at_top=False))
    if vp - base < LEAST_TRUNK_MM:
        scan = back.top_mm - back.bottom_mm
        raise BadInput(
            f"VP and base would be {vp - base:.0f} mm apart in a scan {scan:.0f} mm high",
            "landmarks",
            "scan the back from the cleft to the neck, or give landmarks by --landmarks",
        )
    return vp, base


def _line(
    height: HeightMap, vp: np.ndarray, base: np.ndarray, model: LandmarkModel
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """x of the line in the rows from base to VP, and the spread (SD) of its estimates, mm."""
    inside = _inside()
    y = base[1] + ROWS_U[inside] * (vp[1] - base[1])
    lines = []
    for vp_x, base_x, dy in SHIFTED_MM:
        from_vp, from_base = vp[:2] + np.array([vp_x, dy]), base[:2] + np.array([base_x, -dy])
        scale = (from_vp[1] - from_base[1]) / TRUNK_MM
        rows = from_base[1] + ROWS_U * (from_vp[1] - from_base[1])
        for canonical in find_line(canonical_map(height, from_vp, from_base), model.line):
            lines.append(np.interp(y, rows, chord(ROWS_U, from_vp, from_base) + scale * canonical))
    return np.mean(lines, axis=0), np.std(lines, axis=0)


def _inside() -> np.ndarray:
    return (ROWS_U >= 0) & (ROWS_U <= 1)


def on_skin(height: HeightMap, x_mm: float, y_mm: float) -> Float[np.ndarray, " 3"]:
    """The point of the skin at (x, y)."""
    return np.array([x_mm, y_mm, float(smoothed(height, 2.0, 6.0).sample(x_mm, y_mm))])


def aligned(
    surface: BackSurface, vp_mm: Float[np.ndarray, " 3"], base_mm: Float[np.ndarray, " 3"]
) -> tuple[BackSurface, Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Surface, VP and base after align_to_body."""
    turned = align_to_body(surface, vp_mm, base_mm)
    T = turned.T_body_input @ np.linalg.inv(surface.T_body_input)
    vp, base = transform_points(T, np.stack([vp_mm, base_mm]))
    return turned, vp, base


def _confidence(sigma_mm: float, halves_at_mm: float) -> float:
    """1 for a sure landmark, .5 for one that is off by halves_at_mm."""
    return float(1 / (1 + (sigma_mm / halves_at_mm) ** 2))
