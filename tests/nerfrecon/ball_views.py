"""Three striped balls in the unit cube, ray-cast, as training views with alpha; and settings that learn them
in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from nerfrecon.backends.base import Pace, RayCamera, Rendered, TrainingView
from nerfrecon.backends.torch import TorchBackend
from nerfrecon.checkpoint import AnyField
from nerfrecon.evaluate import over, psnr
from nerfrecon.options import (
    BigMlpFieldOptions,
    DensityFieldOptions,
    GridOptions,
    LevelSchedule,
    LossOptions,
    OptimiserOptions,
    SamplingOptions,
    SdfFieldOptions,
)

SIDE_PX, FOCAL_PX = 24, 28.0
BALLS = (
    ((0.5, 0.5, 0.5), 0.22, (0.9, 0.2, 0.1)),
    ((0.72, 0.6, 0.62), 0.12, (0.1, 0.7, 0.3)),
    ((0.35, 0.3, 0.4), 0.12, (0.2, 0.3, 0.9)),
)
GRID = GridOptions(levels=5, log2_table=12, coarsest_resolution=8, finest_resolution=64)
DENSITY = DensityFieldOptions(grid=GRID)
SDF = SdfFieldOptions(grid=GRID, active=LevelSchedule(first=3))
BIG = BigMlpFieldOptions(layers=3, width=32, skip=1, position_frequencies=5)
SAMPLING = SamplingOptions(occupancy_resolution=32, step=1 / 64)
OPTIMISER = OptimiserOptions(warm_up_steps=10)
WHITE = (1.0, 1.0, 1.0)


def camera(turn: float, height: float, T_wrong: np.ndarray | None = None) -> RayCamera:
    """A camera on a sphere around the cube's middle that looks at it."""
    away = np.array([np.cos(turn), np.sin(turn), height]) / np.hypot(1, height)
    x = np.cross(-away, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3, :3] = np.stack([x, np.cross(-away, x), -away], 1)
    T[:3, 3] = 0.5 + 1.4 * away
    middle = (SIDE_PX - 1) / 2
    return RayCamera(SIDE_PX, SIDE_PX, FOCAL_PX, FOCAL_PX, middle, middle, T if T_wrong is None else T_wrong)


def ball_views(count: int = 12, shift: float = 0.0) -> list[TrainingView]:
    """Views in a ring; `shift` turns the ring by a share of the angle between two."""
    turns = 2 * np.pi * (np.arange(count) + shift) / count
    cameras = [camera(turn, 0.5 * float(np.sin(1.7 * k))) for k, turn in enumerate(turns)]
    return [TrainingView(one, picture(one)) for one in cameras]


def cast(one: RayCamera, finer: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """RGBA, not premultiplied, and depth along the rays (infinite beside the balls) at a finer raster."""
    v, u = (np.mgrid[: one.height * finer, : one.width * finer] + 0.5) / finer - 0.5
    d = np.stack([(u - one.cx) / one.fx, (v - one.cy) / one.fy, np.ones_like(u)], -1)
    d = d / np.linalg.norm(d, axis=-1, keepdims=True) @ one.T_unit_camera[:3, :3].T
    o = one.T_unit_camera[:3, 3]
    depth, rgba = np.full(u.shape, np.inf), np.zeros((*u.shape, 4))
    for centre, radius, colour in BALLS:
        middle = d @ (np.array(centre) - o)
        root = middle**2 - np.sum((np.array(centre) - o) ** 2) + radius**2
        t = np.where(root > 0, middle - np.sqrt(np.maximum(root, 0)), np.inf)
        z = o[2] + np.where(np.isfinite(t), t, 0) * d[..., 2]
        shade = 0.75 + 0.25 * np.sign(np.sin(14 * z))
        nearer = t < depth
        rgba[nearer] = np.concatenate([np.array(colour) * shade[..., None], np.ones((*u.shape, 1))], -1)[
            nearer
        ]
        depth = np.minimum(depth, t)
    return rgba, depth


def picture(one: RayCamera, finer: int = 3) -> np.ndarray:
    """What the camera sees: each pixel the mean of rays spread over it."""
    rgba = cast(one, finer)[0]
    rgba[..., :3] *= rgba[..., 3:]
    rgba = rgba.reshape(one.height, finer, one.width, finer, 4).mean((1, 3))
    rgba[..., :3] /= np.maximum(rgba[..., 3:], 1e-9)
    return np.round(255 * rgba).astype(np.uint8)


def write_ball_scene(folder: Path, count: int = 12) -> Path:
    """The views as transforms.json with pictures; the box is the unit cube."""
    frames = []
    (folder / "images").mkdir(parents=True)
    for number, view in enumerate(ball_views(count)):
        name = f"images/{number:04d}.png"
        Image.fromarray(view.pixels).save(folder / name)
        pose = view.camera.T_unit_camera @ np.diag([1.0, -1, -1, 1])
        frames.append({"file_path": name, "transform_matrix": pose.tolist()})
    lens = {
        "fl_x": FOCAL_PX,
        "fl_y": FOCAL_PX,
        "cx": SIDE_PX / 2,
        "cy": SIDE_PX / 2,
        "w": SIDE_PX,
        "h": SIDE_PX,
    }
    (folder / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    return folder


def backend_of(
    field: AnyField = DENSITY, losses: LossOptions | None = None, views=None, **more
) -> TorchBackend:
    """A torch backend with a small batch."""
    views = ball_views() if views is None else views
    made = TorchBackend(field, SAMPLING, losses or LossOptions(), OPTIMISER, views, **more)
    made.pace = Pace(1e-2, 5e-3, 5, 2048)
    return made


def mean_psnr(backend: TorchBackend, views: list[TrainingView]) -> float:
    """Over white, in dB."""
    pairs = [(backend.render(view.camera, WHITE), over(view.pixels, 1.0)) for view in views]
    return float(np.mean([psnr(rendered.rgb, wanted) for rendered, wanted in pairs]))


def rendered(backend: TorchBackend, view: TrainingView) -> Rendered:
    """A view over white."""
    return backend.render(view.camera, WHITE)
