"""What the transforms*.json of NeRF, instant-ngp and nerfstudio have in common: frames, paths, poses, focal
lengths."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from nerfrecon.scenes.checks import checked_pose
from suite.errors import BadInput

_SUFFIXES = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG", ".webp", ".bmp", ".tif", ".tiff")
OPENCV_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # y up, looking along -z -> y down, looking along +z


def read_document(path: Path) -> dict[str, Any]:
    """A transforms*.json with its non-empty list `frames`, each a mapping. Raises BadInput for anything
    else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot be read ({error.__class__.__name__})", path) from None
    except json.JSONDecodeError as error:
        raise BadInput(
            f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}",
            path,
            hint="export it again",
        ) from None
    frames = document.get("frames") if isinstance(document, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise BadInput(
            "holds no list of frames", path, hint="give a transforms.json of instant-ngp or nerfstudio"
        )
    return document


class Frame(NamedTuple):
    """A frame whose picture exists: its place in the list and what stands there, how errors name it, and what
    all formats say of it."""

    at: int
    values: Mapping[str, Any]
    where: str
    name: str
    image: Path
    T_world_camera: Float[np.ndarray, "4 4"]


def found_frames(path: Path, document: Mapping[str, Any]) -> tuple[list[Frame], tuple[str, ...]]:
    """The frames of a document whose pictures exist, and a note on the others. Raises BadInput for a frame
    that says no name or pose, and where not one picture exists."""
    found, missing = [], []
    for index, values in enumerate(document["frames"]):
        where = _place(path, index, values)
        name, pose = _name(values, where), _pose(values, where)
        image = find_file(path.parent, name)
        if image is None:
            missing.append(name)
        else:
            found.append(Frame(index, values, where, name, image, pose))
    if not found:
        raise BadInput(
            f"none of the {len(missing)} pictures it lists exists ({missing[0]}, ...)",
            path,
            hint="file_path is taken from the folder this file lies in",
        )
    return found, _missing_note(missing, len(document["frames"]), path)


def find_file(folder: Path, name: str) -> Path | None:
    """`name` in `folder`, with a suffix of pictures where it has none; None where there is no such file."""
    path = folder / name
    if path.is_file():
        return path
    return next((found for suffix in _SUFFIXES if (found := folder / (name + suffix)).is_file()), None)


def number(values: Mapping[str, Any], key: str, where: str) -> float | None:
    """A finite number, or None where the key is absent. Raises BadInput for anything else."""
    value = values.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput(f"{key} is {value!r}", where, hint="give a finite number")
    return float(value)


def focal_px(values: Mapping[str, Any], axis: str, size_px: int, where: str) -> float | None:
    """Focal length from fl_x (pixels), x_fov (degrees) or camera_angle_x (radians); None without any."""
    if (focal := number(values, f"fl_{axis}", where)) is not None:
        return focal
    degrees, angle = number(values, f"{axis}_fov", where), number(values, f"camera_angle_{axis}", where)
    if degrees is not None:
        angle = math.radians(degrees)
    if angle is None:
        return None
    if not 0 < angle < math.pi:
        raise BadInput(f"the angle of view is {angle:g} rad", where, hint="it lies between 0 and pi")
    return 0.5 * size_px / math.tan(0.5 * angle)


def _place(path: Path, number: int, frame: Mapping[str, Any]) -> str:
    """How errors name a frame."""
    name = frame.get("file_path")
    return f"{path}, frame {number}" + (f" ({name})" if isinstance(name, str) else "")


def _name(frame: Mapping[str, Any], where: str) -> str:
    """`file_path` as a relative POSIX path without a leading `./`."""
    name = frame.get("file_path")
    if not isinstance(name, str) or not name:
        raise BadInput("has no file_path", where, hint="name the frame's picture")
    return name.replace("\\", "/").removeprefix("./")


def _pose(frame: Mapping[str, Any], where: str) -> Float[np.ndarray, "4 4"]:
    """T_world_camera in OpenCV's axes of a frame whose transform_matrix has OpenGL's."""
    matrix = frame.get("transform_matrix")
    if matrix is None:
        raise BadInput("has no transform_matrix", where, hint="leave the frame out, or find its pose")
    return checked_pose(matrix, where) @ OPENCV_OPENGL


def _missing_note(names: list[str], total: int, path: Path) -> tuple[str, ...]:
    """The line that says which of the pictures that `path` lists are left out."""
    if not names:
        return ()
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    are = "is" if len(names) == 1 else "are"
    return (f"{path}: {len(names)} of {total} pictures it lists do not exist and {are} left out: {some}",)
