"""Small scenes of known geometry, rendered here and written as every format that nerfrecon reads.

Cameras stand in a ring and look at coloured balls of known place. Rays are computed here once more, by
OpenGL's formula, so that a reader which misplaces half a pixel or swaps an axis disagrees with the pictures.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT, FOCAL_PX = 64, 48, 66.0
BALL_RADIUS = 0.11
BALLS = np.array([[0.5, 0.4, 0.3], [-0.5, 0.35, -0.3], [0.1, -0.5, -0.1]])
COLOURS = np.array([[250, 20, 20], [20, 250, 20], [20, 20, 250]], np.uint8)


@dataclass(frozen=True, eq=False)
class KnownScene:
    """Camera-to-world matrices with OpenGL's axes, RGBA pictures, and points in the world with colours."""

    poses_opengl: np.ndarray
    pictures: list[np.ndarray]
    points: np.ndarray
    colours: np.ndarray

    def rays(self, view: int) -> tuple[np.ndarray, np.ndarray]:
        """Origin (3,) and directions (h, w, 3), not of unit length, of all pixels of a view."""
        j, i = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        return _rays(self.poses_opengl[view], i, j)


def known_scene(views: int = 6, seed: int = 3) -> KnownScene:
    """Cameras in a ring of radius 3, rolled and shifted a little, around the balls; 200 points in the box."""
    rng = np.random.default_rng(seed)
    poses = []
    for k in range(views):
        turn = 2 * np.pi * (k + 0.1 * rng.random()) / views
        eye = np.array([3 * np.cos(turn), 3 * np.sin(turn), 1.0 + 0.5 * rng.random()])
        backward = eye - 0.1 * rng.standard_normal(3)
        backward /= np.linalg.norm(backward)
        right = np.cross([0.1 * rng.standard_normal(), 0.0, 1.0], backward)
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = np.stack([right, np.cross(backward, right), backward], 1)
        pose[:3, 3] = eye
        poses.append(pose)
    points = rng.uniform(-0.6, 0.6, (200, 3))
    colours = rng.integers(0, 256, (200, 3)).astype(np.uint8)
    return KnownScene(np.array(poses), [_picture(pose) for pose in poses], points, colours)


def write_pictures(folder: Path, known: KnownScene, names: list[str], alpha: bool = True) -> None:
    """The pictures as PNG, with alpha or over white."""
    for name, rgba in zip(names, known.pictures, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not alpha:
            a = rgba[..., 3:] / 255.0
            rgba = np.round(rgba[..., :3] * a + 255 * (1 - a)).astype(np.uint8)
        Image.fromarray(rgba).save(path)


def write_blender(folder: Path, known: KnownScene) -> Path:
    """NeRF-synthetic: transforms_train.json and train/r_0.png, ..."""
    names = [f"train/r_{k}" for k in range(len(known.pictures))]
    write_pictures(folder, known, [name + ".png" for name in names])
    frames = [
        {"file_path": f"./{name}", "transform_matrix": pose.tolist()}
        for name, pose in zip(names, known.poses_opengl, strict=True)
    ]
    angle = 2 * np.arctan(0.5 * WIDTH / FOCAL_PX)
    return _write_json(folder / "transforms_train.json", {"camera_angle_x": angle, "frames": frames})


def write_transforms(folder: Path, known: KnownScene, per_frame: bool = False, **more: Any) -> Path:
    """transforms.json with intrinsics once or in each frame; `more` are further keys, such as aabb_scale."""
    names = [f"images/{k:04d}.png" for k in range(len(known.pictures))]
    write_pictures(folder, known, names)
    lens = {"fl_x": FOCAL_PX, "fl_y": FOCAL_PX, "cx": WIDTH / 2, "cy": HEIGHT / 2, "w": WIDTH, "h": HEIGHT}
    frames = [
        {"file_path": name, "transform_matrix": pose.tolist(), **(lens if per_frame else {})}
        for name, pose in zip(names, known.poses_opengl, strict=True)
    ]
    document = {**({} if per_frame else lens), **more, "frames": frames}
    return _write_json(folder / "transforms.json", document)


def write_colmap(
    folder: Path,
    known: KnownScene,
    model: str = "PINHOLE",
    params: tuple[float, ...] = (FOCAL_PX, FOCAL_PX, WIDTH / 2, HEIGHT / 2),
    alpha: bool = True,
) -> Path:
    """images/ and a sparse model as text, whose every point is seen by the two views of its number's
    remainder."""
    names = [f"a{k}.png" for k in range(len(known.pictures))]
    write_pictures(folder / "images", known, names, alpha)
    place = folder / "sparse" / "0"
    place.mkdir(parents=True, exist_ok=True)
    camera = f"3 {model} {WIDTH} {HEIGHT} {' '.join(map(repr, map(float, params)))}\n"
    (place / "cameras.txt").write_text(f"# Camera list\n{camera}")
    seen: list[list[int]] = [[] for _ in names]
    points = []
    for number, (point, colour) in enumerate(zip(known.points, known.colours, strict=True)):
        views = sorted({number % len(names), (number + 1) % len(names)})
        track = " ".join(f"{10 + view} {len(seen[view])}" for view in views)
        for view in views:
            seen[view].append(number)
        xyz = " ".join(repr(float(value)) for value in point)
        points.append(f"{number + 1} {xyz} {' '.join(str(int(c)) for c in colour)} 0.5 {track}\n")
    (place / "points3D.txt").write_text("# 3D point list\n" + "".join(points))
    lines = ["# Image list with two lines of data per image\n"]
    for view, (name, pose) in enumerate(zip(names, known.poses_opengl, strict=True)):
        R = (pose[:3, :3] * [1, -1, -1]).T
        numbers = [*quaternion(R), *(-R @ pose[:3, 3])]
        lines.append(f"{10 + view} {' '.join(repr(float(value)) for value in numbers)} 3 {name}\n")
        lines.append(" ".join(f"1.5 2.5 {number + 1}" for number in seen[view]) + "\n")
    (place / "images.txt").write_text("".join(lines))
    return folder


def write_colmap_binary(folder: Path, known: KnownScene) -> Path:
    """The same as .bin files, with the numbers of the text."""
    place = write_colmap(folder, known) / "sparse" / "0"
    words = (place / "cameras.txt").read_text().split("\n")[1].split()
    params = [float(word) for word in words[4:]]
    cameras = struct.pack("<QIiQQ4d", 1, int(words[0]), 1, int(words[2]), int(words[3]), *params)
    (place / "cameras.bin").write_bytes(cameras)
    lines = (place / "images.txt").read_text().split("\n")[1:-1]
    images = struct.pack("<Q", len(lines) // 2)
    for head, tail in zip(lines[::2], lines[1::2], strict=True):
        words, seen = head.split(), tail.split()
        images += struct.pack("<I7dI", int(words[0]), *map(float, words[1:8]), int(words[8]))
        images += words[9].encode() + b"\0" + struct.pack("<Q", len(seen) // 3)
        for at in range(0, len(seen), 3):
            images += struct.pack("<ddQ", float(seen[at]), float(seen[at + 1]), int(seen[at + 2]))
    (place / "images.bin").write_bytes(images)
    lines = (place / "points3D.txt").read_text().split("\n")[1:-1]
    points = struct.pack("<Q", len(lines))
    for line in lines:
        words = line.split()
        points += struct.pack("<Q3d3Bd", int(words[0]), *map(float, words[1:4]), *map(int, words[4:7]), 0.5)
        points += struct.pack(f"<Q{len(words[8:])}I", len(words[8:]) // 2, *map(int, words[8:]))
    (place / "points3D.bin").write_bytes(points)
    for name in ("cameras", "images", "points3D"):
        (place / f"{name}.txt").unlink()
    return folder


def write_idr(folder: Path, known: KnownScene, masks: bool = True) -> Path:
    """cameras_sphere.npz, image/ and mask/; the sphere is (0.1, 0, -0.1) with radius 1.2."""
    names = [f"{k:03d}.png" for k in range(len(known.pictures))]
    write_pictures(folder / "image", known, names, alpha=False)
    if masks:  # the pictures then keep each ball's own colour up to its border
        (folder / "mask").mkdir(exist_ok=True)
        for name, rgba in zip(names, known.pictures, strict=True):
            Image.fromarray(rgba[..., :3]).save(folder / "image" / name)
            Image.fromarray(rgba[..., 3]).save(folder / "mask" / name)
    K = np.array([[FOCAL_PX, 0, WIDTH / 2 - 0.5], [0, FOCAL_PX, HEIGHT / 2 - 0.5], [0, 0, 1]])
    scale = np.diag([1.2, 1.2, 1.2, 1.0])
    scale[:3, 3] = [0.1, 0.0, -0.1]
    matrices = {}
    for k, pose in enumerate(known.poses_opengl):
        R = (pose[:3, :3] * [1, -1, -1]).T
        world = np.eye(4)
        # A projection is known up to a factor, and files differ in it.
        world[:3] = (-2.5 if k % 2 else 1.0) * K @ np.column_stack([R, -R @ pose[:3, 3]])
        matrices |= {f"world_mat_{k}": world, f"scale_mat_{k}": scale}
    np.savez(folder / "cameras_sphere.npz", **matrices)
    return folder / "cameras_sphere.npz"


def quaternion(R: np.ndarray) -> np.ndarray:
    """(w, x, y, z) of a rotation: the eigenvector of the largest eigenvalue (Bar-Itzhack 2000)."""
    (a, b, c), (d, e, f), (g, h, i) = R
    K = [
        [a - e - i, b + d, c + g, h - f],
        [b + d, e - a - i, f + h, c - g],
        [c + g, f + h, i - a - e, d - b],
        [h - f, c - g, d - b, a + e + i],
    ]
    x, y, z, w = np.linalg.eigh(np.array(K) / 3)[1][:, -1]
    return np.array([w, x, y, z])


def _rays(pose: np.ndarray, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    camera = np.stack(
        [(i - 0.5 * WIDTH) / FOCAL_PX, -(j - 0.5 * HEIGHT) / FOCAL_PX, -np.ones_like(i)], axis=-1
    )
    return pose[:3, 3], camera @ pose[:3, :3].T


def _picture(pose: np.ndarray, finer: int = 4) -> np.ndarray:
    """RGBA of the balls; each pixel is the mean of `finer`^2 rays spread over it."""
    j, i = (np.mgrid[: HEIGHT * finer, : WIDTH * finer] + 0.5) / finer
    origin, directions = _rays(pose, i, j)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    nearest = np.full(i.shape, np.inf)
    rgba = np.zeros((*i.shape, 4))
    for ball, colour in zip(BALLS, COLOURS, strict=True):
        middle = directions @ (ball - origin)
        root = middle**2 - np.sum((ball - origin) ** 2) + BALL_RADIUS**2
        distance = np.where(root > 0, middle - np.sqrt(np.maximum(root, 0)), np.inf)
        rgba[distance < nearest] = [*(colour / 255.0), 1.0]
        nearest = np.minimum(nearest, distance)
    rgba[..., :3] *= rgba[..., 3:]
    rgba = rgba.reshape(HEIGHT, finer, WIDTH, finer, 4).mean(axis=(1, 3))
    rgba[..., :3] /= np.maximum(rgba[..., 3:], 1e-9)
    return np.round(255 * rgba).astype(np.uint8)


def _write_json(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document))
    return path
