"""COLMAP's sparse model as it lies on disk: cameras, images, points3D, each .bin or .txt.

The layout is that of COLMAP's documentation ("Output Format"; little endian). Read here and not by pycolmap
because its reader (4.2) loops for ever on a truncated images.bin and takes a truncated cameras.bin for a
whole one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from suite.errors import BadInput

# In the order of COLMAP's numbers of them, with how many parameters each has.
MODELS = {
    "SIMPLE_PINHOLE": 3,
    "PINHOLE": 4,
    "SIMPLE_RADIAL": 4,
    "RADIAL": 5,
    "OPENCV": 8,
    "OPENCV_FISHEYE": 8,
    "FULL_OPENCV": 12,
    "FOV": 5,
    "SIMPLE_RADIAL_FISHEYE": 4,
    "RADIAL_FISHEYE": 5,
    "THIN_PRISM_FISHEYE": 12,
    "RAD_TAN_THIN_PRISM_FISHEYE": 16,
}
_NAMES = ("cameras", "images", "points3D")
_DAMAGED = "the file is damaged or truncated: copy or export it again"


class ColmapCamera(NamedTuple):
    """Model by COLMAP's name, size in pixels, parameters in the model's order."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]


class ColmapImage(NamedTuple):
    """Rotation (w, x, y, z) and translation of world to camera."""

    image_id: int
    rotation: tuple[float, ...]
    translation: tuple[float, ...]
    camera_id: int
    name: str


@dataclass
class ColmapPoints:
    """Columns of points3D; row j of `tracks` is (image id, number of the point)."""

    positions: Float[np.ndarray, "n 3"]
    colours: UInt8[np.ndarray, "n 3"]
    errors_px: Float[np.ndarray, " n"]
    tracks: Int[np.ndarray, "m 2"]


@dataclass
class ColmapModel:
    """Cameras by number, registered images, points; `folder` is where they were read."""

    folder: Path
    cameras: dict[int, ColmapCamera]
    images: list[ColmapImage]
    points: ColmapPoints | None


def is_model(folder: Path) -> bool:
    """Whether cameras and images lie in `folder`, both as text or both binary."""
    return any(all((folder / f"{name}{end}").is_file() for name in _NAMES[:2]) for end in (".bin", ".txt"))


def read_model(folder: Path) -> ColmapModel:
    """The model in `folder`, binary files first; points where there are any.

    Raises BadInput naming file and line (or byte) for what is damaged.
    """
    binary = all((folder / f"{name}.bin").is_file() for name in _NAMES[:2])
    paths = [folder / f"{name}{'.bin' if binary else '.txt'}" for name in _NAMES]
    kinds = (
        (_binary_cameras, _binary_images, _binary_points)
        if binary
        else (_text_cameras, _text_images, _text_points)
    )
    results: list[Any] = []
    for path, read in zip(paths, kinds, strict=True):
        results.append(read(path) if path.is_file() else None)
    cameras, images, points = results
    return ColmapModel(folder, cameras, images, None if points is None else points.columns())


@dataclass
class _PointRows:
    """Points as they are read, one after the other."""

    positions: list[tuple[float, ...]] = field(default_factory=list)
    colours: list[tuple[int, ...]] = field(default_factory=list)
    errors_px: list[float] = field(default_factory=list)
    image_ids: list[np.ndarray] = field(default_factory=list)

    def add(
        self, position: tuple[float, ...], colour: tuple[int, ...], error: float, track: np.ndarray
    ) -> None:
        """One point and the ids of the images that see it."""
        self.positions.append(position)
        self.colours.append(colour)
        self.errors_px.append(error)
        self.image_ids.append(track)

    def columns(self) -> ColmapPoints:
        """All of them as arrays."""
        lengths = [len(ids) for ids in self.image_ids]
        seen = np.concatenate(self.image_ids) if self.image_ids else np.zeros(0, np.int64)
        point = np.repeat(np.arange(len(lengths)), lengths)
        return ColmapPoints(
            np.array(self.positions, np.float64).reshape(-1, 3),
            np.array(self.colours, np.uint8).reshape(-1, 3),
            np.array(self.errors_px, np.float64),
            np.stack([seen.astype(np.int64), point.astype(np.int64)], axis=1),
        )


class _Bytes:
    """A file's bytes, taken from the front; BadInput where they end too soon."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, path.read_bytes(), 0

    def take(self, layout: str) -> tuple[Any, ...]:
        size = struct.calcsize("<" + layout)
        self.need(size)
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += size
        return values

    def skip(self, size: int) -> bytes:
        self.need(size)
        self.at += size
        return self.data[self.at - size : self.at]

    def text(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise BadInput(f"ends within a name (byte {self.at})", self.path, hint=_DAMAGED)
        raw = self.skip(end - self.at)
        self.at += 1
        return raw.decode("utf-8", "replace")

    def count(self) -> int:
        return int(self.take("Q")[0])

    def need(self, size: int) -> None:
        if self.at + size > len(self.data):
            raise BadInput(
                f"ends at byte {len(self.data)}, in the middle of an entry", self.path, hint=_DAMAGED
            )


def _binary_cameras(path: Path) -> dict[int, ColmapCamera]:
    data, cameras, names = _Bytes(path), {}, list(MODELS)
    for _ in range(data.count()):
        camera_id, model, width, height = data.take("iiQQ")
        if not 0 <= model < len(names):
            raise BadInput(
                f"camera {camera_id} is of a model with the number {model}, which is not read", path
            )
        params = data.take(f"{MODELS[names[model]]}d")
        cameras[camera_id] = ColmapCamera(names[model], width, height, params)
    return cameras


def _binary_images(path: Path) -> list[ColmapImage]:
    data, images = _Bytes(path), []
    for _ in range(data.count()):
        image_id, *pose, camera_id = data.take("I7dI")
        images.append(ColmapImage(image_id, tuple(pose[:4]), tuple(pose[4:]), camera_id, data.text()))
        data.skip(24 * data.count())
    return images


def _binary_points(path: Path) -> _PointRows:
    data, rows = _Bytes(path), _PointRows()
    for _ in range(data.count()):
        _, x, y, z, red, green, blue, error, length = data.take("Q3d3BdQ")
        rows.add((x, y, z), (red, green, blue), error, np.frombuffer(data.skip(8 * length), "<u4")[::2])
    return rows


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInput("is not text", path, hint=_DAMAGED) from None
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if not line.startswith("#"))


def _text_cameras(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    for number, line in _lines(path):
        words = line.split()
        if not words:
            continue
        try:
            model, params = words[1], tuple(float(word) for word in words[4:])
            cameras[int(words[0])] = ColmapCamera(model, int(words[2]), int(words[3]), params)
        except (ValueError, IndexError):
            raise BadInput(
                "is not CAMERA_ID MODEL WIDTH HEIGHT PARAMS", f"{path}, line {number}", _DAMAGED
            ) from None
        if len(params) != MODELS.get(model, len(params)):
            raise BadInput(
                f"{model} has {len(params)} parameters, not {MODELS[model]}",
                f"{path}, line {number}",
                _DAMAGED,
            )
    return cameras


def _text_images(path: Path) -> list[ColmapImage]:
    images, lines = [], _lines(path)
    for number, line in lines:
        words = line.split(None, 9)
        if not words:
            continue
        try:
            pose, name = tuple(float(word) for word in words[1:8]), words[9].strip()
            images.append(ColmapImage(int(words[0]), pose[:4], pose[4:], int(words[8]), name))
        except (ValueError, IndexError):
            raise BadInput(
                "is not IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME",
                f"{path}, line {number}",
                "an image takes two lines, the second of which may be empty",
            ) from None
        next(lines, None)  # its points in the picture
    return images


def _text_points(path: Path) -> _PointRows:
    rows = _PointRows()
    for number, line in _lines(path):
        words = line.split()
        if not words:
            continue
        try:
            colour = tuple(int(word) for word in words[4:7])
            track = np.array(words[8::2], np.int64)
            rows.add(tuple(float(word) for word in words[1:4]), colour, float(words[7]), track)
        except (ValueError, IndexError):
            raise BadInput(
                "is not POINT3D_ID X Y Z R G B ERROR TRACK", f"{path}, line {number}", _DAMAGED
            ) from None
    return rows
