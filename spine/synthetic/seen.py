"""A finished person as rays find it: the spinous line on the skin, and the back as a viewer sees it."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from spine.heightmap import HeightMap, filled
from spine.measure.angles import L5, S1
from spine.synthetic.config import SubjectConfig
from spine.synthetic.person_mesh import PersonMesh
from spine.synthetic.posture import Posture
from spine.synthetic.skin import ABOVE_MM, BELOW_MM, HALF_WIDTH_MM
from spine.synthetic.skin_line import HIGHEST, SkinLine, backwards

_FACING = 0.17  # least cosine of skin that a viewer sees
_HIDDEN_MM = -260.0  # skin so far before the base is that of another side


def line_on_skin(config: SubjectConfig, posture: Posture, planned: SkinLine, body: PersonMesh) -> SkinLine:
    """The spinous line as the skin has it: skin points where rays from the vertebrae leave the body."""
    T = posture.T_body_vertebra
    d = backwards(T, config.skin_direction)
    far = 2 * planned.skin_to_centre_mm.max() + 200.0
    hits = body.for_rays.cast(T[:, :3, 3] + far * d, -d)
    along = np.where(hits.met, hits.distance.astype(np.float64), 0.0)
    L = np.where(hits.met, far - along, planned.skin_to_centre_mm)
    points = T[:, :3, 3] + L[:, None] * d
    # The line goes through the skin points; between them it keeps the course that was planned.
    levels = np.arange(S1 if config.skin_direction == "horizontal" else L5, HIGHEST - 1, -1)
    y = points[levels, 1]
    ends = [planned.base_mm[1] - 40.0, *y, y[-1] + 40.0]
    off = CubicSpline(ends, [0.0, *(points[levels, 0] - planned.xz(y)[:, 0]), 0.0])

    def xz(at: np.ndarray) -> np.ndarray:
        x = planned.xz(at)[..., 0] + np.where((at > ends[0]) & (at < ends[-1]), off(at), 0.0)
        return np.stack([x, body.from_behind(np.stack([x, at], axis=-1)).distance], axis=-1)

    heights = np.array([planned.base_mm[1], planned.vp_mm[1]])
    base, vp = np.insert(xz(heights), 1, heights, axis=1)
    return SkinLine(L, points, base, vp, xz)


def seen_from_behind(body: PersonMesh, trunk_mm: float, step_mm: float) -> HeightMap:
    """The back as a viewer far behind sees it, on a grid; skin that turns away counts as not seen."""
    scale = trunk_mm / 420
    n = round(HALF_WIDTH_MM * max(scale, 0.9) / step_mm)
    x = np.arange(-n, n + 1) * step_mm
    rows = np.arange(-round(BELOW_MM * scale / step_mm), round((trunk_mm + ABOVE_MM * scale) / step_mm) + 1)
    y = rows * step_mm
    hits = body.from_behind(np.stack(np.meshgrid(x, y), axis=-1))
    z = np.where(hits.met, hits.distance, np.nan)
    seen = np.isfinite(z) & (hits.normal[..., 2] > _FACING) & (z > _HIDDEN_MM)
    return HeightMap(x, y, filled(np.where(seen, z, np.nan)), seen)
