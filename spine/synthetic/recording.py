"""Many frames of one person before a depth camera: standing never quite still, breathing or holding the
breath, in an empty space or in a room.

The exact depth is cast once and looked up again in every frame: the person moves by so little that the same
skin is seen. Depth then goes through the camera's errors (see `spine.synthetic.camera`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from spine.synthetic.camera import DepthCamera, DepthErrors, camera_behind
from spine.synthetic.random_curves import smooth_curve
from spine.synthetic.render import render, thorax_share
from spine.synthetic.subject import SimulatedSubject
from suite.data.rgbd import RecordingInfo, RgbdFrame, write_recording
from suite.data.sampling import depth_at
from suite.geometry.camera import PinholeCamera
from suite.geometry.rotations import so3_exp

DEPTH_UNIT_M = 0.0001
BREATHS_PER_S = 0.25
_MARGIN = 48  # pixels around the image from which skin may sway into it
_ROUNDS = 4


@dataclass(frozen=True)
class Room:
    """What stands around the person: a wall `wall_m` before the camera, and boxes given by their two opposite
    corners in the body frame (mm) of the first frame."""

    wall_m: float | None = 1.6
    boxes_mm: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = ()

    def depth(
        self, camera: PinholeCamera, T_camera_body: Float[np.ndarray, "4 4"]
    ) -> Float[np.ndarray, "h w"]:
        """Depth (m) of the room without the person; NaN where there is nothing."""
        u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
        ray = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1)
        R, t = T_camera_body[:3, :3], T_camera_body[:3, 3] * 1000
        eye, ray = -R.T @ t, ray @ R
        ray = np.where(ray == 0, 1e-12, ray)
        depth = np.full(u.shape, np.inf if self.wall_m is None else self.wall_m)
        for corners in self.boxes_mm:
            to_planes = [(np.array(corner) - eye) / ray / 1000 for corner in corners]
            enter, leave = np.minimum(*to_planes).max(-1), np.maximum(*to_planes).min(-1)
            depth = np.where((enter < leave) & (enter > 0), np.minimum(depth, enter), depth)
        return np.where(np.isfinite(depth), depth, np.nan)


CHAIR = (
    ((280.0, -900.0, -330.0), (720.0, -40.0, -300.0)),
    ((280.0, -480.0, -330.0), (720.0, -440.0, 60.0)),
)
"""The back and the seat of a chair that stands beside the person."""
STOOL = (((-190.0, -130.0, -280.0), (190.0, -75.0, 80.0)), ((-30.0, -600.0, -130.0), (30.0, -130.0, -70.0)))
"""A stool the person sits on."""


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
    breath_phase: float = 0.0,
    background_m: float | None = None,
    room: Room | None = None,
    fps: float = 30.0,
    color: bool = True,
    T_camera_body: Float[np.ndarray, "4 4"] | None = None,
) -> Float[np.ndarray, "n 4 4"]:
    """Write a recording in `suite.data.rgbd`'s format, all or nothing; returns T_camera_body (m) of every
    frame.

    sway_mm, sway_deg: standard deviations of slow movement; breath_mm: amplitude of the thorax, 15 breaths a
    minute, of which the first frame has done breath_phase. The camera stands `distance_m` behind the back, or
    where T_camera_body (m, of the first frame) says; `background_m` is short for a room that is a wall.
    """
    first = camera_behind(subject, distance_m) if T_camera_body is None else T_camera_body
    T = first @ sway(rng, n_frames, sway_mm, sway_deg, fps)
    info = RecordingInfo(
        device=f"simulated {camera.name}",
        depth_unit_m=DEPTH_UNIT_M,
        camera_depth=camera.camera,
        gravity_camera=-T[0, :3, 1],
        presets={"baseline_m": camera.baseline_m, "subpixel": camera.subpixel},
    )
    room = room or (None if background_m is None else Room(background_m))
    around = None if room is None else room.depth(camera.camera, T[0])
    person = Swaying(subject, camera.camera, T[0], color, walled=around is not None)
    errors = DepthErrors(camera, rng)

    def frames() -> Iterator[RgbdFrame]:
        for i, breath in enumerate(breaths_mm(n_frames, breath_mm, breath_phase, fps)):
            depth, picture = person.seen(T[i], breath)
            if around is not None:
                depth = np.where(around < depth, np.nan, depth)
            yield RgbdFrame(errors(depth, around).astype(np.float32), picture, camera.camera, i / fps)

    write_recording(path, info, frames())
    return T


class Swaying:
    """A person cast once, and looked up as they sway and breathe."""

    def __init__(
        self,
        subject: SimulatedSubject,
        camera: PinholeCamera,
        T_camera_body: Float[np.ndarray, "4 4"],
        color: bool = True,
        walled: bool = False,
    ) -> None:
        self._camera, self._first = camera, T_camera_body
        m = _MARGIN
        self._wide = PinholeCamera(camera.width + 2 * m, camera.height + 2 * m, camera.fx, camera.fy,
                                   camera.cx + m, camera.cy + m)  # fmt: skip
        view = render(subject, self._wide, T_camera_body, color=color, walled=walled)
        self._depth, self._color = view.depth_m, view.color
        self._rise = T_camera_body[2, 2] / 1000 * thorax_share(view.place_mm[..., 1] / subject.vp_mm[1])
        rows, columns = np.nonzero(np.isfinite(self._depth))
        self._window = slice(0, 0), slice(0, 0)
        if len(rows):
            top, left = (max(int(at.min()) - 2 * m, 0) for at in (rows, columns))
            self._window = slice(top, int(rows.max()) + 1), slice(left, int(columns.max()) + 1)

    def seen(
        self, T_camera_body: Float[np.ndarray, "4 4"], breath_mm: float = 0.0
    ) -> tuple[Float[np.ndarray, "h w"], UInt8[np.ndarray, "h w 3"] | None]:
        """Exact depth (m, NaN beside the body) and colour of the person from here."""
        camera, wide = self._camera, self._wide
        depth = np.full((camera.height, camera.width), np.nan)
        color = None if self._color is None else np.empty((*depth.shape, 3), np.uint8)
        if color is not None and self._color is not None:
            color[:] = self._color[_MARGIN:-_MARGIN, :1]  # at the very side there is the wall, or nothing
        rows, columns = self._window
        u, v = np.arange(camera.width)[columns], np.arange(camera.height)[rows, None]
        shape = (v.size, u.size)
        if 0 in shape:
            return depth, color
        ray = np.ones((*shape, 3))
        ray[..., 0], ray[..., 1] = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
        M = self._first @ np.linalg.inv(T_camera_body)  # from here to where the person was cast
        ray, start = ray @ M[:3, :3].T, M[:3, 3]
        skin = self._depth + breath_mm * self._rise if breath_mm else self._depth
        along, step, pixels = np.full(shape, np.nanmedian(skin)), np.zeros(shape), np.zeros((*shape, 2))
        for _ in range(_ROUNDS):
            along = along + np.nan_to_num(step)
            point = start + along[..., None] * ray
            pixels = wide.project(point)
            step = depth_at(skin, pixels) - point[..., 2]
        depth[rows, columns] = along + step
        if color is not None and self._color is not None:
            column, row = np.rint(np.nan_to_num(pixels)).astype(int).reshape(-1, 2).T
            column, row = column.clip(0, wide.width - 1), row.clip(0, wide.height - 1)
            color[rows, columns] = self._color[row, column].reshape(*shape, 3)
        return depth, color


def breaths_mm(n_frames: int, breath_mm: float, phase: float, fps: float) -> Float[np.ndarray, " n"]:
    """How far the thorax stands out in every frame; phase 0 ... 1 of a breath at the first."""
    return breath_mm * np.sin(2 * np.pi * (BREATHS_PER_S * np.arange(n_frames) / fps + phase))


def sway(
    rng: np.random.Generator, n_frames: int, sway_mm: float, sway_deg: float, fps: float
) -> Float[np.ndarray, "n 4 4"]:
    """Movements (m) about the base mid-point; none in the first frame."""
    time = np.arange(n_frames) / fps
    moves = np.stack([smooth_curve(rng, time, 0.7) for _ in range(6)], axis=1)
    moves -= moves[:1]
    T = np.tile(np.eye(4), (n_frames, 1, 1))
    T[:, :3, :3] = so3_exp(np.radians(sway_deg) * moves[:, :3])
    T[:, :3, 3] = sway_mm / 1000 * moves[:, 3:]
    return T
