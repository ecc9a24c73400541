"""A small textured model as a binary glTF, and its picture by ray casting with bilinear texture look-ups."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import open3d as o3d
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

Camera = dict[str, Any]


def write_bumpy_glb(path: Path, texture_px: int = 96, seed: int = 3) -> Path:
    """A bumpy ball of 2,304 faces, 0.3 wide, with a seam and a texture of soft colours and sharp stripes."""
    u, v = np.meshgrid(np.linspace(0, 1, 49), np.linspace(0, 1, 25))
    turn, rise = 2 * np.pi * u, np.pi * (v - 0.5)
    radius = 0.14 + 0.012 * np.sin(5 * turn) * np.cos(3 * rise) * np.cos(rise)
    points = np.stack([np.cos(rise) * np.sin(turn), np.sin(rise), np.cos(rise) * np.cos(turn)], -1)
    points = (points * radius[..., None]).reshape(-1, 3) * [1, 0.8, 0.9] + [0.02, 0.11, -0.01]
    row, column = np.meshgrid(np.arange(24), np.arange(48), indexing="ij")
    a = (row * 49 + column).ravel()
    faces = np.concatenate([np.stack([a, a + 1, a + 50], 1), np.stack([a, a + 50, a + 49], 1)])
    soft = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    picture = np.array(Image.fromarray(soft).resize((texture_px, texture_px), Image.Resampling.BICUBIC))
    picture[:, :: texture_px // 8] = picture[:: texture_px // 16] = (20, 30, 60)
    visual = TextureVisuals(
        uv=np.stack([u.ravel(), v.ravel()], 1),
        material=PBRMaterial(baseColorTexture=Image.fromarray(picture)),
    )
    data: Any = trimesh.Trimesh(points, faces, visual=visual, process=False).export(
        file_type="glb", include_normals=True
    )
    path.write_bytes(data)
    return path


def cast(glb: Path, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """RGB bytes over white of the rays through pixel centres, and which of them hit."""
    mesh: Any = trimesh.load(glb, force="mesh", process=False)
    texture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"), np.float64)
    scene: Any = o3d.t.geometry.RaycastingScene(nthreads=1)
    scene.add_triangles(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    x, y = np.meshgrid(np.arange(camera["width"]), np.arange(camera["height"]))
    T = np.array(camera["T_world_camera"])
    ways = np.stack(
        [(x - camera["cx"]) / camera["fx"], (y - camera["cy"]) / camera["fy"], np.ones(x.shape)], -1
    )
    ways = ways @ T[:3, :3].T
    rays = np.concatenate([np.broadcast_to(T[:3, 3], ways.shape), ways], -1).astype(np.float32)
    found = scene.cast_rays(rays)
    hit = np.isfinite(found["t_hit"].numpy())
    corners = mesh.visual.uv[mesh.faces[found["primitive_ids"].numpy()[hit]]]
    second, third = found["primitive_uvs"].numpy()[hit].T.astype(np.float64)
    shares = np.stack([1 - second - third, second, third], 1)
    uv = (corners * shares[..., None]).sum(1)
    rgb = np.full((*hit.shape, 3), 255.0)
    rgb[hit] = _looked_up(texture, uv[:, 0] * texture.shape[1] - 0.5, (1 - uv[:, 1]) * len(texture) - 0.5)
    return rgb.round().astype(np.uint8), hit


def pack_glb(tree: dict[str, Any], blobs: list[bytes]) -> bytes:
    """A container of `tree` and blobs, each of which becomes a buffer view of its own (padded to 4 bytes)."""
    views, binary = [], b""
    for blob in blobs:
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(blob)})
        binary += blob + b"\0" * (-len(blob) % 4)
    given = tree.get("bufferViews", [{}] * len(views))
    views = [view | more for view, more in zip(views, given, strict=True)]
    tree = {"asset": {"version": "2.0"}, "buffers": [{"byteLength": len(binary)}]} | tree
    text = json.dumps(tree | {"bufferViews": views}).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0")
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks) + len(binary)) + chunks + binary


def _looked_up(texture: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Between four pixels; beyond an edge comes the opposite one, as glTF's textures repeat."""
    left, top = np.floor(columns).astype(int), np.floor(rows).astype(int)
    right_share, low_share = (columns - left)[:, None], (rows - top)[:, None]
    height, width = texture.shape[:2]

    def at(dy: int, dx: int) -> np.ndarray:
        return texture[(top + dy) % height, (left + dx) % width]

    upper = at(0, 0) * (1 - right_share) + at(0, 1) * right_share
    lower = at(1, 0) * (1 - right_share) + at(1, 1) * right_share
    return upper * (1 - low_share) + lower * low_share
