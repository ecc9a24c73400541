"""Finds on the skin what the fit needs: VP, the base mid-point, lumbar dimples and the spinous line.

    heights of VP and base (anchors) -> frame (align_to_body) -> line (spinous_line), twice, each time from
    better landmarks -> surface rotation along the line -> dimples

Sideways, VP and base are where the line is; only their heights are looked for by themselves. Coloured skin
markers, where the scan has colour and shows them, take the place of what was found. Landmarks that a person
has edited come through `spine.landmarks_file`. Both are put in their place by `placed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field
from scipy.interpolate import PchipInterpolator

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
from suite.geometry.rotations import se3_inverse, transform_points
from suite.threads import one_thread

Source = Literal["automatic", "edited", "markers"]
Point = Float[np.ndarray, " 3"]
Positive = Annotated[float, Field(gt=0)]

SHIFTED_MM = ((0.0, 0.0, 0.0), (8.0, -4.0, 8.0), (-8.0, 4.0, 8.0), (8.0, 4.0, -8.0), (-8.0, -4.0, -8.0))
"""Landmarks the line is sought from beside those found: x of VP, x of base, y of both. Mirrored, the set is
the same."""
LEAST_TRUNK_MM = 150.0
DISAGREEMENT_MM = 8.0
ROTATION_DEG_PER_MM = 0.6
"""Error of the rotation of the skin for every mm of noise."""
GIVEN_STEP_MM = 6.0
GIVEN_SIGMA_MM, GIVEN_HEIGHT_SIGMA_MM = 1.5, 3.0
"""Standard deviations of a line (sideways) and of landmarks (in height) that somebody gave. What is found
counts no more, however well it is known on simulated people."""


class LandmarkOptions(Config):
    """How landmarks are found."""

    model: str = DEFAULT
    """The learned model: `simulated`, trained on simulated backs only, or the path of one of your own."""
    markers: bool = True
    """Whether coloured markers on the skin are read where the scan has colour."""
    real_factor: Positive = 1.5
    """Lateral error of the line on real backs over that on simulated ones."""
    rotation_half_widths_mm: Annotated[tuple[Positive, ...], Field(min_length=1)] = (35.0, 50.0, 65.0)
    """Half widths of the windows in which the rotation of the skin is measured; their mean counts."""
    rotation_sigma_deg: Positive = 1.0
    """Error of measuring the rotation of the skin."""


@dataclass(frozen=True)
class Landmarks:
    """Landmarks and spinous line in the body frame of the surface they belong to (mm).

    Sigmas are standard deviations of the landmarks' heights. `confidence` lies between 0 and 1 for "vp",
    "base", "line" and "dimples". Dimples are None where they do not show; left and right are the subject's.
    `source` says where VP or base come from, `line_drawn` whether the line was drawn or marked by a person.
    """

    vp_mm: Point
    base_mm: Point
    vp_sigma_mm: float
    base_sigma_mm: float
    dimple_left_mm: Point | None
    dimple_right_mm: Point | None
    line: LineObservation
    source: Source
    confidence: Mapping[str, float]
    flags: tuple[str, ...] = ()
    line_drawn: bool = False

    def observations(self) -> Observations:
        """What the fit is given. Raises BadInput for a line that is too short or landmarks out of order."""
        return Observations(
            self.line,
            self.vp_mm,
            self.base_mm,
            self.vp_sigma_mm,
            self.base_sigma_mm,
            edited=self.line_drawn,
        )


@dataclass(frozen=True)
class GivenLandmarks:
    """Landmarks that somebody gave or marked on the skin, in the frame of the surface (mm); None where not
    given."""

    vp_mm: Point | None = None
    base_mm: Point | None = None
    dimple_left_mm: Point | None = None
    dimple_right_mm: Point | None = None
    line_mm: Float[np.ndarray, "k 3"] | None = None

    def transformed(self, T: Float[np.ndarray, "4 4"]) -> GivenLandmarks:
        """The same in the frame that T leads to."""
        given = vars(self)
        return GivenLandmarks(**{k: None if p is None else transform_points(T, p) for k, p in given.items()})


@one_thread
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
        x, _ = _line(surface.height(), vp, base, model, SHIFTED_MM[:1])
        vp, base = (on_skin(surface.height(), x[end], point[1]) for end, point in ((-1, vp), (0, base)))
    surface, vp, base = aligned(surface, vp, base)
    line, line_confidence, flags = _found_line(surface, vp, base, model, options)
    dimples, dimple_confidence = find_dimples(surface.height())
    confidence = {
        "vp": _confidence(model.vp.sigma_mm, 15.0),
        "base": _confidence(model.base.sigma_mm, 15.0),
        "line": line_confidence,
        "dimples": dimple_confidence,
    }
    vp_sigma, base_sigma = (max(end.sigma_mm, GIVEN_HEIGHT_SIGMA_MM) for end in (model.vp, model.base))
    found = Landmarks(vp, base, vp_sigma, base_sigma, *dimples, line, "automatic", confidence, flags)
    if not options.markers:
        return surface, found
    markers = find_markers(surface, line)
    if markers is None:
        return surface, found
    return placed(GivenLandmarks(**vars(markers)), surface, found, "markers", options)


def placed(
    given: GivenLandmarks,
    surface: BackSurface,
    found: Landmarks | None,
    source: Literal["edited", "markers"],
    options: LandmarkOptions,
) -> tuple[BackSurface, Landmarks]:
    """Landmarks that somebody gave, and the surface in the body frame they define.

    VP or base that are not given are those of `found` (in the same frame); a line that is not given is sought
    between VP and base, and dimples are looked for.
    """
    vp, base = given.vp_mm, given.base_mm
    sigma = {"vp": GIVEN_HEIGHT_SIGMA_MM, "base": GIVEN_HEIGHT_SIGMA_MM}
    confidence = {"vp": 1.0, "base": 1.0, "line": 1.0, "dimples": 1.0}
    if vp is None:
        assert found is not None
        vp, sigma["vp"], confidence["vp"] = found.vp_mm, found.vp_sigma_mm, found.confidence["vp"]
    if base is None:
        assert found is not None
        base, sigma["base"], confidence["base"] = found.base_mm, found.base_sigma_mm, found.confidence["base"]
    turned, vp, base = aligned(surface, vp, base)
    given = given.transformed(turned.T_body_input @ se3_inverse(surface.T_body_input))
    height, flags = turned.height(), ()
    if given.line_mm is not None:
        line = _given_line(turned, given.line_mm, options)
    else:
        model = load_landmark_model(options.model)
        line, confidence["line"], flags = _found_line(turned, vp, base, model, options)
    dimples = (given.dimple_left_mm, given.dimple_right_mm)
    if dimples[0] is None or dimples[1] is None:
        dimples, confidence["dimples"] = find_dimples(height)
    return turned, Landmarks(
        vp, base, sigma["vp"], sigma["base"], *dimples, line, source, confidence, flags,
        line_drawn=given.line_mm is not None,
    )  # fmt: skip


def observe_line(
    surface: BackSurface,
    x_mm: Float[np.ndarray, " m"],
    y_mm: Float[np.ndarray, " m"],
    sigma_mm: Float[np.ndarray, " m"],
    options: LandmarkOptions,
) -> LineObservation:
    """A line on the skin with the depth and rotation of the skin along it; NaN where no skin was seen.

    The noise of the scan adds to the error of the rotation.
    """
    height = surface.height()
    skin = smoothed(height, 2.0, 6.0)
    z = np.where(height.is_observed(x_mm, y_mm), skin.sample(x_mm, y_mm), np.nan)
    rotation = mean_rotation_rad(height, x_mm, y_mm, options.rotation_half_widths_mm)
    noise_deg = ROTATION_DEG_PER_MM * np.nan_to_num(surface.noise_mm)
    rotation_sigma = np.full(len(y_mm), np.radians(np.hypot(options.rotation_sigma_deg, noise_deg)))
    return LineObservation(y_mm, x_mm, z, sigma_mm, rotation, rotation_sigma)


def _found_line(
    surface: BackSurface, vp: Point, base: Point, model: LandmarkModel, options: LandmarkOptions
) -> tuple[LineObservation, float, tuple[str, ...]]:
    """The line between VP and base with its errors, a confidence, and what makes it doubtful."""
    x, spread = _line(surface.height(), vp, base, model)
    trunk, inside = vp[1] - base[1], _inside()
    sigma = np.hypot(options.real_factor * model.line.sigma_mm[inside] * trunk / TRUNK_MM, spread)
    sigma = np.hypot(sigma, np.nan_to_num(surface.noise_mm))
    flags = ()
    if spread.max() > DISAGREEMENT_MM:
        flags = (f"the spinous line is unsure: its estimates differ by {spread.max():.0f} mm (SD)",)
    line = observe_line(surface, x, base[1] + ROWS_U[inside] * trunk, sigma, options)
    return line, _confidence(float(np.sqrt((sigma**2).mean())), 7.0), flags


def _given_line(
    surface: BackSurface, points: Float[np.ndarray, "k 3"], options: LandmarkOptions
) -> LineObservation:
    """A smooth curve through the points, in even steps of height."""
    y, first = np.unique(points[:, 1], return_index=True)
    rows = np.arange(y[0], y[-1] + 1e-9, GIVEN_STEP_MM)
    x = PchipInterpolator(y, points[first, 0])(rows)
    return observe_line(surface, x, rows, np.full(len(rows), GIVEN_SIGMA_MM), options)


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
    height: HeightMap,
    vp: np.ndarray,
    base: np.ndarray,
    model: LandmarkModel,
    shifts: Sequence[tuple[float, float, float]] = SHIFTED_MM,
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """x of the line in the rows from base to VP, and the spread (SD) of its estimates, mm."""
    inside = _inside()
    y = base[1] + ROWS_U[inside] * (vp[1] - base[1])
    lines = []
    for vp_x, base_x, dy in shifts:
        from_vp, from_base = vp[:2] + np.array([vp_x, dy]), base[:2] + np.array([base_x, -dy])
        scale = (from_vp[1] - from_base[1]) / TRUNK_MM
        rows = from_base[1] + ROWS_U * (from_vp[1] - from_base[1])
        for canonical in find_line(canonical_map(height, from_vp, from_base), model.line):
            lines.append(np.interp(y, rows, chord(ROWS_U, from_vp, from_base) + scale * canonical))
    return np.mean(lines, axis=0), np.std(lines, axis=0)


def _inside() -> np.ndarray:
    return (ROWS_U >= 0) & (ROWS_U <= 1)


def on_skin(height: HeightMap, x_mm: float, y_mm: float) -> Point:
    """The point of the skin at (x, y)."""
    return np.array([x_mm, y_mm, float(smoothed(height, 2.0, 6.0).sample(x_mm, y_mm))])


def aligned(surface: BackSurface, vp_mm: Point, base_mm: Point) -> tuple[BackSurface, Point, Point]:
    """Surface, VP and base after align_to_body."""
    turned = align_to_body(surface, vp_mm, base_mm)
    T = turned.T_body_input @ se3_inverse(surface.T_body_input)
    vp, base = transform_points(T, np.stack([vp_mm, base_mm]))
    return turned, vp, base


def _confidence(sigma_mm: float, halves_at_mm: float) -> float:
    """1 for a sure landmark, .5 for one that is off by halves_at_mm."""
    return float(1 / (1 + (sigma_mm / halves_at_mm) ** 2))
