"""A table with boxes on it, textured so that features are found, photographed from known places.

The table is one unit wide. A printed mat (four targets, 0.72 units apart across) and an ArUco marker (0.2
units) lie on it where they are wanted. World: z up, the table's top at z = 0.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from nerfrecon.scenes.lens import LensCamera
from nerfrecon.sfm.triangulate import PosedPicture
from nerfrecon.simulate.photograph import Studio
from nerfrecon.simulate.subject import Subject
from suite.data.images import write_image
from suite.geometry.camera import PinholeCamera

TABLE_PX = 1024
MAT_DIAGONAL, MARKER_SIDE = 0.72, 0.2


def texture(seed: int) -> np.ndarray:
    """Noise of several scales in several colours, (1024, 1024, 3)."""
    rng = np.random.default_rng(seed)
    mixed = np.zeros((TABLE_PX, TABLE_PX, 3))
    for cells, weight in ((16, 1.0), (48, 0.8), (128, 0.7)):
        noise = rng.random((cells, cells, 3)).astype(np.float32)
        mixed += weight * cv2.resize(noise, (TABLE_PX, TABLE_PX), interpolation=cv2.INTER_CUBIC)
    return np.clip(mixed / 2.5 * 400 - 75, 0, 255).astype(np.uint8)


def mat_drawn(picture: np.ndarray, diagonal_px: float) -> np.ndarray:
    """The four quadrant targets of a mat in the middle of a picture, on white."""
    out = picture.copy()
    middle = np.array(out.shape[1::-1]) / 2 - 0.5
    radius = 0.05 * diagonal_px
    v, u = np.mgrid[: out.shape[0], : out.shape[1]]
    for way in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        at = middle + np.array(way) * diagonal_px / 2
        x, y = u - at[0], v - at[1]
        r = np.hypot(x, y)
        out[r < 1.5 * radius] = 250
        out[(r < radius) & (x * y > 0)] = 15
        out[(r < radius) & (r > 0.92 * radius)] = 15
    return out


def marker_drawn(picture: np.ndarray, side_px: int, at: tuple[int, int]) -> np.ndarray:
    """ArUco marker number 7 of 4X4_50 with its upper left corner at (u, v), on white."""
    out = picture.copy()
    u, v = at
    edge = side_px // 5
    out[v - edge : v + side_px + edge, u - edge : u + side_px + edge] = 250
    words = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    out[v : v + side_px, u : u + side_px] = cv2.aruco.generateImageMarker(words, 7, side_px)[..., None]
    return out


def table(seed: int = 0, mat: bool = False, marker: bool = False, boxes: bool = True) -> Subject:
    """The table, and boxes of different heights on it."""
    top, sides = texture(seed), texture(seed + 100)
    if mat:
        top = mat_drawn(top, MAT_DIAGONAL * TABLE_PX)
    if marker:
        top = marker_drawn(top, round(MARKER_SIDE * TABLE_PX), (700, 720))
    corners, uv = [np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])], []
    uv.append(np.array([[0, 0], [0.5, 0], [0.5, 1], [0, 1]], float))
    rng = np.random.default_rng(seed + 1)
    if boxes:
        for x, y, half, height in (
            (-0.1, -0.08, 0.08, 0.25),
            (0.12, 0.06, 0.07, 0.15),
            (-0.05, 0.17, 0.05, 0.35),
        ):
            for face in _box_faces(x, y, half, height):
                corners.append(face)
                u0, v0 = rng.uniform(0.5, 0.8), rng.uniform(0, 0.6)
                uv.append(np.array([[u0, v0], [u0 + 0.15, v0], [u0 + 0.15, v0 + 0.3], [u0, v0 + 0.3]]))
    vertices = np.concatenate(corners)
    faces = np.concatenate([4 * k + np.array([[0, 1, 2], [0, 2, 3]]) for k in range(len(corners))])
    normals = np.cross(
        vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
    )
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Subject(
        vertices,
        faces,
        np.repeat(normals[:, None], 3, 1),
        np.concatenate(uv)[faces],
        np.concatenate([top, sides], axis=1),
    )


def around(count: int, turn_deg: float = 150.0, distance: float = 1.5) -> np.ndarray:
    """Poses (count, 4, 4) of cameras that look at the table's middle from two heights, on an arc."""
    poses = []
    for k in range(count):
        turn, height = np.deg2rad(turn_deg * k / max(count - 1, 1)), np.deg2rad(35 if k % 2 else 55)
        eye = distance * np.array(
            [np.cos(turn) * np.cos(height), np.sin(turn) * np.cos(height), np.sin(height)]
        )
        forward = np.array([0, 0, 0.05]) - eye
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = np.stack([right, np.cross(forward, right), forward], 1), eye
        poses.append(T)
    return np.stack(poses)


def camera(width: int = 320, height: int = 240) -> PinholeCamera:
    """As wide as a phone's."""
    focal = 1.25 * max(width, height)
    return PinholeCamera(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def photographed(
    subject: Subject, taken_by: PinholeCamera, poses: np.ndarray, finer: int = 1
) -> list[np.ndarray]:
    """Pictures (h, w, 3) on grey."""
    studio = Studio(subject)
    pictures = []
    for pose in poses:
        rgba = studio.photograph(taken_by, pose, finer).rgba.astype(np.float64)
        alpha = rgba[..., 3:] / 255
        pictures.append(np.round(rgba[..., :3] * alpha + 200 * (1 - alpha)).astype(np.uint8))
    return pictures


def written(folder: Path, pictures: list[np.ndarray], first: str = "view_") -> list[str]:
    """The pictures as PNG files in a folder; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{first}{k:02d}.png" for k in range(len(pictures))]
    for name, picture in zip(names, pictures, strict=True):
        write_image(folder / name, picture)
    return names


def posed(
    folder: Path, names: list[str], taken_by: PinholeCamera, poses: np.ndarray
) -> dict[str, PosedPicture]:
    """Pictures with their true poses."""
    lens = LensCamera(taken_by)
    return {name: PosedPicture(name, folder / name, lens, T) for name, T in zip(names, poses, strict=True)}


def aligned(found: np.ndarray, true: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The similarity (scale, R, t) that takes camera centres found to true ones (Umeyama 1991)."""
    x, y = found - found.mean(0), true - true.mean(0)
    U, S, Vt = np.linalg.svd(y.T @ x)
    sign = np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))])
    R = U @ sign @ Vt
    scale = float((S * np.diagonal(sign)).sum() / (x**2).sum())
    return scale, R, true.mean(0) - scale * R @ found.mean(0)


def _box_faces(x: float, y: float, half: float, height: float) -> list[np.ndarray]:
    low, high = np.array([x - half, y - half, 0]), np.array([x + half, y + half, height])
    a, b, c, d = (np.array([u, v]) for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)))
    faces = [[(*p, 1) for p in (a, b, c, d)]]
    for p, q in ((a, b), (b, c), (c, d), (d, a)):
        faces.append([(*p, 0), (*q, 0), (*q, 1), (*p, 1)])
    return [low + np.array(face, float) * (high - low) for face in faces]
