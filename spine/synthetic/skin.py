"""The skin of a back as a height field over its spinous line.

In every row of the map the skin is the line's z plus a cross-section F(o) that vanishes on the line (o =
lateral distance from it): the roundness of the trunk, the rotation of the thorax or loins with its vertebrae,
the valley between shoulder blades and columns of muscle, the furrow. Every parameter is a smooth course along
u = y / trunk (0 base mid-point, 1 VP), so that rows differ smoothly from their neighbours.
`spine.synthetic.relief` adds what belongs to a place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from spine.heightmap import HeightMap
from spine.measure.angles import C7, S1, axial_rotation_deg
from spine.synthetic import relief
from spine.synthetic.config import SubjectConfig
from spine.synthetic.posture import Posture
from spine.synthetic.random_curves import SmoothField, course, draw, smooth_curve
from spine.synthetic.skin_line import SkinLine

BELOW_MM, ABOVE_MM, HALF_WIDTH_MM = 85.0, 75.0, 215.0
EDGE = 0.985
"""Skin nearer to the outline (1) than this turns away from a viewer behind."""


@dataclass(frozen=True)
class Grid:
    """Rows and columns of the map with what every part of the skin is built from; body frame, mm.

    u: height over the trunk; o: distance from the line; scale: trunk over 420 mm; rotation: azimuth of the
    vertebrae (rad) per row; centre_x: the trunk's own middle, per row.
    """

    x: Float[np.ndarray, " nx"]
    y: Float[np.ndarray, " ny"]
    u: Float[np.ndarray, " ny"]
    line: Float[np.ndarray, "ny 3"]
    o: Float[np.ndarray, "ny nx"]
    scale: float
    rotation: Float[np.ndarray, " ny"]
    centre_x: Float[np.ndarray, " ny"]

    def wave(self, rng: np.random.Generator, length: float) -> Float[np.ndarray, " ny"]:
        """A smooth random course along the back, unit variance; length in units of u."""
        return smooth_curve(rng, self.u, length)


def lay_skin(
    rng: np.random.Generator, config: SubjectConfig, posture: Posture, line: SkinLine
) -> tuple[HeightMap, Float[np.ndarray, "2 3"], Float[np.ndarray, "m 3"]]:
    """Skin, dimples (left, right) and markers on it."""
    grid = _grid(rng, config, posture, line)
    outline, visible = _trunk(rng, config, grid)
    section = outline + _rotated(rng, config, grid) + _columns(rng, config, grid)
    # What the line itself does faster than the trunk (VP standing out) stays near it.
    z_trunk = gaussian_filter1d(grid.line[:, 2], 22 / config.grid_mm, mode="nearest")
    near = np.exp(-0.5 * (grid.o / (38 * grid.scale)) ** 2)
    local = (
        relief.scapulae(rng, config, grid) + relief.buttocks(rng, grid) + relief.waist_fold(rng, config, grid)
    )
    dimple_xy, dents = relief.dimples(rng, grid)
    local += dents + _unevenness(rng, config, grid)
    z = z_trunk[:, None] + _vanishing(section, grid) + _vanishing(local, grid, 45 * grid.scale)
    z += (grid.line[:, 2] - z_trunk)[:, None] * near
    z, visible = relief.with_arms(rng, config, grid, z, visible)
    marker_xy, bumps = relief.markers(rng, config, grid, visible)
    skin = HeightMap(grid.x, grid.y, z + bumps, visible)
    places = [np.column_stack([xy, skin.sample(xy[:, 0], xy[:, 1])]) for xy in (dimple_xy, marker_xy)]
    return skin, places[0], places[1]


def _grid(rng: np.random.Generator, config: SubjectConfig, posture: Posture, line: SkinLine) -> Grid:
    step, trunk = config.grid_mm, float(line.vp_mm[1])
    scale = trunk / 420
    n = round(HALF_WIDTH_MM * max(scale, 0.9) / step)
    x = np.arange(-n, n + 1) * step
    y = np.arange(-round(BELOW_MM * scale / step), round((trunk + ABOVE_MM * scale) / step) + 1) * step
    on_line = line.at(y)
    upwards = slice(S1, C7 - 1, -1)
    T, azimuth = posture.T_body_vertebra[upwards], axial_rotation_deg(posture.T_body_vertebra)[upwards]
    height, u = T[:, 1, 3], y / trunk
    fade = course((-0.2, 0.2), (0.02, 1.0), (1.0, 1.0), (1.15, 0.3))(u)
    rotation = np.interp(y, height, np.radians(azimuth))
    rotation = gaussian_filter1d(rotation, 14 / step, mode="nearest") * fade
    between = (np.interp(y, height, T[:, 0, 3]) + on_line[:, 0]) / 2
    centre = gaussian_filter1d(between, 30 * scale / step, mode="nearest")
    follow = rng.uniform(*config.trunk_follows_spine)
    follow = course((-0.1, 0.0), (0.15, 0.9 * follow), (0.4, follow), (0.85, follow), (1.05, 1.0))(u)
    sway = smooth_curve(rng, u, 0.3) * 3.0 * scale
    upright = centre[np.abs(u).argmin()]
    middle = upright + follow * (centre - upright) + sway
    return Grid(x, y, u, on_line, x[None, :] - on_line[:, :1], scale, rotation, middle)


def _trunk(
    rng: np.random.Generator, config: SubjectConfig, g: Grid
) -> tuple[Float[np.ndarray, "ny nx"], Bool[np.ndarray, "ny nx"]]:
    """How far the rounded trunk falls away to its sides, and where it is seen."""
    width = draw(rng, config.build) * g.scale
    hips, waist = rng.uniform(140, 158), draw(rng, config.waist)
    shoulder, neck = rng.uniform(158, 186), rng.uniform(47, 60)
    slope_u = np.clip(rng.normal(0, 0.012), -0.03, 0.03)  # where the shoulders rise into the neck, against VP
    half = course(
        (-0.23, 1.08 * hips), (-0.05, hips), (0.12, 0.95 * hips), (0.32, waist * hips), (0.52, 0.94 * hips),
        (0.72, 0.97 * shoulder), (0.84, shoulder), (0.88 + slope_u, 0.97 * shoulder),
        (0.925 + slope_u, rng.uniform(0.76, 0.88) * shoulder), (0.96 + slope_u, 2.0 * neck),
        (1.0 + slope_u, 1.4 * neck), (1.045 + slope_u, 1.03 * neck), (1.25, neck),
    )  # fmt: skip
    depth = draw(rng, config.depth_mm) * g.scale
    depth = depth * course((-0.2, 1.05), (0.1, 0.95), (0.35, 0.9), (0.65, 1.0), (0.9, 0.8), (1.15, 0.55))(g.u)
    power = course(
        (-0.2, 3.6), (0.12, rng.uniform(3.0, 4.0)), (0.3, rng.uniform(3.0, 4.4)),
        (0.5, rng.uniform(3.4, 5.0)), (0.8, rng.uniform(3.2, 4.6)), (0.95, 2.6), (1.1, 2.1),
    )(g.u)  # fmt: skip
    aside = g.x[None, :] - g.centre_x[:, None]
    side = np.tanh(aside / (25 * g.scale))  # -1 left, 1 right, smoothly
    lift = course((0.6, 0.0), (0.9, rng.normal() * 0.011), (1.2, 0.0))(g.u)
    row_width = [half(g.u + s * lift) * (1 + 0.025 * g.wave(rng, 0.15)) for s in (-1, 1)]
    left, right = (gaussian_filter1d(w, 5 * g.scale, mode="nearest")[:, None] * width for w in row_width)
    outline = np.abs(aside) / ((left + right) / 2 + side * (right - left) / 2)
    xi = np.minimum(outline, 0.995)
    drop = 1 - np.sqrt(1 - xi ** power[:, None])
    return -depth[:, None] * drop, outline < EDGE


def _rotated(rng: np.random.Generator, config: SubjectConfig, g: Grid) -> Float[np.ndarray, "ny nx"]:
    """The surface turned with the vertebrae: rib hump and lumbar prominence on the convex side.

    Ribs run downwards from their vertebra to the sides, so that a hump lies lower than the vertebra that
    raises it.
    """
    ratio = rng.uniform(*config.surface_rotation_ratio)
    ribs = course((0.1, 0.0), (0.35, 1.0), (0.85, 1.0), (1.0, 0.5))(g.u) * rng.uniform(*config.rib_slope)
    beside = np.clip(np.abs(g.o) - 15 * g.scale, 0, 110 * g.scale)
    vertebra_y = g.y[:, None] + ribs[:, None] * beside
    rotation = np.interp(vertebra_y.ravel(), g.y, g.rotation).reshape(g.o.shape)
    turn = -np.tan(np.clip(ratio * rotation, -0.6, 0.6))
    reach = course((0.0, rng.uniform(30, 80)), (0.25, rng.uniform(35, 90)), (0.5, rng.uniform(60, 140)),
                   (1.0, rng.uniform(50, 120)))(g.u) * g.scale  # fmt: skip
    decay, steep = rng.uniform(*config.hump_decay), rng.uniform(*config.hump_at_line)
    near = 25.0 * g.scale
    hump = g.o / (1 + (g.o / reach[:, None]) ** 2) ** decay + steep * near * np.tanh(g.o / near)
    hump = turn * hump
    return hump * (1 + rng.normal() * 0.15 * np.tanh(hump / 5))


def _columns(rng: np.random.Generator, config: SubjectConfig, g: Grid) -> Float[np.ndarray, "ny nx"]:
    """Valley, columns of muscle and furrow over the line."""
    scale = g.scale
    depth = draw(rng, config.valley) * np.array([0, 1.6, 6.5, 9.0, 12.5, 12.5, 5.5, 0.0])
    depth += np.array([0.5, 1.5, 2.5, 2.5, 3.0, 3.0, 2.0, 1.0]) * rng.normal(size=8)
    valley = course(*zip((-0.1, 0.08, 0.3, 0.5, 0.7, 0.85, 0.97, 1.1), depth, strict=True))(g.u) * scale
    wide = course((0.0, rng.uniform(16, 26)), (0.3, rng.uniform(20, 32)), (0.6, rng.uniform(28, 48)),
                  (0.8, rng.uniform(34, 56)), (1.0, rng.uniform(40, 60)))(g.u) * scale  # fmt: skip
    of_furrow = g.o - (rng.uniform(*config.furrow_offset_mm) * scale * g.wave(rng, 0.08))[:, None]
    of_valley = g.o - (4.5 * scale * g.wave(rng, 0.15))[:, None]
    z = valley[:, None] * (1 - np.exp(-0.5 * (of_valley / wide[:, None]) ** 2))

    deep = rng.uniform(*config.furrow) * np.array([2.5, 2.0, 0.9, 2.0, 2.0, 1.2, 0.6, 0.2, -1.0, -0.5])
    deep += np.array([0.8, 0.9, 1.0, 1.2, 1.2, 1.1, 1.0, 0.8, 0.7, 0.5]) * rng.normal(size=10)
    at = (-0.12, 0.0, 0.12, 0.28, 0.42, 0.55, 0.7, 0.88, 1.0, 1.12)
    furrow = course(*zip(at, deep, strict=True))(g.u) * scale
    narrow = course(*((u, rng.uniform(8, 17)) for u in (0.0, 0.3, 0.6, 0.8, 1.0)))(g.u) * scale
    z -= furrow[:, None] * np.exp(-0.5 * (of_furrow / narrow[:, None]) ** 2)

    strength = rng.uniform(*config.muscle)
    bulge = course((-0.08, 0.3), (0.06, 2.2), (0.22, 3.6), (0.4, 2.8), (0.6, 1.2), (0.8, 0.6), (1.0, 0.2))(
        g.u
    )
    for side in (-1, 1):
        amount = strength * bulge * np.clip(1 + 0.28 * (rng.normal() + g.wave(rng, 0.12)), 0, 2.5) * scale
        middle = (
            course((0.0, 27.0), (0.3, 33.0), (0.7, 34.0), (1.0, 36.0))(g.u) * rng.uniform(0.85, 1.25) * scale
        )
        spread = rng.uniform(13, 22) * scale
        z += amount[:, None] * np.exp(-0.5 * ((g.o - side * middle[:, None]) / spread) ** 2)
    return z


def _unevenness(rng: np.random.Generator, config: SubjectConfig, g: Grid) -> Float[np.ndarray, "ny nx"]:
    """Soft tissue: three scales of smooth random relief, quieter near the line than beside it."""
    amount = rng.uniform(*config.soft_tissue_mm)
    z = np.zeros_like(g.o)
    for share, length_x, length_y in ((1.6, 60, 95), (0.8, 26, 34), (0.22, 9, 12)):
        field = SmoothField(rng, length_x * g.scale, length_y * g.scale)
        z += amount * share * field.on_grid(g.x, g.y)
    return z * (0.45 + 0.55 * (1 - np.exp(-0.5 * (g.o / (45 * g.scale)) ** 2)))


def _vanishing(z: np.ndarray, g: Grid, width_mm: float | None = None) -> np.ndarray:
    """The same relief, nothing on the line: its height there is taken off the row, or off the row within
    width_mm."""
    place = (g.line[:, 0] - g.x[0]) / (g.x[1] - g.x[0])
    column = np.clip(np.floor(place).astype(int), 0, len(g.x) - 2)
    row, share = np.arange(len(z)), place - column
    on_line = ((1 - share) * z[row, column] + share * z[row, column + 1])[:, None]
    return z - (on_line if width_mm is None else on_line * np.exp(-0.5 * (g.o / width_mm) ** 2))
