"""Points in the world from where several posed pictures see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfrecon.scenes.colmap import lens_camera
from nerfrecon.scenes.colmap_files import ColmapCamera
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.sfm.cameras import SourcePicture
from nerfrecon.sfm.mapping import FoundModel
from suite.errors import BadInput


@dataclass(frozen=True, eq=False)
class PosedPicture:
    """A picture whose lens and pose are known."""

    name: str
    path: Path
    camera: LensCamera
    T_world_camera: Float[np.ndarray, "4 4"]

    def project(self, points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 2"]:
        """Pixels of points in the world."""
        R, t = self.T_world_camera[:3, :3], self.T_world_camera[:3, 3]
        return self.camera.project((np.asarray(points, np.float64) - t) @ R)

    def rays(self, pixels: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 3"]:
        """Unit directions in the world through pixels."""
        ways = self.camera.directions(np.asarray(pixels, np.float64)) @ self.T_world_camera[:3, :3].T
        return ways / np.linalg.norm(ways, axis=-1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Triangulated:
    """A point, by how much it misses the pixels it was made from (root mean square), and the widest angle
    between two rays to it."""

    point: Float[np.ndarray, " 3"]
    error_px: float
    angle_deg: float
    views: int


def posed_pictures(model: FoundModel, pictures: list[SourcePicture]) -> dict[str, PosedPicture]:
    """The pictures of a model by name; those whose lens no single ray a pixel describes are left out."""
    paths = {picture.name: picture.path for picture in pictures}
    poses, found = model.poses(), {}
    for image in model.images:
        camera = model.reconstruction.camera(image.camera_id)
        params = tuple(float(value) for value in camera.params)
        said = ColmapCamera(camera.model.name, int(camera.width), int(camera.height), params)
        try:
            lens = lens_camera(said, image.name)
        except BadInput:
            continue
        found[image.name] = PosedPicture(image.name, paths[image.name], lens, poses[image.name])
    return found


def triangulate(
    sightings: list[tuple[str, Float[np.ndarray, " 2"]]], pictures: Mapping[str, PosedPicture]
) -> Triangulated | None:
    """The point nearest to all rays, then of least reprojection error (Gauss-Newton); None for fewer than
    two views, or rays that are parallel."""
    seen = [(pictures[name], np.asarray(pixel, np.float64)) for name, pixel in sightings if name in pictures]
    if len(seen) < 2:
        return None
    origins = np.stack([picture.T_world_camera[:3, 3] for picture, _ in seen])
    ways = np.stack([picture.rays(pixel) for picture, pixel in seen])
    if not np.isfinite(ways).all():
        return None
    angle = float(np.rad2deg(np.arccos(np.clip((ways @ ways.T).min(), -1, 1))))
    across = np.eye(3) - ways[:, :, None] * ways[:, None, :]
    total = across.sum(0)
    if np.linalg.eigvalsh(total)[0] < 1e-6 * len(seen):
        return None
    point = np.linalg.solve(total, (across @ origins[:, :, None]).sum(0)[:, 0])
    step = 1e-5 * float(np.linalg.norm(origins - point, axis=1).mean())
    for _ in range(5):
        off = _off(point, seen)
        slope = np.stack([(_off(point + step * axis, seen) - off) / step for axis in np.eye(3)], 1)
        if not (np.isfinite(off).all() and np.isfinite(slope).all()):
            return None
        point = point - np.linalg.lstsq(slope, off, rcond=None)[0]
    off = _off(point, seen).reshape(-1, 2)
    if not np.isfinite(off).all():
        return None
    return Triangulated(point, float(np.sqrt((off**2).sum(1).mean())), angle, len(seen))


def _off(point: np.ndarray, seen: list[tuple[PosedPicture, np.ndarray]]) -> np.ndarray:
    return np.concatenate([picture.project(point) - pixel for picture, pixel in seen])
