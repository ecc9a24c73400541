"""Views of a trained field as pictures: those of its scene, or a turn around the box."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from nerfrecon.backends.base import Backend, RayCamera, Rendered
from nerfrecon.backends.choose import choose
from nerfrecon.checkpoint import read_checkpoint
from nerfrecon.config import NerfreconConfig
from nerfrecon.evaluate import GREYS
from nerfrecon.render.rays import camera_directions, pixel_grid
from nerfrecon.scene import Scene
from nerfrecon.train import FIELD, open_scene
from nerfrecon.training.fit import CHECKPOINT
from nerfrecon.training.preview import eight_bits
from nerfrecon.training.views import ray_camera
from suite.config import load_config
from suite.data.images import write_depth_png, write_image
from suite.errors import BadInput, did_you_mean
from suite.progress import track
from suite.run import CONFIG

DEPTH_UNIT = 0.001
ORBIT_LOOK_DOWN_DEG = 20.0


def render_run(
    run: Path,
    out: Path,
    views: str = "held-out",
    *,
    orbit: int | None = None,
    scale: float | int = 1.0,
    depth: bool = False,
    backend: Literal["auto", "native", "torch", "tcnn"] = "auto",
) -> int:
    """Write NAME.png, and NAME-depth.png, of each view; returns how many. BadInput for no such view."""
    config, opened = open_run(run, backend)
    scene = open_scene(config)
    if orbit is None:
        chosen = _named(scene, config, views)
        names = [Path(scene.views[number].name).stem for number in chosen]
        cameras = [ray_camera(scene, number, config.picture_scale * scale) for number in chosen]
    else:
        cameras = orbit_cameras(scene, orbit, config.picture_scale * scale)
        names = [f"{number:04d}" for number in range(orbit)]
    for name, camera in track(list(zip(names, cameras, strict=True)), "Rendering"):
        rendered = opened.render(camera, GREYS[config.background])
        write_image(out / f"{name}.png", eight_bits(rendered.rgb))
        if depth:
            write_depth_png(out / f"{name}-depth.png", depth_along_axis(rendered, camera, scene), DEPTH_UNIT)
    return len(cameras)


def open_run(
    run: Path, backend: Literal["auto", "native", "torch", "tcnn"] = "auto"
) -> tuple[NerfreconConfig, Backend]:
    """The settings of a run and a backend that has its field, or what it had when it was stopped."""
    if not (run / CONFIG).is_file():
        raise BadInput(f"no {CONFIG} here", run, hint="name the folder of a run")
    config = load_config(NerfreconConfig, run / CONFIG, ()).config
    config = config.model_copy(update={"train": config.train.model_copy(update={"backend": backend})})
    path = next((path for path in (run / FIELD, run / CHECKPOINT) if path.is_file()), run / FIELD)
    found = read_checkpoint(path)
    opened = choose(config, found.field).backend
    opened.load_state(found.state)
    opened.pace = type(opened.pace)(active_levels=32)
    return config, opened


def orbit_cameras(scene: Scene, count: int, scale: float | int = 1.0) -> list[RayCamera]:
    """A turn around the middle of the box at the cameras' mean distance, 20 degrees above its horizon."""
    like = ray_camera(scene, 0, scale)
    up = np.array([0.0, 0.0, 1.0]) if scene.up is None else scene.up / np.linalg.norm(scene.up)
    centres = np.stack([scene.T_unit_camera(view)[:3, 3] for view in range(len(scene.views))])
    radius = float(np.linalg.norm(centres - 0.5, axis=1).mean())
    side = np.cross(up, [1.0, 0, 0] if abs(up[0]) < 0.9 else [0, 1.0, 0])
    side /= np.linalg.norm(side)
    ahead = np.cross(up, side)
    rise = np.radians(ORBIT_LOOK_DOWN_DEG)
    cameras = []
    for turn in 2 * np.pi * np.arange(count) / count:
        away = np.cos(rise) * (np.cos(turn) * side + np.sin(turn) * ahead) + np.sin(rise) * up
        z = -away
        x = np.cross(z, up)
        x /= np.linalg.norm(x)
        T = np.eye(4)
        T[:3, :3] = np.stack([x, np.cross(z, x), z], 1)
        T[:3, 3] = 0.5 + radius * away
        cx, cy = (like.width - 1) / 2, (like.height - 1) / 2
        cameras.append(RayCamera(like.width, like.height, like.fx, like.fy, cx, cy, T))
    return cameras


def depth_along_axis(rendered: Rendered, camera: RayCamera, scene: Scene) -> np.ndarray:
    """Depth along the optical axis in world units; NaN where the field is not opaque."""
    z = camera_directions(camera, pixel_grid(camera))[:, 2].reshape(rendered.depth.shape)
    return np.where(rendered.opacity > 0.5, rendered.depth * z * scene.side, np.nan).astype(np.float32)


def _named(scene: Scene, config: NerfreconConfig, views: str) -> tuple[int, ...]:
    learned, held_out = scene.split(config.train.hold_out_every)
    if views == "all":
        return tuple(range(len(scene.views)))
    if views == "held-out":
        return held_out or learned
    names = [view.name for view in scene.views]
    stems = [Path(name).stem for name in names]
    for known in (names, stems):
        if views in known:
            return (known.index(views),)
    close = did_you_mean(views, names)
    raise BadInput(
        "is no view of the scene", views, hint=f"did you mean {close}?" if close else "held-out or all"
    )
