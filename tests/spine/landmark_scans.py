"""Scans of simulated people like those of the training, but not of it, and what is found on them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from spine.anchors import FEATURES, EndModel
from spine.heightmap import HeightMap
from spine.landmark_model import LandmarkModel
from spine.landmark_training import PEOPLE
from spine.landmarks import Landmarks, find_landmarks
from spine.spinous_line import CHANNELS, DILATIONS, KERNEL, ROWS_U, LineModel, Weights
from spine.surface import BackSurface, back_surface
from spine.synthetic import Scan, SimulatedSubject, scan_points, simulate_subject
from suite.geometry.rotations import transform_points

FLIP = np.array([-1.0, 1.0, 1.0])
BLUE = (30, 60, 200)


@dataclass(frozen=True)
class Scanned:
    """A person, the scan (mm) and the surface read from it in its file unit."""

    subject: SimulatedSubject
    scan: Scan
    surface: BackSurface

    def in_frame(self, surface: BackSurface, points_mm: np.ndarray) -> np.ndarray:
        """Points of the person's own body frame in the frame of a surface made from the scan."""
        return transform_points(surface.T_body_input @ self.scan.T_scan_body, np.atleast_2d(points_mm))


@functools.cache
def scanned(seed: int, mm_per_unit: float = 1000.0) -> Scanned:
    subject = simulate_subject(seed, PEOPLE)
    scan = scan_points(subject, noise_mm=0.7, rng=np.random.default_rng(seed), n_points=20_000)
    surface = back_surface(scan.cloud.points / mm_per_unit, up="-y", facing="-z")
    return Scanned(subject, scan, surface)


@functools.cache
def found(seed: int) -> tuple[BackSurface, Landmarks]:
    """Surface in the body frame and landmarks, by the shipped model."""
    return find_landmarks(scanned(seed).surface)


def line_error_mm(person: Scanned, surface: BackSurface, landmarks: Landmarks) -> float:
    """RMS of the line sideways, over the rows between the true base and VP."""
    y, x = person.in_frame(surface, person.subject.line_mm)[:, [1, 0]].T
    rows = (landmarks.line.y_mm >= y[0]) & (landmarks.line.y_mm <= y[-1])
    off = landmarks.line.x_mm[rows] - np.interp(landmarks.line.y_mm[rows], y, x)
    return float(np.sqrt((off**2).mean()))


def random_weights(rng: np.random.Generator, width: int = 8, size: float = 0.3) -> Weights:
    """Weights of a member that has learned nothing."""
    shapes = {"enter.weight": (width, CHANNELS, 1), "enter.bias": (width,)}
    for k in range(len(DILATIONS)):
        shapes |= {f"blocks.{k}.weight": (width, width, KERNEL), f"blocks.{k}.bias": (width,)}
    shapes |= {"leave.weight": (1, width, 1), "leave.bias": (1,)}
    return {key: (size * rng.standard_normal(shape)).astype(np.float32) for key, shape in shapes.items()}


def random_model(seed: int = 0) -> LandmarkModel:
    rng = np.random.default_rng(seed)
    line = LineModel((random_weights(rng), random_weights(rng)), rng.uniform(1, 3, len(ROWS_U)))
    vp, base = (
        EndModel(rng.normal(size=(7, FEATURES)), rng.normal(size=7), 12.0, 40.0, 6.0) for _ in range(2)
    )
    return LandmarkModel(line, vp, base, "random", "nothing")


def surface_map(z, x_half: float = 150.0, y: tuple[float, float] = (-60.0, 500.0)) -> HeightMap:
    """Height map of z(x, y), all of it seen."""
    x_mm, y_mm = np.arange(-x_half, x_half + 1, 2.0), np.arange(y[0], y[1] + 1, 2.0)
    heights = np.asarray(z(*np.meshgrid(x_mm, y_mm)), float)
    return HeightMap(x_mm, y_mm, heights, np.ones(heights.shape, bool))


def mirrored(height: HeightMap) -> HeightMap:
    return HeightMap(-height.x_mm[::-1], height.y_mm, height.z_mm[:, ::-1], height.observed[:, ::-1])


def unseen(height: HeightMap, where: np.ndarray) -> HeightMap:
    """The same heights, not measured in some cells."""
    return HeightMap(height.x_mm, height.y_mm, height.z_mm, height.observed & ~where)


def skin_colors(points: np.ndarray, tone=(224, 172, 140), seed: int = 0) -> np.ndarray:
    """Skin of this tone, lit from above, darker to the sides, with blotches and noise; (n, 3) uint8."""
    rng = np.random.default_rng(seed)
    x, y, _ = points.T
    light = 0.75 + 0.25 * (y - y.min()) / np.ptp(y) - 0.4 * (x / np.abs(x).max()) ** 2
    blotch = 12 * np.sin(x / 25 + 1) * np.sin(y / 31)
    colors = light[:, None] * np.array(tone) + blotch[:, None] * [1.0, -0.3, -0.3]
    return np.clip(colors + rng.normal(0, 4, points.shape), 0, 255).astype(np.uint8)


def painted(surface: BackSurface, *spots: tuple[np.ndarray, tuple[int, int, int]]) -> BackSurface:
    """The surface with skin colours and round spots of 12 mm on it."""
    colors = skin_colors(surface.points_mm)
    for centre, color in spots:
        colors[np.linalg.norm(surface.points_mm - centre, axis=1) < 6.0] = color
    return replace(surface, colors=colors)
