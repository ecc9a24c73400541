"""An RGB-D recording: many frames in a folder.

    recording.json      format, version and RecordingInfo: written first frames.jsonl        one line per
    frame, {"timestamp_s": ..., "depth": file, "color": file | null}; the line comes
                        after its images, so that a recording cut short is readable up to its last whole frame
    depth/000000.png    16-bit grey, counts of depth_unit_m, 0 where there is no depth
    color/000000.png    8-bit RGB as the colour camera saw it (PNG or JPEG), not registered to depth

Everything is in the depth camera's frame (see suite.geometry.camera).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from suite.data.frame import RgbdFrame, gravity_direction, image_size, read_json
from suite.data.images import depth_counts, read_counts_png, read_depth_png, read_image
from suite.errors import BadInput
from suite.files import atomic_folder, atomic_write
from suite.geometry.camera import PinholeCamera
from suite.geometry.rotations import is_rigid, transform_points

_FORMAT, _VERSION = "rgbd-recording", 1


@dataclass(frozen=True, eq=False)
class RecordingInfo:
    """What holds for a whole recording.

    `camera_color` and `T_color_depth` (points from the depth to the colour camera's frame, m) say where a
    colour image of its own camera looks; without them colour is registered to depth. `presets` are the
    device's settings, kept as they were. Raises BadInput for values that cannot be.
    """

    device: str
    depth_unit_m: float
    camera_depth: PinholeCamera
    camera_color: PinholeCamera | None = None
    T_color_depth: Float[np.ndarray, "4 4"] | None = None
    gravity_camera: Float[np.ndarray, " 3"] | None = None
    presets: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1e-6 <= self.depth_unit_m <= 0.1:
            raise BadInput(
                f"depth_unit_m is {self.depth_unit_m}", hint="metres per count, such as 0.001 or 0.0001"
            )
        if self.T_color_depth is not None:
            T = np.asarray(self.T_color_depth, np.float64)
            if T.shape != (4, 4) or not is_rigid(T, tolerance=1e-4):
                raise BadInput("T_color_depth is not a rigid 4 x 4 transform")
            if self.camera_color is None:
                raise BadInput("T_color_depth is given without camera_color", hint="give both or neither")
            object.__setattr__(self, "T_color_depth", T)
        object.__setattr__(self, "gravity_camera", gravity_direction(self.gravity_camera))

    def to_json(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "depth_unit_m": self.depth_unit_m,
            "camera_depth": self.camera_depth.to_json(),
            "camera_color": None if self.camera_color is None else self.camera_color.to_json(),
            "T_color_depth": None if self.T_color_depth is None else self.T_color_depth.tolist(),
            "gravity_camera": None if self.gravity_camera is None else self.gravity_camera.tolist(),
            "presets": dict(self.presets),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], where: str | Path | None = None) -> RecordingInfo:
        """Raises BadInput naming `where` and the key that is missing or wrong."""
        if missing := [k for k in ("device", "depth_unit_m", "camera_depth") if k not in values]:
            raise BadInput(f"lacks {', '.join(missing)}", where)
        color = values.get("camera_color")
        try:
            return cls(
                device=str(values["device"]),
                depth_unit_m=float(values["depth_unit_m"]),
                camera_depth=PinholeCamera.from_json(values["camera_depth"], f"{where}: camera_depth"),
                camera_color=None
                if color is None
                else PinholeCamera.from_json(color, f"{where}: camera_color"),
                T_color_depth=_array(values.get("T_color_depth")),
                gravity_camera=gravity_direction(values.get("gravity_camera")),
                presets=dict(values.get("presets") or {}),
            )
        except BadInput as error:
            raise error if error.where else BadInput(error.what, where, error.hint) from None
        except (TypeError, ValueError) as error:
            raise BadInput(f"holds a value of the wrong type ({error})", where) from None


@dataclass(frozen=True, eq=False)
class RgbdRecording:
    """Frames on disk, decoded on access: `len(recording)`, `recording[i]`, iteration. From read_recording."""

    folder: Path
    info: RecordingInfo
    timestamps_s: tuple[float, ...]
    depth_files: tuple[str, ...]
    color_files: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.timestamps_s)

    def __getitem__(self, index: int) -> RgbdFrame:
        """One frame, its colour registered to depth. Raises BadInput naming a file that is damaged."""
        i = range(len(self))[index]
        depth_m = read_depth_png(self.folder / self.depth_files[i], self.info.depth_unit_m)
        try:
            frame = RgbdFrame(
                depth_m, None, self.info.camera_depth, self.timestamps_s[i], self.info.gravity_camera
            )
        except BadInput as error:
            raise BadInput(
                error.what, f"{self.folder}: frame {i} ({self.depth_files[i]})", error.hint
            ) from None
        return replace(frame, color=self.color_at(i, frame.depth_m))

    def __iter__(self) -> Iterator[RgbdFrame]:
        return (self[i] for i in range(len(self)))

    def counts(self, index: int) -> np.ndarray:
        """The depth image as stored: (h, w) uint16, 0 where there is none."""
        return read_counts_png(self.folder / self.depth_files[index])

    def color_at(self, index: int, depth_m: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"] | None:
        """The colour of frame `index` at the pixels of a depth image; None where the frame has no colour.

        Without a colour camera of its own the image is taken as it is. Otherwise each point is looked up at
        the nearest colour pixel; black where there is no depth or the colour camera does not see it. Points
        hidden from the colour camera take the colour of what hides them.
        """
        file = self.color_files[index]
        if file is None:
            return None
        where = f"{self.folder}: frame {index} ({file})"
        image, camera = read_image(self.folder / file), self.info.camera_color
        expected = camera or self.info.camera_depth
        if image.shape[:2] != (expected.height, expected.width):
            raise BadInput(
                f"colour image is {image_size(image)} px, not {expected.width} x {expected.height} px", where
            )
        if camera is None:
            return image
        points = self.info.camera_depth.backproject(depth_m)
        if self.info.T_color_depth is not None:
            points = transform_points(self.info.T_color_depth, points)
        pixels = camera.project(points)
        seen = camera.contains(pixels)
        color = np.zeros((*seen.shape, 3), np.uint8)
        column, row = np.round(pixels[seen]).astype(int).T.clip(0)
        color[seen] = image[np.minimum(row, camera.height - 1), np.minimum(column, camera.width - 1)]
        return color


def read_recording(path: str | Path) -> RgbdRecording:
    """A recording whose every file is there and of the right size; images are decoded later, on access.

    Raises BadInput naming the file, frame or key where something is missing or does not fit.
    """
    folder = Path(path)
    if not folder.exists():
        raise BadInput("no such recording", folder)
    head = folder / "recording.json"
    if not head.is_file():
        raise BadInput("is not an RGB-D recording: it has no recording.json", folder)
    values = read_json(head)
    if values.get("format") != _FORMAT:
        raise BadInput(f"format is {values.get('format')!r}, not {_FORMAT!r}", head)
    if values.get("version") != _VERSION:
        raise BadInput(
            f"version {values.get('version')!r} is not read", head, hint=f"this release reads {_VERSION}"
        )
    info = RecordingInfo.from_json(values, head)
    timestamps, depth_files, color_files = [], [], []
    for i, line in enumerate(_whole_lines(folder / "frames.jsonl")):
        where = f"{folder}: frame {i}"
        try:
            row = json.loads(line)
            timestamps.append(float(row["timestamp_s"]))
            depth_files.append(str(row["depth"]))
            color_files.append(None if row.get("color") is None else str(row["color"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadInput(
                f"line not understood: {line[:60]!r}", f"{folder / 'frames.jsonl'}:{i + 1}"
            ) from None
        if not math.isfinite(timestamps[-1]):
            raise BadInput(f"timestamp_s is {timestamps[-1]}", where)
        _check_image(folder, depth_files[-1], info.camera_depth, where)
        if color_files[-1] is not None:
            _check_image(folder, color_files[-1], info.camera_color or info.camera_depth, where)
    if not timestamps:
        raise BadInput("holds no whole frame", folder, hint="record again")
    return RgbdRecording(folder, info, tuple(timestamps), tuple(depth_files), tuple(color_files))


class RecordingWriter:
    """Writes a recording frame by frame; what was added is readable even where the program is killed.

    with RecordingWriter(folder, info) as writer:
        writer.add(depth_m, timestamp_s, color)

    Raises BadInput where the folder exists and is not empty.
    """

    def __init__(
        self, folder: str | Path, info: RecordingInfo, color_format: Literal["png", "jpg"] = "png"
    ) -> None:
        self.folder, self.info, self._suffix = Path(folder), info, color_format
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise BadInput("exists already", self.folder, hint="choose another name or remove it")
        (self.folder / "depth").mkdir(parents=True)
        with atomic_write(self.folder / "recording.json", "w") as out:
            json.dump({"format": _FORMAT, "version": _VERSION, **info.to_json()}, out, indent=1)
        self._lines = (self.folder / "frames.jsonl").open("w", encoding="utf-8")
        self._count = 0

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()

    def add(
        self,
        depth_m: Float[np.ndarray, "h w"],
        timestamp_s: float,
        color: UInt8[np.ndarray, "h_color w_color 3"] | None = None,
    ) -> None:
        """Append a frame; `color` is as its own camera saw it. Raises BadInput where a size does not fit."""
        from PIL import Image

        where = f"{self.folder}: frame {self._count}"
        counts = depth_counts(depth_m, self.info.depth_unit_m, where)
        _check_size(counts, self.info.camera_depth, "depth image", where)
        name = f"{self._count:06d}"
        row: dict[str, Any] = {"timestamp_s": float(timestamp_s), "depth": f"depth/{name}.png", "color": None}
        if color is not None:
            _check_size(color, self.info.camera_color or self.info.camera_depth, "colour image", where)
            row["color"] = f"color/{name}.{self._suffix}"
            (self.folder / "color").mkdir(exist_ok=True)
            Image.fromarray(color).save(self.folder / row["color"], quality=95, compress_level=1)
        Image.fromarray(counts).save(self.folder / row["depth"], "PNG", compress_level=1)
        self._lines.write(json.dumps(row) + "\n")
        self._lines.flush()
        self._count += 1


def write_recording(path: str | Path, info: RecordingInfo, frames: Iterable[RgbdFrame]) -> None:
    """A recording of frames, all or nothing; `info` has no colour camera, as their colour is registered."""
    if info.camera_color is not None:
        raise BadInput("camera_color is given, but the colour of frames is registered to depth", path)
    with atomic_folder(path) as part, RecordingWriter(part, info) as writer:
        for frame in frames:
            writer.add(frame.depth_m, frame.timestamp_s, frame.color)


def _array(values: Any) -> np.ndarray | None:
    return None if values is None else np.array(values, np.float64)


def _whole_lines(path: Path) -> list[str]:
    """Lines that were written to their end."""
    if not path.is_file():
        raise BadInput(
            "no such file", path, hint="the recording is incomplete: copy it again or record again"
        )
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line for line in text[: text.rfind("\n") + 1].splitlines() if line.strip()]


def _check_image(folder: Path, file: str, camera: PinholeCamera, where: str) -> None:
    """That the file is there, inside the folder, and says in its header that it is of the camera's size."""
    from PIL import Image

    if Path(file).is_absolute() or ".." in Path(file).parts:
        raise BadInput(f"{file} lies outside the recording", where)
    path = folder / file
    if not path.is_file():
        raise BadInput(f"{file} is missing", where, hint="copy the recording again")
    if not path.stat().st_size:
        raise BadInput(f"{file} is empty (0 bytes)", where, hint="copy the recording again")
    try:
        with Image.open(path) as image:
            size = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise BadInput(f"{file} is not an image", where, hint="copy the recording again") from None
    if size != (camera.width, camera.height):
        raise BadInput(f"{file} is {size[0]} x {size[1]} px, not {camera.width} x {camera.height} px", where)


def _check_size(image: np.ndarray, camera: PinholeCamera, what: str, where: str) -> None:
    if image.shape[:2] != (camera.height, camera.width):
        raise BadInput(f"{what} is {image_size(image)} px, not {camera.width} x {camera.height} px", where)
