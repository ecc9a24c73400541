"""Many frames of one person: standing never quite still, breathing or holding the breath."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from spine.synthetic.camera import DepthCamera, DepthErrors, camera_behind, exact_depth, shaded
from spine.synthetic.random_curves import smooth_curve
from spine.synthetic.subject import SimulatedSubject
from suite.data.rgbd import RecordingInfo, RgbdFrame, write_recording
from suite.geometry.rotations import so3_exp

DEPTH_UNIT_M = 0.0001


def record(
    subject: SimulatedSubject,
    path: str | Path,
    camera: DepthCamera,
    *,
    rng: np.random.Generator,
    n_frames: int = 30,
    distance_m: float = 0.8,
    sway_mm: float = 2.0,
    sway_deg: float = 0.3,
    breath_mm: float = 0.0,
    background_m: float | None = None,
    fps: float = 30.0,
) -> Float[np.ndarray, "n 4 4"]:
    """Write a recording in `suite.data.rgbd`'s format, all or nothing; returns T_camera_body (m) of every
    frame.

    sway_mm, sway_deg: standard deviations of slow movement; breath_mm: amplitude of the thorax, 15 breaths a
    minute.
    """
    T = swaying_views(subject, rng, n_frames, distance_m, sway_mm, sway_deg, fps)
    info = RecordingInfo(
        device=f"simulated {camera.name}",
        depth_unit_m=DEPTH_UNIT_M,
        camera_depth=camera.camera,
        gravity_camera=-T[0, :3, 1],
        presets={"baseline_m": camera.baseline_m, "subpixel": camera.subpixel},
    )
    errors = DepthErrors(camera, rng)

    def frames() -> Iterator[RgbdFrame]:
        for i, T_camera_body in enumerate(T):
            breath = breath_mm * np.sin(2 * np.pi * 0.25 * i / fps)
            depth, place = exact_depth(subject, camera.camera, T_camera_body, breath)
            yield RgbdFrame(
                errors(depth, background_m).astype(np.float32), shaded(subject, place), camera.camera, i / fps
            )

    write_recording(path, info, frames())
    return T


def swaying_views(
    subject: SimulatedSubject,
    rng: np.random.Generator,
    n_frames: int,
    distance_m: float,
    sway_mm: float,
    sway_deg: float,
    fps: float,
) -> Float[np.ndarray, "n 4 4"]:
    """T_camera_body (m) of every frame: the person sways about the base mid-point; the first frame is the
    middle."""
    time = np.arange(n_frames) / fps
    moves = np.stack([smooth_curve(rng, time, 0.7) for _ in range(6)], axis=1)
    moves -= moves[:1]
    T_sway = np.tile(np.eye(4), (n_frames, 1, 1))
    T_sway[:, :3, :3] = so3_exp(np.radians(sway_deg) * moves[:, :3])
    T_sway[:, :3, 3] = sway_mm / 1000 * moves[:, 3:]
    return camera_behind(subject, distance_m) @ T_sway
