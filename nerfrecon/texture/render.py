"""An exported GLB as a viewer shows it: rays, bilinear lookups between two levels of a mip map, no light."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from nerfrecon.backends.base import Colour, RayCamera, Rendered
from nerfrecon.texture.casting import Caster, Hits, subpixels
from nerfrecon.texture.glb import read_textured_glb
from nerfrecon.texture.textured import TexturedMesh, looked_up


def render_glb(
    glb: str | Path,
    cameras: Sequence[RayCamera],
    background: Colour = (1.0, 1.0, 1.0),
    rays_a_side: int = 2,
) -> list[Rendered]:
    """The views of `cameras`, whose poses (`T_unit_camera`) are in the GLB's frame; see `scene_camera`.

    A pixel is the mean of `rays_a_side` squared rays. Depths are lengths along the rays in the GLB's unit.
    """
    renderer = Renderer(read_textured_glb(glb))
    return [renderer.render(camera, background, rays_a_side) for camera in cameras]


class Renderer:
    """A textured mesh, ready to be looked at."""

    def __init__(self, mesh: TexturedMesh) -> None:
        self.mesh = mesh
        self._caster = Caster(mesh.vertices, mesh.faces)
        self._levels = mip_levels(mesh.texture)
        corners, uv = mesh.vertices[mesh.faces], mesh.uv[mesh.faces] * mesh.texture.shape[1::-1]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
        area_px = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
        # Texels per unit length on each face.
        self._density = np.sqrt(area_px / np.maximum(area, 1e-20)).astype(np.float32)

    def render(self, camera: RayCamera, background: Colour, rays_a_side: int = 2) -> Rendered:
        """One view."""
        h, w, n = camera.height, camera.width, rays_a_side
        rows, columns = np.divmod(np.arange(h * w), w)
        hits = self._caster.cast(camera, subpixels(columns, rows, n))
        colour = np.zeros((len(hits.met), 3), np.float32)
        seen = np.flatnonzero(hits.met)
        colour[seen] = self._colour(Hits(*(array[seen] for array in hits)), 1 / (n * camera.fx))
        share = hits.met.reshape(h, w, n * n).mean(2)
        rgb = colour.reshape(h, w, n * n, 3).mean(2)
        rgb += (1 - share[..., None]) * np.asarray(background, np.float32)
        distance = np.where(hits.met, hits.distance, 0).reshape(h, w, n * n).sum(2)
        depth = distance / np.maximum(share * n * n, 1)
        return Rendered(rgb.clip(0, 1).astype(np.float32), depth.astype(np.float32), share.astype(np.float32))

    def _colour(self, hits: Hits, angle: float) -> np.ndarray:
        """Colours in [0, 1]; a ray sees a cone that opens by `angle`."""
        corners = self.mesh.uv[self.mesh.faces[hits.face]]
        uv = np.einsum("nk,nkd->nd", hits.weights, corners)
        # Between a cone's least and greatest extent on the slanted surface.
        extent = hits.distance * angle / np.sqrt(np.clip(np.abs(hits.cosine), 0.05, 1))
        level = np.log2(np.maximum(extent * self._density[hits.face], 1e-6))
        level = level.clip(0, len(self._levels) - 1)
        lower = np.floor(level).astype(int)
        colour = np.zeros((len(uv), 3), np.float32)
        for number, texture in enumerate(self._levels):
            for share, at in ((1 - (level - lower), lower == number), (level - lower, lower + 1 == number)):
                some = np.flatnonzero(at & (share > 0))
                if len(some):
                    colour[some] += share[some, None] * looked_up(texture, uv[some])
        return colour / 255


def mip_levels(texture: UInt8[np.ndarray, "h w 3"]) -> list[Float[np.ndarray, "h2 w2 3"]]:
    """The texture and its halves down to 4 px, each texel the mean of four; as GPUs make them, in sRGB."""
    levels = [texture.astype(np.float32)]
    while min(levels[-1].shape[:2]) >= 8:
        last = levels[-1][: levels[-1].shape[0] // 2 * 2, : levels[-1].shape[1] // 2 * 2]
        h, w = last.shape[:2]
        levels.append(last.reshape(h // 2, 2, w // 2, 2, 3).mean((1, 3)))
    return levels
