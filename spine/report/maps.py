"""The skin from behind: its relief with landmarks, its left-right asymmetry, its curvature."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from spine.heightmap import HeightMap, asymmetry_map, curvature_maps, smoothed
from spine.measure.angles import C7
from spine.reconstruction import Reconstruction
from suite.report.figure import INK, PALETTE, Figure, drawing
from suite.report.view3d import DIVERGING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from spine.landmarks import Landmarks

SIZE = (3.6, 5.6)
ASYMMETRY_MM, CURVATURE_PER_M = 15.0, 12.0
"""Where the colours are full, unless the back exceeds it widely."""
_BESIDE: dict[str, Any] = {
    "VP": ((9, -3), "left"), "DL": ((-9, -3), "right"), "DR": ((9, -3), "left"), "base": ((0, -15), "center"),
}  # fmt: skip
_SKIN_DARK, _SKIN_LIGHT = np.array([118, 84, 70]), np.array([247, 224, 208])


def relief_figure(result: Reconstruction) -> Figure:
    """The skin lit from the upper left, with landmarks, spinous line and the centres of the vertebrae."""
    height = smoothed(result.surface.height(), 2.0, 4.0)
    zy, zx = np.gradient(height.z_mm, height.spacing_mm)
    light = np.array([-0.5, 0.45, 0.74])
    shade = (-zx * light[0] - zy * light[1] + light[2]) / np.sqrt(1 + zx**2 + zy**2)
    t = np.clip((shade - 0.1) / 0.85, 0, 1)[..., None]
    rgb = _SKIN_DARK + t * (_SKIN_LIGHT - _SKIN_DARK)
    picture = np.dstack([rgb, 255.0 * height.observed]).astype(np.uint8)
    with drawing(*SIZE, alt="Relief of the back with landmarks, spinous line and vertebrae") as (
        figure,
        axes,
    ):
        _show(axes, height, picture)
        centre = result.fit.T_body_vertebra[C7:, :3, 3]
        axes.plot(centre[:, 0], centre[:, 1], "o", color="#ffffff", mec=INK, mew=0.8, ms=4, label="vertebrae")
        _landmarks(axes, result.landmarks)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=3, handlelength=1.3, columnspacing=1.0
        )
    return figure


def asymmetry_figure(result: Reconstruction) -> Figure:
    """Height above the mirror image about the spinous line: red stands out, blue lies deep."""
    height, values = asymmetry(result)
    return _heat(
        result,
        height,
        values,
        ASYMMETRY_MM,
        "half the height difference, mm",
        "Left-right asymmetry of the back",
    )


def curvature_figure(result: Reconstruction) -> Figure:
    """Mean curvature of the skin: red bulges, blue is hollow, such as the furrow over the spine."""
    height = result.surface.height()
    return _heat(
        result,
        height,
        mean_curvature_per_m(height),
        CURVATURE_PER_M,
        "mean curvature, 1/m",
        "Curvature of the back",
    )


def asymmetry(result: Reconstruction) -> tuple[HeightMap, Float[np.ndarray, "ny nx"]]:
    """The height map, and on its grid the odd part about the line, mm; NaN where not seen on both sides."""
    height, line = smoothed(result.surface.height(), 2.0, 4.0), result.landmarks.line
    middle = np.interp(height.y_mm, line.y_mm[line.seen], line.x_mm[line.seen])
    odd = asymmetry_map(height, middle, 0.28 * result.fit.observations.trunk_mm)
    offset, y = height.x_mm - middle[:, None], height.y_mm[:, None]
    values = odd.sample(offset, y)
    along = (height.y_mm >= line.y_mm[line.seen][0] - 30) & (height.y_mm <= line.y_mm[line.seen][-1] + 30)
    return height, np.where(odd.is_observed(offset, y) & along[:, None] & height.observed, values, np.nan)


def mean_curvature_per_m(height: HeightMap) -> Float[np.ndarray, "ny nx"]:
    """Mean curvature in 1/m, positive where the skin bulges; NaN where it cannot be known."""
    maps = curvature_maps(height, sigma_mm=10.0)
    return np.where(maps.valid, 1000 * maps.mean_per_mm, np.nan)


def _heat(
    result: Reconstruction, height: HeightMap, values: np.ndarray, limit: float, label: str, alt: str
) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap

    known = np.abs(values[np.isfinite(values)])
    limit = max(limit, float(np.percentile(known, 95))) if len(known) else limit
    colors = LinearSegmentedColormap.from_list("diverging", list(DIVERGING))
    with drawing(*SIZE, alt=alt) as (figure, axes):
        picture = (colors(np.nan_to_num(values) / (2 * limit) + 0.5) * 255).astype(np.uint8)
        grey = height.observed & ~np.isfinite(values)
        picture[grey] = (150, 150, 150, 60)
        picture[~height.observed] = 0
        _show(axes, height, picture)
        _landmarks(axes, result.landmarks, legend=False)
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        scale = ScalarMappable(Normalize(-limit, limit), colors)
        bar = figure.figure.colorbar(
            scale, ax=axes, orientation="horizontal", fraction=0.035, pad=0.02, shrink=0.85
        )
        bar.set_label(label, fontsize=9)
        bar.outline.set_visible(False)  # type: ignore[operator]
        axes.set_xlabel("")
    return figure


def _show(axes: Axes, height: HeightMap, picture: np.ndarray) -> None:
    half = height.spacing_mm / 2
    extent = (height.x_mm[0] - half, height.x_mm[-1] + half, height.y_mm[0] - half, height.y_mm[-1] + half)
    axes.imshow(picture, origin="lower", extent=extent, interpolation="bilinear", zorder=0)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.set_xlabel("mm · left  ↔  right")
    axes.tick_params(labelsize=8)


def _landmarks(axes: Axes, landmarks: Landmarks, legend: bool = True) -> None:
    line = landmarks.line
    options: dict[str, Any] = {"color": PALETTE[0] if legend else INK, "lw": 1.7}
    axes.plot(line.x_mm[line.seen], line.y_mm[line.seen], label="spinous line", **options)
    points = [("VP", landmarks.vp_mm), ("base", landmarks.base_mm)]
    points += [("DL", landmarks.dimple_left_mm), ("DR", landmarks.dimple_right_mm)]
    first = True
    for name, point in points:
        if point is None:
            continue
        axes.plot(point[0], point[1], "D", color=PALETTE[1], mec="#ffffff", mew=0.8, ms=6,
            label="landmarks" if first else None)  # fmt: skip
        first = False
        if legend:
            shift, side = _BESIDE[name]
            text: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "color": "#1b1b1b", "ha": side}
            axes.annotate(name, (point[0], point[1]), xytext=shift, textcoords="offset points", **text)
