"""A ball with a known, smooth texture, photographed; and the mesh that is to be painted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from nerfrecon.scene import Scene
from nerfrecon.scenes.read import read_scene
from nerfrecon.simulate.capture import CaptureOptions, simulate
from nerfrecon.simulate.subject import Subject
from suite.geometry.mesh import Mesh

RINGS, SECTORS = 24, 48


def ball_mesh() -> Mesh:
    """Of radius 1, closed."""
    heights = np.linspace(0, np.pi, RINGS + 1)[1:-1]
    turns = 2 * np.pi * np.arange(SECTORS) / SECTORS
    h, t = np.meshgrid(heights, turns, indexing="ij")
    around = np.stack([np.sin(h) * np.cos(t), np.cos(h), np.sin(h) * np.sin(t)], -1).reshape(-1, 3)
    vertices = np.concatenate([around, [[0, 1.0, 0], [0, -1.0, 0]]])
    top, bottom = len(around), len(around) + 1
    faces = []
    for k in range(SECTORS):
        n = (k + 1) % SECTORS
        faces += [[top, n, k], [bottom, (RINGS - 2) * SECTORS + k, (RINGS - 2) * SECTORS + n]]
        for ring in range(RINGS - 2):
            a, b = ring * SECTORS + k, ring * SECTORS + n
            faces += [[a, b, a + SECTORS], [b, b + SECTORS, a + SECTORS]]
    return Mesh(vertices, np.array(faces))


def pattern(points: np.ndarray) -> np.ndarray:
    """Colour in [0.1, 0.9] at points of the ball."""
    x, y, z = points.T
    waves = np.stack([np.sin(5 * x + 2 * y), np.sin(4 * y - 3 * z + 1), np.sin(6 * z * x + 2)], 1)
    return 0.5 + 0.4 * waves


def photographed_ball(folder: Path, views: int = 20, side_px: int = 72) -> tuple[Subject, Scene]:
    """The subject and the scene of its photographs; corner colours come from a texture of longitude and
    latitude, light from the studio."""
    mesh = ball_mesh()
    corners = mesh.vertices[mesh.faces]
    turn = np.arctan2(corners[..., 2], corners[..., 0]) / (2 * np.pi)
    turn = np.where(np.ptp(turn, axis=1, keepdims=True) > 0.5, turn % 1.0, turn)
    pole = np.abs(corners[..., 1]) > 1 - 1e-9
    others = np.where(pole, 0, turn).sum(1, keepdims=True) / np.maximum((~pole).sum(1, keepdims=True), 1)
    uv = np.stack([np.where(pole, others, turn), 1 - np.arccos(corners[..., 1].clip(-1, 1)) / np.pi], -1)
    v, u = (np.mgrid[:128, :256] + 0.5) / [[[128.0]], [[256.0]]]
    h, t = np.pi * v.ravel(), 2 * np.pi * u.ravel()
    places = np.stack([np.sin(h) * np.cos(t), np.cos(h), np.sin(h) * np.sin(t)], 1)
    texture = np.round(255 * pattern(places)).reshape(128, 256, 3).astype(np.uint8)
    subject = Subject(mesh.vertices, mesh.faces, corners, uv, texture)
    simulate(subject, folder, CaptureOptions(views=views, side_px=side_px, rings=4, lowest_deg=-40))
    return subject, read_scene(folder)


def with_views(scene: Scene, keep: tuple[int, ...]) -> Scene:
    """The scene with these views only."""
    return replace(scene, views=tuple(scene.views[view] for view in keep))
