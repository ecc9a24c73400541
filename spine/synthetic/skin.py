"""What the skin of a back has beyond the body model: the furrow over the spine, valley and columns of muscle
beside it, shoulder blades, dimples, folds and unevenness, as heights above the bent body.

Heights stand on a grid over the spinous line (o = lateral distance from it) and vanish on the line, so that
the line stays where the spine has it. Every parameter is a smooth course along u = y / trunk (0 base
mid-point, 1 VP), so that rows differ smoothly from their neighbours. `spine.synthetic.relief` adds what
belongs to a place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates

from spine.synthetic import relief
from spine.synthetic.config import SubjectConfig
from spine.synthetic.random_curves import SmoothField, course, draw, smooth_curve
from spine.synthetic.trunk import TrunkCourse

STEP_MM = 3.0
"""Spacing of the grid, finer than the skin's vertices."""
BELOW_MM, ABOVE_MM, HALF_WIDTH_MM = 85.0, 75.0, 215.0
"""How far the relief reaches beyond base, VP and line, for a trunk of 420 mm."""
_AT_U = (-0.1, 0.08, 0.3, 0.5, 0.7, 0.85, 0.97, 1.1)
_BODY_LACKS_MM = np.array([0.0, 0.5, 2.5, 0.5, -3.0, 1.5, 7.0, 2.0])
"""Depth of the valley at these heights that bodies lack (or have too much of) against real backs: medians of
cross-sections of public scans."""
_FADE_MM = 35.0  # over which it ends


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


def relief_of(
    rng: np.random.Generator, config: SubjectConfig, course_: TrunkCourse
) -> tuple[Relief, Float[np.ndarray, "2 2"]]:
    """The relief of one back, and where its dimples (left, right; x, y) are."""
    grid = _grid(course_)
    local = relief.scapulae(rng, config, grid) + relief.waist_fold(rng, config, grid)
    dimple_xy, dents = relief.dimples(rng, grid)
    local += dents + _unevenness(rng, config, grid)
    z = _vanishing(_columns(rng, config, grid), grid) + _vanishing(local, grid, 45 * grid.scale)
    return Relief(grid, z * _ending(grid)), dimple_xy


@dataclass(frozen=True, eq=False)
class Relief:
    """Heights (mm) on a grid."""

    grid: Grid
    height_mm: Float[np.ndarray, "ny nx"]

    def at(self, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Height at places of the body frame, 0 beyond the grid."""
        g = self.grid
        cells = np.stack([(y - g.y[0]) / STEP_MM, (x - g.x[0]) / STEP_MM])
        return map_coordinates(self.height_mm, cells, order=1, mode="constant")


def _grid(c: TrunkCourse) -> Grid:
    n = round(HALF_WIDTH_MM * max(c.scale, 0.9) / STEP_MM)
    x = np.arange(-n, n + 1) * STEP_MM
    y = np.arange(
        -round(BELOW_MM * c.scale / STEP_MM), round((c.trunk_mm + ABOVE_MM * c.scale) / STEP_MM) + 1
    )
    y = y * STEP_MM
    line = np.stack([c.at(y, c.line[:, 0]), y, c.at(y, c.line[:, 1])], axis=1)
    o = x[None, :] - line[:, :1]
    return Grid(x, y, y / c.trunk_mm, line, o, c.scale, c.at(y, c.turn), c.at(y, c.trunk_x))


def _ending(g: Grid) -> Float[np.ndarray, "ny nx"]:
    """1 on the back, 0 at the ends of the grid."""
    rows = np.clip(np.minimum(g.y - g.y[0], g.y[-1] - g.y) / (_FADE_MM * g.scale), 0, 1)
    columns = np.clip((g.x[-1] - np.abs(g.x)) / (_FADE_MM * g.scale), 0, 1)
    return (rows * rows * (3 - 2 * rows))[:, None] * columns


def _columns(rng: np.random.Generator, config: SubjectConfig, g: Grid) -> Float[np.ndarray, "ny nx"]:
    """Valley, columns of muscle and furrow over the line."""
    scale = g.scale
    depth = _BODY_LACKS_MM + draw(rng, config.valley_mm) * np.array([0, 0.15, 0.6, 0.8, 1, 1, 0.5, 0.0])
    depth += np.array([0.5, 1.5, 2.5, 2.5, 3.0, 3.0, 2.0, 1.0]) * rng.normal(size=8)
    valley = course(*zip(_AT_U, depth, strict=True))(g.u) * scale
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
    for share, length_x, length_y in ((1.6, 60, 95), (0.6, 26, 34), (0.22, 9, 12)):
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
