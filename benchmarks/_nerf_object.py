"""A textured object with exact poses, ray-cast by Open3D: what the filters and fields are compared on.

The cow `spot` (public domain, K. Crane) under one light from above, 48 pictures of 128 px with alpha, from a
sphere around it; each pixel is a mean of 9 rays.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import Data
from nerfrecon.scene import Scene, View
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.write import write_transforms
from suite.data.images import read_image
from suite.geometry.camera import PinholeCamera

VIEWS, SIDE_PX, FINER = 48, 128, 3
DISTANCE = 2.4
"""Of the cameras from the middle, in sides of the object's box."""
LIGHT = np.array([0.3, 0.9, 0.35])
AMBIENT, MARGIN = 0.45, 0.04


def render_object(data: Data, folder: Path) -> Path:
    """Write pictures and transforms.json into `folder`, unless they are there; the box is the object's."""
    if not (folder / "transforms.json").is_file():
        mesh = _Mesh(data("nerfrecon/spot_bob"))
        views = []
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for number, pose in enumerate(_poses(mesh.box)):
            camera = _camera()
            path = folder / f"images/{number:04d}.png"
            Image.fromarray(mesh.picture(camera, pose)).save(path)
            views.append(View(path.name, path, LensCamera(camera), pose))
        write_transforms(
            folder / "transforms.json", Scene(folder, tuple(views), mesh.box, up=np.array([0.0, 1, 0]))
        )
    return folder


def wide_box(box: np.ndarray) -> np.ndarray:
    """What NeRF's own near and far leave of a scene: from half to one and a half camera distances, a cube."""
    half = DISTANCE * np.ptp(box, axis=0).max() / 2
    return box.mean(axis=0) + half * np.array([[-1.0], [1.0]])


def _camera() -> PinholeCamera:
    focal, middle = SIDE_PX * DISTANCE / 1.35, (SIDE_PX - 1) / 2
    return PinholeCamera(width=SIDE_PX, height=SIDE_PX, fx=focal, fy=focal, cx=middle, cy=middle)


def _poses(box: np.ndarray) -> list[np.ndarray]:
    """Cameras spread evenly over the sphere between 30 degrees below the middle and 70 above."""
    k = np.arange(VIEWS)
    height = -0.5 + 1.44 * (k + 0.5) / VIEWS
    turn = k * np.pi * (3 - 5**0.5)
    away = np.stack([np.cos(turn) * np.sqrt(1 - height**2), height, np.sin(turn) * np.sqrt(1 - height**2)], 1)
    poses = []
    for one in away:
        x = np.cross(-one, [0.0, 1, 0])
        x /= np.linalg.norm(x)
        T = np.eye(4)
        T[:3, :3] = np.stack([x, np.cross(-one, x), -one], 1)
        T[:3, 3] = box.mean(axis=0) + DISTANCE * np.ptp(box, axis=0).max() * one
        poses.append(T)
    return poses


class _Mesh:
    def __init__(self, folder: Path) -> None:
        import open3d as o3d

        mesh = o3d.io.read_triangle_mesh(folder / "spot.obj")
        mesh.compute_vertex_normals()
        self.normals = np.asarray(mesh.vertex_normals)[np.asarray(mesh.triangles)]
        self.uvs = np.asarray(mesh.triangle_uvs).reshape(-1, 3, 2)
        self.texture = read_image(folder / "spot_texture.png")[..., :3] / 255
        corners = np.stack([mesh.get_min_bound(), mesh.get_max_bound()])
        margin = MARGIN * np.ptp(corners, axis=0).max()
        self.box = corners + margin * np.array([[-1.0], [1.0]])
        self._tensor = o3d.core.Tensor.from_numpy
        self.scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        vertices = np.asarray(mesh.vertices, np.float32)
        triangles = np.asarray(mesh.triangles).astype(np.uint32)
        self.scene.add_triangles(self._tensor(vertices), self._tensor(triangles))

    def picture(self, camera: PinholeCamera, pose: np.ndarray) -> np.ndarray:
        """8-bit RGBA, straight alpha."""
        side = camera.height * FINER
        v, u = (np.mgrid[:side, :side] + 0.5) / FINER - 0.5
        directions = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
        directions = directions @ pose[:3, :3].T
        rays = np.concatenate([np.broadcast_to(pose[:3, 3], directions.shape), directions], -1)
        hit = self.scene.cast_rays(self._tensor(rays.astype(np.float32)))
        triangle = hit["primitive_ids"].numpy().astype(np.int64)
        met = np.isfinite(hit["t_hit"].numpy())
        triangle = np.where(met, triangle, 0)
        ab = hit["primitive_uvs"].numpy()
        weights = np.stack([1 - ab.sum(-1), ab[..., 0], ab[..., 1]], -1)[..., None]
        uv, normal = ((weights * part[triangle]).sum(-2) for part in (self.uvs, self.normals))
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        lit = AMBIENT + (1 - AMBIENT) * (normal @ (LIGHT / np.linalg.norm(LIGHT))).clip(0)
        colour = self._textured(uv) * lit[..., None]
        rgba = np.concatenate([colour, np.ones_like(lit)[..., None]], -1) * met[..., None]
        rgba = rgba.reshape(camera.height, FINER, camera.width, FINER, 4).mean((1, 3))
        rgba[..., :3] /= np.maximum(rgba[..., 3:], 1e-9)
        return np.round(255 * rgba).astype(np.uint8)

    def _textured(self, uv: np.ndarray) -> np.ndarray:
        height, width = self.texture.shape[:2]
        column = (uv[..., 0] % 1 * width).astype(np.int64).clip(0, width - 1)
        row = ((1 - uv[..., 1] % 1) * height).astype(np.int64).clip(0, height - 1)
        return self.texture[row, column]
