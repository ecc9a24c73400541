"""An RGB-D recording: many frames in a folder.

    recording.json      format, version and RecordingInfo: written first
    frames.jsonl        one line per frame, {"timestamp_s": ..., "depth": file, "color": file | null}, and
                        "number" where the camera counts its frames; the line comes after its images, so that
                        a recording cut short is readable up to its last whole frame
    depth/000000.png    16-bit grey, counts of depth_unit_m, 0 where there is no depth
    color/000000.png    8-bit RGB as the colour camera saw it (PNG or JPEG), not registered to depth

Everything is in the depth camera's frame (see suite.geometry.camera).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from suite.data.frame import RgbdFrame, image_size, read_json
from suite.data.images import read_counts_png, read_depth_png, read_image
from suite.data.recording_info import FORMAT, HEAD, INDEX, VERSION, RecordingInfo
from suite.data.recording_writer import RecordingWriter, write_recording
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera
from suite.geometry.rotations import transform_points

__all__ = ["RecordingInfo", "RecordingWriter", "RgbdRecording", "read_recording", "write_recording"]


@dataclass(frozen=True, eq=False)
class RgbdRecording:
    """Frames on disk, decoded on access: `len(recording)`, `recording[i]`, iteration. From read_recording."""

    folder: Path
    info: RecordingInfo
    timestamps_s: tuple[float, ...]
    depth_files: tuple[str, ...]
    color_files: tuple[str | None, ...]
    numbers: tuple[int, ...] = ()

    @property
    def lost(self) -> int:
        """Frames that the camera counted and that are not here; 0 where it does not count."""
        return self.numbers[-1] - self.numbers[0] + 1 - len(self.numbers) if self.numbers else 0

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
    head = folder / HEAD
    if not head.is_file():
        raise BadInput("is not an RGB-D recording: it has no recording.json", folder)
    values = read_json(head)
    if values.get("format") != FORMAT:
        raise BadInput(f"format is {values.get('format')!r}, not {FORMAT!r}", head)
    if values.get("version") != VERSION:
        raise BadInput(
            f"version {values.get('version')!r} is not read", head, hint=f"this release reads {VERSION}"
        )
    info = RecordingInfo.from_json(values, head)
    timestamps, depth_files, color_files, numbers = [], [], [], []
    for i, line in enumerate(_whole_lines(folder / INDEX)):
        where = f"{folder}: frame {i}"
        try:
            row = json.loads(line)
            timestamps.append(float(row["timestamp_s"]))
            depth_files.append(str(row["depth"]))
            color_files.append(None if row.get("color") is None else str(row["color"]))
            numbers += [int(row["number"])] if "number" in row else []
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadInput(f"line not understood: {line[:60]!r}", f"{folder / INDEX}:{i + 1}") from None
        if not math.isfinite(timestamps[-1]):
            raise BadInput(f"timestamp_s is {timestamps[-1]}", where)
        _check_image(folder, depth_files[-1], info.camera_depth, where)
        if color_files[-1] is not None:
            _check_image(folder, color_files[-1], info.camera_color or info.camera_depth, where)
    if not timestamps:
        raise BadInput("holds no whole frame", folder, hint="record again")
    if len(numbers) != len(timestamps):
        numbers = []
    return RgbdRecording(
        folder, info, tuple(timestamps), tuple(depth_files), tuple(color_files), tuple(numbers)
    )


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
