"""One view of a subject by ray casting: colours with alpha, depth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from nerfrecon.simulate.subject import Subject
from suite.geometry.camera import PinholeCamera
from suite.geometry.raycasting import RayHits, RayMesh

KEY_LIGHT = np.array([0.45, 0.75, 0.5])
"""Towards the larger of two lamps (right, up, front); the smaller one is opposite."""
AMBIENT, KEY, FILL = 0.55, 0.35, 0.15


class Photograph(NamedTuple):
    """Straight alpha; depth along the optical axis at pixel centres (world units), NaN beside the subject."""

    rgba: UInt8[np.ndarray, "h w 4"]
    depth: Float[np.ndarray, "h w"]


class Looked(NamedTuple):
    """Ray by ray: colour in [0, 1], whether anything was met, depth along the optical axis (NaN where not),
    and the number of the face (-1)."""

    colour: Float[np.ndarray, "h w 3"]
    hit: Bool[np.ndarray, "h w"]
    depth: Float[np.ndarray, "h w"]
    face: Int[np.ndarray, "h w"]


class Studio:
    """A subject under soft light, ready to be photographed."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._mesh = RayMesh(subject.vertices, subject.faces)

    def photograph(
        self, camera: PinholeCamera, T_world_camera: Float[np.ndarray, "4 4"], finer: int = 2
    ) -> Photograph:
        """A view whose pixels are means of `finer` x `finer` rays, against aliasing."""
        colour, hit, *_ = self.look(camera, T_world_camera, finer)
        alpha = hit.astype(np.float64)
        blocks = (camera.height, finer, camera.width, finer)
        alpha_mean = alpha.reshape(blocks).mean((1, 3))
        colour = (colour * alpha[..., None]).reshape(*blocks, 3).mean((1, 3))
        colour /= np.maximum(alpha_mean, 1e-9)[..., None]
        rgba = np.concatenate([colour.clip(0, 1), alpha_mean[..., None]], 2)
        depth = self.depth(camera, T_world_camera)
        return Photograph(np.round(255 * rgba).astype(np.uint8), depth)

    def look(self, camera: PinholeCamera, T_world_camera: Float[np.ndarray, "4 4"], finer: int = 1) -> Looked:
        """What `finer` x `finer` rays a pixel meet."""
        found, directions = self._cast(camera, T_world_camera, finer)
        hit, depth, face = found.met, _along_axis(found), found.face
        weight = found.weights[hit].astype(np.float64)
        normal = self.subject.normal(face[hit], weight)
        facing = np.einsum("nd,nd->n", normal, directions[hit]) < 0
        normal = np.where(facing[:, None], normal, -normal)  # both sides of a thin sheet are lit alike
        colour = np.zeros((*depth.shape, 3))
        colour[hit] = self.subject.colour(face[hit], weight) * _light(normal)[:, None]
        return Looked(colour, hit, depth, face)

    def depth(
        self, camera: PinholeCamera, T_world_camera: Float[np.ndarray, "4 4"]
    ) -> Float[np.ndarray, "h w"]:
        """Depth of the rays through pixel centres."""
        return _along_axis(self._cast(camera, T_world_camera, 1)[0])

    def nearest(
        self, points: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
        """Distance of points in the world to the subject's surface, and the normal of the face there."""
        places, normals = self._mesh.nearest(points)
        return np.linalg.norm(places.astype(np.float64) - points, axis=1), normals.astype(np.float64)

    def openness(
        self,
        points: Float[np.ndarray, "n 3"],
        normals: Float[np.ndarray, "n 3"],
        rays: int = 128,
        seed: int = 0,
    ) -> Float[np.ndarray, " n"]:
        """Share of the light of an even sky that reaches surface points: cosine-weighted directions on the
        normal's side that meet nothing. Inside a boot it is small, on a convex side 1."""
        rng = np.random.default_rng(seed)
        scale = float(np.ptp(self.subject.box, axis=0).max())
        free = np.zeros(len(points))
        for _ in range(rays):
            way = rng.normal(size=(len(points), 3))
            way = normals + way / np.linalg.norm(way, axis=1, keepdims=True)
            start = points + 1e-4 * scale * normals
            free += ~self._mesh.cast(start, way).met
        return free / rays

    def sees(
        self,
        points: Float[np.ndarray, "n 3"],
        normals: Float[np.ndarray, "n 3"],
        camera: PinholeCamera,
        T_world_camera: Float[np.ndarray, "4 4"],
    ) -> np.ndarray:
        """Which surface points (n,) lie in the picture with nothing between them and the camera."""
        pixels = camera.project((points - T_world_camera[:3, 3]) @ T_world_camera[:3, :3])
        inside = ((pixels > -0.5) & (pixels < [camera.width - 0.5, camera.height - 0.5])).all(1)
        scale = float(np.ptp(self.subject.box, axis=0).max())
        away = T_world_camera[:3, 3] - points
        inside &= (away * normals).sum(1) > 0
        return inside & ~self._mesh.blocked(points + 1e-4 * scale * normals, away)

    def _cast(self, camera: PinholeCamera, T: np.ndarray, finer: int) -> tuple[RayHits, np.ndarray]:
        """Hits and directions, which have length 1 along the optical axis."""
        rows, columns = camera.height * finer, camera.width * finer
        v, u = (np.mgrid[:rows, :columns] + 0.5) / finer - 0.5
        local = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
        directions = local @ T[:3, :3].T
        return self._mesh.cast(T[:3, 3], directions), directions


def _along_axis(found: RayHits) -> np.ndarray:
    return np.where(found.met, found.distance.astype(np.float64), np.nan)


def _light(normal: np.ndarray) -> np.ndarray:
    """Two wide lamps around the object and light from everywhere: smooth, and it stands still."""
    key = KEY_LIGHT / np.linalg.norm(KEY_LIGHT)
    towards = (normal @ key + 1) / 2  # a lamp as wide as half the sky lights what is turned away, too
    return AMBIENT + KEY * towards**2 + FILL * (1 - towards) ** 2
