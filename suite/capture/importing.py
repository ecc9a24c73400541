"""What other programs recorded, as a recording of ours: librealsense's .db3 and .bag, folders of images."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from suite.capture.backend import realsense
from suite.capture.devices import describe
from suite.capture.live import Live
from suite.capture.noise import QualityMeter
from suite.capture.profiles import recorded_profiles
from suite.capture.record import take
from suite.capture.settings import read_settings
from suite.capture.stream import CameraFrame, CameraStream
from suite.data.frame import find_frame, gravity_direction, read_json, read_rgbd_frame
from suite.data.images import depth_counts, read_counts_png, read_image
from suite.data.recording import RecordingInfo, RecordingWriter
from suite.engine.interrupts import Interrupts
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

_INTRINSICS = ("intrinsics.json", "intrinsic.json", "camera_intrinsics.json", "camera_intrinsic.json")
_COLOR_FOLDERS, _COLOR_SUFFIXES = ("color", "rgb", "image"), (".png", ".jpg", ".jpeg")
_KINDS = "give a .db3 or .bag of librealsense, or a folder of depth images with intrinsics.json"


@dataclass(frozen=True)
class ImportOptions:
    """How to read a source; what it says itself goes before `fps` and after `depth_unit_m`."""

    filters: Sequence[str] = ()
    align: bool = False
    depth_unit_m: float | None = None
    fps: float = 30.0
    threads: int = 2


def import_recording(source: Path, out: Path, options: ImportOptions, live: Live | None = None) -> int:
    """Write `source` as a recording into the folder `out`; how many frames that are.

    Raises BadInput for what is no recording, CameraError with what there is where it breaks in the middle.
    """
    if not source.exists():
        raise BadInput("no such file or folder", source)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput("exists already", out, hint="choose another name or remove it")
    if source.is_dir():
        info, frames = _folder(source, options)
        return _write(out, info, frames, options, live or Live())
    if source.suffix.lower() not in (".db3", ".bag"):
        raise BadInput("is no recording that is understood", source, _KINDS)
    gravity = _recorded_gravity(source)
    device = _open(source)
    profiles = recorded_profiles(device, str(source))
    with CameraStream(device, profiles, options.filters, options.align) as stream:
        presets = {"source": source.name, "filters": list(stream.filters), "options": read_settings(device)}
        info = stream.info(str(describe(device)) or source.name, presets, gravity)
        return _write(out, info, stream.frames(), options, live or Live())


def _write(
    out: Path, info: RecordingInfo, frames: Iterator[CameraFrame], options: ImportOptions, live: Live
) -> int:
    writer = RecordingWriter(out, info, threads=options.threads)
    with Interrupts() as asked, live:
        take(frames, writer, 0, QualityMeter(info.camera_depth, info.depth_unit_m), live, asked)
    return writer.written


def _open(source: Path) -> Any:
    """The device (rs.device) that a file replays. Raises BadInput for a file that is none."""
    _refuse_empty(source)
    try:
        return realsense().context().load_device(str(source))
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise BadInput(f"librealsense cannot open it ({said})", source, "record or copy it again") from None


def _refuse_empty(source: Path) -> None:
    """Raise BadInput for a file without content, on which librealsense would look for ever."""
    hint = "record or copy it again"
    if source.suffix.lower() == ".bag":
        with source.open("rb") as stream:
            if not stream.read(6).startswith(b"#ROS"):
                raise BadInput("is not a .bag", source, hint)
        return
    try:
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as database:
            found = "SELECT count(*) FROM topics WHERE name LIKE '/device_%/data%'"
            streams = database.execute(found).fetchone()[0]
    except sqlite3.Error as error:
        raise BadInput(f"cannot be read ({error})", source, hint) from None
    if not streams:
        raise BadInput("holds no frames", source, hint)


def _recorded_gravity(source: Path) -> Float[np.ndarray, " 3"] | None:
    """Down in the depth camera's frame, from all that the file's accelerometer says; None without one.

    A pass of its own, as what holds for a recording is written before its frames.
    """
    device = _open(source)
    profiles = recorded_profiles(device, str(source))
    if profiles.accel is None:
        return None
    with CameraStream(device, profiles, only_motion=True) as stream:
        for _ in stream.frames():  # there are none; it ends with the file
            continue
        return stream.gravity()[0]


def _folder(source: Path, options: ImportOptions) -> tuple[RecordingInfo, Iterator[CameraFrame]]:
    if (source / "recording.json").is_file():
        raise BadInput("is a recording of ours already", source, "inspect it, or use it as it is")
    return _image_folders(source, options) if (source / "depth").is_dir() else _single_frames(source, options)


def _image_folders(source: Path, options: ImportOptions) -> tuple[RecordingInfo, Iterator[CameraFrame]]:
    """depth/ and color/ (or rgb/, image/) with one intrinsics file, as Open3D's and other recorders write."""
    head = next((source / name for name in _INTRINSICS if (source / name).is_file()), None)
    if head is None:
        raise BadInput("has no camera intrinsics", source, f"put {_INTRINSICS[0]} there")
    values = read_json(head)
    unit_m = (
        options.depth_unit_m or values.get("depth_unit_m") or 1.0 / float(values.get("depth_scale", 1000))
    )
    depth = _images(source / "depth", (".png",))
    folder = next((source / name for name in _COLOR_FOLDERS if (source / name).is_dir()), None)
    color = [] if folder is None else _images(folder, _COLOR_SUFFIXES)
    if color and len(color) != len(depth):
        raise BadInput(f"{len(depth)} depth images and {len(color)} of colour", source, "give one for each")
    gravity = gravity_direction(values.get("gravity_camera"))
    camera = PinholeCamera.from_json(values, head)
    info = RecordingInfo(source.name, float(unit_m), camera, gravity_camera=gravity, presets=_from(source))

    def frames() -> Iterator[CameraFrame]:
        for i, path in enumerate(depth):
            rgb = read_image(color[i]) if color else None
            if rgb is not None and rgb.shape[:2] != (camera.height, camera.width):
                raise BadInput("is not as large as its depth image", color[i], "register colour to depth")
            yield CameraFrame(read_counts_png(path), rgb, i / options.fps, i)

    return info, frames()


def _single_frames(source: Path, options: ImportOptions) -> tuple[RecordingInfo, Iterator[CameraFrame]]:
    """Depth images side by side, each with its intrinsics (suite.data.frame.find_frame)."""
    names = sorted(p for p in source.iterdir() if p.suffix.lower() in (".png", ".npy"))
    depth = [path for path in names if not path.stem.endswith("_color")]
    if not depth:
        raise BadInput("holds no depth images", source, _KINDS)
    first = read_rgbd_frame(depth[0], depth_unit_m=options.depth_unit_m)
    values = read_json(find_frame(depth[0]).intrinsics)
    unit_m = float(options.depth_unit_m or values.get("depth_unit_m", 0.001))
    if depth[0].suffix.lower() == ".npy":
        unit_m = min(unit_m, 0.0001)  # metres as floating point; what was counted in larger units still fits
    info = RecordingInfo(
        source.name, unit_m, first.camera, gravity_camera=first.gravity_camera, presets=_from(source)
    )

    def frames() -> Iterator[CameraFrame]:
        for i, path in enumerate(depth):
            frame = read_rgbd_frame(path, depth_unit_m=options.depth_unit_m)
            if frame.camera != first.camera:
                raise BadInput("is of another camera than the first frame", path)
            stamp = frame.timestamp_s or i / options.fps
            yield CameraFrame(depth_counts(frame.depth_m, unit_m, path), frame.color, stamp, i)

    return info, frames()


def _images(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not found:
        raise BadInput("holds no images", folder)
    return found


def _from(source: Path) -> dict[str, Any]:
    return {"source": source.name}
