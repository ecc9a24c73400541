"""The back as three pictures that lie over one another: its colour, its relief, its curvature.

All cover the same rectangle of the frame shown, in px of PX_MM; the first row is the uppermost. What was not
seen is transparent.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter, zoom
from scipy.spatial import KDTree

from spine.heightmap import HeightMap, curvature_maps, smoothed
from spine.report.maps import CURVATURE_PER_M
from spine.surface import BackSurface
from suite.report.view3d import DIVERGING

PX_MM = 1.0
CURVATURE_SIGMA_MM = 10.0
"""As in the report."""
FURROW_SIGMA_MM = 6.0
_LIGHT = np.array([-0.55, 0.5, 0.67])
_STEEPER = 1.25  # relief is drawn steeper than it is: the furrow is shallow
_DARK, _BRIGHT = np.array([120, 110, 106]), np.array([252, 249, 245])


@dataclass(frozen=True)
class Extent:
    """The rectangle that a picture shows, mm, from edge to edge."""

    left_mm: float
    right_mm: float
    bottom_mm: float
    top_mm: float


def extent(height: HeightMap) -> Extent:
    """That of the cells of a height map."""
    half = height.spacing_mm / 2
    x, y = height.x_mm, height.y_mm
    return Extent(float(x[0] - half), float(x[-1] + half), float(y[0] - half), float(y[-1] + half))


def layers(surface: BackSurface) -> dict[str, bytes]:
    """PNGs by name: `colour` (where the scan has it), `relief`, `curvature`."""
    pictures = {"relief": relief(surface), "curvature": curvature(surface)}
    if surface.colors is not None:
        pictures = {"colour": colour(surface)} | pictures
    return {name: _png(picture) for name, picture in pictures.items()}


def colour(surface: BackSurface) -> UInt8[np.ndarray, "h w 4"]:
    """The colours of the nearest points, nearer ones counting more."""
    assert surface.colors is not None
    x, y = _centres(surface.height())
    at = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    distance, which = KDTree(surface.points_mm[:, :2]).query(at, k=4, workers=1)
    weight = 1 / (distance**2 + 0.25)
    rgb = (surface.colors[which] * weight[..., None]).sum(1) / weight.sum(1)[:, None]
    return _picture(rgb.reshape(len(y), len(x), 3), surface.height())


def relief(surface: BackSurface) -> UInt8[np.ndarray, "h w 4"]:
    """The skin as pale clay lit from the upper left; hollows lie a little darker."""
    height = smoothed(surface.height(), 2.0, 3.0)
    z = _finer(height.z_mm)
    zy, zx = np.gradient(z, PX_MM)
    zx, zy = _STEEPER * zx, _STEEPER * zy
    light = (-zx * _LIGHT[0] - zy * _LIGHT[1] + _LIGHT[2]) / np.sqrt(1 + zx**2 + zy**2)
    hollow = np.clip((gaussian_filter(z, 14.0) - z) / 12.0, -0.5, 1)
    t = np.clip((light - 0.05) / 0.9 - 0.16 * hollow, 0, 1)[..., None]
    return _picture((_DARK + t * (_BRIGHT - _DARK))[::-1], height)


def curvature(surface: BackSurface) -> UInt8[np.ndarray, "h w 4"]:
    """Mean curvature: red bulges, blue is hollow; grey where it cannot be known."""
    height = surface.height()
    maps = curvature_maps(height, CURVATURE_SIGMA_MM)
    t = np.clip(_finer(1000 * maps.mean_per_mm) / (2 * CURVATURE_PER_M) + 0.5, 0, 1)
    stops = np.array([stop for stop, _ in DIVERGING])
    rgb = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for _, color in DIVERGING], float)
    painted = np.stack([np.interp(t, stops, rgb[:, k]) for k in range(3)], axis=-1)
    share = np.clip(1.6 * _finer(gaussian_filter(maps.valid.astype(float), 2.5)) - 0.6, 0, 1)[..., None]
    return _picture((share * painted + (1 - share) * 232.0)[::-1], height)


def furrow(height: HeightMap) -> Float[np.ndarray, "ny nx"]:
    """How hollow the skin is across, 1/m: high along the furrow over the spine; 0 where it is not known."""
    maps = curvature_maps(height, FURROW_SIGMA_MM)
    return np.where(maps.valid, np.maximum(-1000 * maps.k2_per_mm, 0), 0)


def _centres(height: HeightMap) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the picture's pixels, its first row first."""
    seen = extent(height)
    x = np.arange(seen.left_mm + PX_MM / 2, seen.right_mm, PX_MM)
    return x, np.arange(seen.bottom_mm + PX_MM / 2, seen.top_mm, PX_MM)[::-1]


def _finer(values: np.ndarray) -> np.ndarray:
    """A map of the height map's cells in pixels, rows still rising."""
    return np.asarray(zoom(values, 2.0 / PX_MM, order=3, mode="nearest", grid_mode=True))


def _picture(rgb: np.ndarray, height: HeightMap) -> UInt8[np.ndarray, "h w 4"]:
    alpha = _finer(gaussian_filter(height.observed.astype(float), 0.7))[::-1]
    alpha = np.clip(2 * alpha - 0.5, 0, 1)[..., None]
    return np.rint(np.clip(np.concatenate([rgb, 255 * alpha], axis=-1), 0, 255)).astype(np.uint8)


def _png(picture: UInt8[np.ndarray, "h w 4"]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()
