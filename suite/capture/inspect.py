"""What is in a recording, as a table."""

from __future__ import annotations

from suite.capture.acceptance import Acceptance
from suite.data.recording import RgbdRecording
from suite.geometry.camera import PinholeCamera
from suite.report.table import Table


def recording_table(recording: RgbdRecording, acceptance: Acceptance) -> Table:
    """Device, cameras, frames, gravity, settings and quality."""
    info, times = recording.info, recording.timestamps_s
    seconds = times[-1] - times[0]
    rate = f", {(len(times) - 1) / seconds:.1f} frames/s" if seconds > 0 else ""
    colored = sum(file is not None for file in recording.color_files)
    if not colored:
        color = "none"
    elif info.camera_color is None:
        color = f"{colored} frames, registered to depth"
    else:
        color = f"{colored} frames, {_camera(info.camera_color)}"
    gravity = info.gravity_camera
    down = "unknown" if gravity is None else ", ".join(f"{value:+.3f}" for value in gravity)
    shown = {k: v for k, v in info.presets.items() if k != "options" and v not in (None, [], "")}
    rows = [
        ("device", info.device),
        ("frames", f"{len(recording)} in {seconds:.2f} s{rate}, {recording.lost} lost"),
        ("depth", f"{_camera(info.camera_depth)}, unit {1000 * info.depth_unit_m:g} mm"),
        ("colour", color),
        ("down (x right, y down, z forward)", down),
        ("settings", ", ".join(f"{key} {value}" for key, value in shown.items()) or "unknown"),
    ]
    if acceptance.distance_m is not None:
        mm = (acceptance.noise_frame_mm, acceptance.noise_merged_mm)
        one, all_ = ("unknown" if value is None else f"{value:.2f} mm" for value in mm)
        rows += [
            ("distance", f"{acceptance.distance_m:.2f} m"),
            ("valid pixels", f"{acceptance.valid:.0%}"),
            ("noise", f"{one} in a frame, {all_} in the median"),
            ("movement", f"{acceptance.motion_mm:.1f} mm"),
        ]
    return Table(["", "recording"], rows)


def _camera(camera: PinholeCamera) -> str:
    return f"{camera.width} x {camera.height} px, f {camera.fx:.1f} px"
