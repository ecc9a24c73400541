"""The surface cut into charts and laid out flat (xatlas), and which texels lie on it where."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from nerfrecon.texture.options import AtlasOptions
from suite.errors import BackendUnavailable, BadInput
from suite.geometry.mesh import Mesh
from suite.geometry.raycasting import RayMesh

_USED = 0.6
"""Share of a texture that xatlas typically covers."""


class Atlas(NamedTuple):
    """Faces in the mesh's order over vertices doubled along seams; `vertex` is each one's in the mesh.

    `uv` as glTF has them (v down). `used` is the covered share of a texture of `size_px`.
    """

    vertex: Int[np.ndarray, " n"]
    faces: Int[np.ndarray, "m 3"]
    uv: Float[np.ndarray, "n 2"]
    size_px: tuple[int, int]  # width, height
    charts: int
    used: float


class Covered(NamedTuple):
    """Texels whose middles lie on a chart: (h, w), and face and weights of its corners of those."""

    where: Bool[np.ndarray, "h w"]
    face: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, "n 3"]


def texel_length(area: float | int, pixel: float | int, options: AtlasOptions) -> float:
    """Side of a texel on a surface of `area`: `pixel` by what is asked, as the texture's least and greatest
    size allow."""
    side = math.sqrt(area / _USED) * options.texels_a_pixel / pixel
    side = min(max(side, options.smallest_px), options.largest_px)
    return math.sqrt(area / _USED) / side


def unwrap(mesh: Mesh, texel: float | int, options: AtlasOptions) -> Atlas:
    """Charts in one texture whose texels are about `texel` long on the surface, of at most `largest_px` a
    side. Raises BackendUnavailable without xatlas."""
    try:
        import xatlas
    except ImportError as error:
        raise BackendUnavailable("xatlas", str(error), hint="pip install xatlas") from None
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    local = ((mesh.vertices - mesh.vertices.min(0)) / extent).astype(np.float32)
    made = xatlas.Atlas()
    made.add_mesh(local, mesh.faces.astype(np.uint32))
    chart = xatlas.ChartOptions()
    chart.max_cost, chart.max_iterations = options.max_cost, options.max_iterations
    pack = xatlas.PackOptions()
    # With a resolution instead, charts that do not fit would go into a second texture.
    pack.texels_per_unit, pack.padding, pack.bilinear = extent / texel, options.padding_px, True
    made.generate(chart, pack)
    vertex, faces, uv = made[0]
    if len(faces) != len(mesh.faces) or made.atlas_count != 1:
        what = f"xatlas made {len(faces)} faces in {made.atlas_count} textures of {len(mesh.faces)} faces"
        raise BadInput(what, hint="simplify the mesh further")
    factor = min(1.0, options.largest_px / max(made.width, made.height))
    return Atlas(
        np.asarray(vertex, np.int64),
        np.asarray(faces, np.int64),
        np.asarray(uv, np.float64),
        (max(2, round(made.width * factor)), max(2, round(made.height * factor))),
        int(made.chart_count),
        float(np.mean(made.utilization)),
    )


def covered_texels(
    faces: Int[np.ndarray, "m 3"], uv: Float[np.ndarray, "n 2"], size_px: tuple[int, int]
) -> Covered:
    """By rays through the texels' middles at the flat charts."""
    width, height = size_px
    flat = np.concatenate([uv * [width, height], np.zeros((len(uv), 1))], 1).astype(np.float32)
    charts = RayMesh(flat, faces)
    where = np.zeros((height, width), bool)
    found_faces, found_weights = [], []
    band = max(1, (1 << 20) // width)
    for top in range(0, height, band):
        y, x = np.mgrid[top : min(top + band, height), :width]
        above = np.stack([x.ravel() + 0.5, y.ravel() + 0.5, np.full(y.size, -1.0)], 1)
        hits = charts.cast(above, np.array([0.0, 0.0, 1.0]))
        where[top : top + band] = hits.met.reshape(y.shape)
        found_faces.append(hits.face[hits.met].astype(np.int32))
        found_weights.append(hits.weights[hits.met])
    return Covered(where, np.concatenate(found_faces), np.concatenate(found_weights))
