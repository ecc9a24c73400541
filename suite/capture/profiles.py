"""Which streams of a device are opened: those a preset asks of a camera, or those a file holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from suite.capture.backend import realsense
from suite.capture.presets import Preset
from suite.errors import BadInput

_CHANNELS = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2], "bgra8": [2, 1, 0]}


@dataclass(frozen=True, eq=False)
class Profiles:
    """Profiles (rs.stream_profile) of depth and, where there are any, of colour and the accelerometer."""

    depth: Any
    color: Any | None
    accel: Any | None

    def of(self, sensor: Any) -> list[Any]:
        """The profiles of `sensor` that are like them; a recorder's sensors have profiles of their own."""
        wanted = {_key(profile) for profile in (self.depth, self.color, self.accel) if profile is not None}
        return list({_key(p): p for p in sensor.get_stream_profiles() if _key(p) in wanted}.values())

    def to_rgb(self, frame: Any) -> UInt8[np.ndarray, "h w 3"]:
        """The image of a colour frame as RGB, an array of its own."""
        name = frame.get_profile().format().name
        if name == "yuyv":
            frame, name = realsense().yuy_decoder().process(frame), "rgb8"
        data = np.asanyarray(frame.get_data())
        return data.copy() if name == "rgb8" else np.ascontiguousarray(data[..., _CHANNELS[name]])


def wanted_profiles(device: Any, preset: Preset, color: bool = True) -> Profiles:
    """What `preset` asks of a camera. Raises BadInput saying what it offers instead."""
    rs = realsense()
    offered = _all(device)
    depth = _one(offered, rs.stream.depth, "z16", preset.depth_px, preset)
    rgb = _one(offered, rs.stream.color, "rgb8", preset.color_px, preset) if color else None
    accel = [p for p in offered if p.stream_type() == rs.stream.accel]
    return Profiles(depth, rgb, min(accel, key=lambda p: p.fps(), default=None))


def recorded_profiles(device: Any, where: str) -> Profiles:
    """What a file holds. Raises BadInput where it holds no depth, or colour that is not understood."""
    rs = realsense()
    found = _all(device)
    kinds = (rs.stream.depth, rs.stream.color, rs.stream.accel)
    depth, color, accel = (next((p for p in found if p.stream_type() == kind), None) for kind in kinds)
    if depth is None:
        raise BadInput("holds no depth", where, "record depth, not infrared alone")
    if depth.format().name != "z16":
        raise BadInput(f"holds depth as {depth.format().name}", where, "record it as Z16")
    if color is not None and color.format().name not in (*_CHANNELS, "yuyv"):
        raise BadInput(f"holds colour as {color.format().name}", where, "record it as RGB8")
    return Profiles(depth, color, accel)


def _all(device: Any) -> list[Any]:
    return [profile for sensor in device.query_sensors() for profile in sensor.get_stream_profiles()]


def _one(offered: list[Any], stream: Any, fmt: str, size: tuple[int, int], preset: Preset) -> Any:
    """The profile of that stream, format and size; colour may come at another rate than depth."""
    mine = [p for p in offered if p.stream_type() == stream and p.format().name == fmt]
    sized = sorted((p for p in mine if _size(p) == size), key=lambda p: abs(p.fps() - preset.fps))
    if sized and (sized[0].fps() == preset.fps or stream == realsense().stream.color):
        return sized[0]
    rates = sorted({(*_size(p), p.fps()) for p in mine}, reverse=True)
    what = f"{stream.name} of {size[0]}x{size[1]} at {preset.fps} frames/s is not offered by this camera"
    there = ", ".join(f"{w}x{h} at {fps}" for w, h, fps in rates[:4]) or "nothing"
    raise BadInput(what, f"preset {preset.name}", f"it offers {there} (USB 2 offers less than USB 3)")


def _key(profile: Any) -> tuple[Any, ...]:
    video = profile.is_video_stream_profile()
    kind, fmt = profile.stream_type().name, profile.format().name
    return (kind, profile.stream_index(), fmt, profile.fps(), *(_size(profile) if video else ()))


def _size(profile: Any) -> tuple[int, int]:
    video = profile.as_video_stream_profile()
    return video.width(), video.height()
