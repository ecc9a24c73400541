"""Which pixels of a photograph show which texels, and how far each is to be believed.

Visible is what a ray from the camera meets first. Near the object's border, its mask's, and edges that hide
something, a pose or a surface that is a pixel off shows something else: there pixels weigh little. Elsewhere
the weight is cos^2 of the slant by the squared size of a pixel on the surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from nerfrecon.backends.base import RayCamera
from nerfrecon.scene import Scene
from nerfrecon.texture.casting import Caster, scene_camera, subpixels
from nerfrecon.texture.options import ViewOptions
from nerfrecon.texture.textured import taps
from nerfrecon.training.views import usable_scale

SOLID = 250
"""Alpha from which a pixel is the object's alone."""
_JUMP_PX = 8.0
"""A step in depth between neighbours of so many pixels' size on the surface hides something."""
_CELL_PX = 8


class Glimpse(NamedTuple):
    """Pixels (numbers row by row) of one photograph that show the mesh, with their colours, weights, and
    coordinates in the texture at their middles."""

    view: int
    camera: RayCamera
    pixels: Int[np.ndarray, " n"]
    rgb: UInt8[np.ndarray, "n 3"]
    weight: Float[np.ndarray, " n"]
    uv: Float[np.ndarray, "n 2"]


class Sampled(NamedTuple):
    """What a photograph asks of the texture: row r of the sparse `matrix` times the texels is colour r."""

    view: int
    matrix: object  # scipy.sparse.csr_matrix (n, texels), float32
    rgb: Float[np.ndarray, "n 3"]  # in [0, 1]
    weight: Float[np.ndarray, " n"]


def pixel_size(caster: Caster, cameras: Sequence[RayCamera], grid: int = 48) -> float:
    """Length on the surface that a pixel spans in the sharpest quarter of what the cameras see of it."""
    spans = []
    for camera in cameras:
        u, v = np.meshgrid(np.linspace(0, camera.width - 1, grid), np.linspace(0, camera.height - 1, grid))
        hits = caster.cast(camera, np.stack([u.ravel(), v.ravel()], 1))
        spans.append(hits.distance[hits.met] / camera.fx)
    found = np.concatenate(spans) if spans else np.zeros(0)
    return float(np.quantile(found, 0.25)) if len(found) else 0.0


def glimpse(
    caster: Caster,
    faces: Int[np.ndarray, "m 3"],
    uv: Float[np.ndarray, "n 2"],
    scene: Scene,
    view: int,
    picture_px: int,
    options: ViewOptions,
) -> Glimpse:
    """Of one view, whose picture is read."""
    from scipy.ndimage import binary_dilation

    seen = scene.views[view]
    scale = usable_scale(scene, view, min(1.0, picture_px / max(seen.camera.width, seen.camera.height)))
    picture, camera = seen.load(scale), scene_camera(scene, view, scale)
    shape = (camera.height, camera.width)
    rows, columns = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    hits = caster.cast(camera, np.stack([columns, rows], 1).astype(np.float64))
    met = hits.met.reshape(shape)
    size = (hits.distance / camera.fx).reshape(shape)  # of a pixel there
    solid = met.copy()
    if picture.pixels.shape[2] == 4:
        solid &= picture.pixels[..., 3] >= SOLID
    border = ~solid | _jumps(np.where(met, hits.distance.reshape(shape), np.inf), size)
    if options.border_px:
        border = binary_dilation(border, np.ones((3, 3)), options.border_px)
    if picture.usable is not None:
        solid &= picture.usable
    cosine = hits.cosine.reshape(shape)
    solid &= cosine > options.least_cosine
    chosen = np.flatnonzero(solid)
    weight = cosine.ravel()[chosen] ** 2 / size.ravel()[chosen] ** 2
    weight = np.where(border.ravel()[chosen], options.border_weight * weight, weight)
    corners = uv[faces[hits.face[chosen]]]
    where = np.einsum("nk,nkd->nd", hits.weights[chosen], corners).astype(np.float32)
    rgb = picture.pixels[..., :3].reshape(-1, 3)[chosen]
    return Glimpse(view, camera, chosen.astype(np.int32), rgb, weight.astype(np.float32), where)


def believed(glimpses: Sequence[Glimpse], size_px: tuple[int, int], options: ViewOptions) -> list[Glimpse]:
    """Weights by the best one of the same spot, to a power; the least are left out where there are too many.

    So each spot is painted from the views that show it best, and a spot that is only seen aslant is still
    painted.
    """
    width, height = (-(-side // _CELL_PX) for side in size_px)
    best = np.zeros(width * height, np.float32)

    def cells(one: Glimpse) -> np.ndarray:
        x = np.clip((one.uv[:, 0] * size_px[0]).astype(int) // _CELL_PX, 0, width - 1)
        y = np.clip((one.uv[:, 1] * size_px[1]).astype(int) // _CELL_PX, 0, height - 1)
        return y * width + x

    for one in glimpses:
        np.maximum.at(best, cells(one), one.weight)
    shares = [one.weight / np.maximum(best[cells(one)], 1e-30) for one in glimpses]
    least = 1e-4
    most = options.most_rays // options.rays_a_side**2
    if sum(map(len, shares)) > most:
        least = float(np.quantile(np.concatenate(shares), 1 - most / sum(map(len, shares))))
    found = []
    for one, share in zip(glimpses, shares, strict=True):
        keep = share >= least
        found.append(
            Glimpse(
                one.view,
                one.camera,
                one.pixels[keep],
                one.rgb[keep],
                (share[keep] ** options.best_power).astype(np.float32),
                one.uv[keep],
            )
        )
    return found


def sampled(
    caster: Caster,
    faces: Int[np.ndarray, "m 3"],
    uv: Float[np.ndarray, "n 2"],
    one: Glimpse,
    size_px: tuple[int, int],
    rays_a_side: int,
) -> Sampled:
    """The rays of a glimpse's pixels as a matrix: the mean of their bilinear lookups."""
    from scipy.sparse import csr_matrix

    rows, columns = np.divmod(one.pixels.astype(np.int64), one.camera.width)
    rays = rays_a_side**2
    hits = caster.cast(one.camera, subpixels(columns, rows, rays_a_side))
    where = np.einsum("nk,nkd->nd", hits.weights, uv[faces[hits.face]])
    found = taps(where, *size_px)
    met = hits.met.reshape(-1, rays)
    share = met / np.maximum(met.sum(1, keepdims=True), 1)
    data = (found.weights * share.reshape(-1, 1)).astype(np.float32)
    n = len(one.pixels)
    pointers = np.arange(n + 1, dtype=np.int32) * (4 * rays)
    shape = (n, size_px[0] * size_px[1])
    matrix = csr_matrix((data.ravel(), found.texels.ravel(), pointers), shape=shape)
    matrix.sum_duplicates()
    return Sampled(one.view, matrix, one.rgb.astype(np.float32) / 255, one.weight)


def _jumps(distance: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Pixels beside a step in depth."""
    jump = np.zeros(distance.shape, bool)
    with np.errstate(invalid="ignore"):
        for axis in (0, 1):
            near = [slice(None)] * 2
            far = [slice(None)] * 2
            near[axis], far[axis] = slice(None, -1), slice(1, None)
            a, b = distance[tuple(near)], distance[tuple(far)]
            limit = _JUMP_PX * np.minimum(size[tuple(near)], size[tuple(far)])
            step = ~(np.abs(a - b) <= limit) & (np.isfinite(a) | np.isfinite(b))
            jump[tuple(near)] |= step
            jump[tuple(far)] |= step
    return jump
