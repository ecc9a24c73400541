"""One RGB-D frame: a depth image, its camera, and colour registered to it.

Depth is float32 metres along the optical axis, NaN where there is none: a missing value then shows in
whatever is computed from it, where a zero would pass for a distance. Camera frame: see
suite.geometry.camera.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from suite.data.images import read_depth_png, read_image
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera
from suite.geometry.mesh import PointCloud

_KEYS = "width, height, fx, fy, cx, cy in pixels (or width, height, intrinsic_matrix)"
_DEFAULT_UNIT_M = 0.001  # what most depth cameras and viewers write


@dataclass(frozen=True, eq=False)
class RgbdFrame:
    """One depth image with, where there is one, the colour of each depth pixel.

    `color` is registered to depth (same size); `gravity_camera` is the unit vector that points down, in the
    camera frame. Depth that is not finite and positive becomes NaN. Raises BadInput where sizes disagree.
    """

    depth_m: Float[np.ndarray, "h w"]
    color: UInt8[np.ndarray, "h w 3"] | None
    camera: PinholeCamera
    timestamp_s: float = 0.0
    gravity_camera: Float[np.ndarray, " 3"] | None = None

    def __post_init__(self) -> None:
        depth = np.array(self.depth_m, np.float32)
        size = (self.camera.height, self.camera.width)
        if depth.shape != size:
            raise BadInput(
                f"depth image is {image_size(depth)} px but its camera is {size[1]} x {size[0]} px",
                hint="use the intrinsics of this stream and resolution",
            )
        depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
        if self.color is not None and (self.color.shape != (*size, 3) or self.color.dtype != np.uint8):
            raise BadInput(
                f"colour has shape {self.color.shape} and type {self.color.dtype}, not {(*size, 3)} uint8",
                hint="register the colour image to depth first",
            )
        object.__setattr__(self, "depth_m", depth)
        object.__setattr__(self, "gravity_camera", gravity_direction(self.gravity_camera))

    def cloud(self) -> PointCloud:
        """The pixels with depth as points (m) in the camera frame, row by row, with their colours."""
        points = self.camera.backproject(self.depth_m).reshape(-1, 3)
        seen = np.isfinite(points[:, 2])
        return PointCloud(points[seen], None if self.color is None else self.color.reshape(-1, 3)[seen])


class FrameFiles(NamedTuple):
    """The files of a single frame."""

    depth: Path
    intrinsics: Path
    color: Path | None


def find_frame(depth_path: str | Path) -> FrameFiles:
    """What lies beside a depth image `d.png` or `d.npy`.

    Intrinsics are `d.json`, or `intrinsics.json` in its folder; colour, if any, is `d_color.png` or
    `d_color.jpg`. Raises BadInput naming the expected files where there are no intrinsics.
    """
    depth = Path(depth_path)
    if not depth.is_file():
        raise BadInput("no such depth image", depth)
    candidates = (depth.with_suffix(".json"), depth.with_name("intrinsics.json"))
    intrinsics = next((c for c in candidates if c.is_file()), None)
    if intrinsics is None:
        names = " or ".join(c.name for c in candidates)
        raise BadInput("has no camera intrinsics beside it", depth, hint=f"put {names} there, with {_KEYS}")
    colors = (depth.with_name(f"{depth.stem}_color{s}") for s in (".png", ".jpg", ".jpeg"))
    return FrameFiles(depth, intrinsics, next((c for c in colors if c.is_file()), None))


def read_rgbd_frame(
    depth_path: str | Path,
    intrinsics_path: str | Path | None = None,
    color_path: str | Path | None = None,
    depth_unit_m: float | None = None,
) -> RgbdFrame:
    """A single depth image: 16-bit PNG, .npy of integer counts, or .npy of floating-point metres.

    Files not given are looked for with find_frame. The intrinsics JSON holds the camera
    (PinholeCamera.from_json) and may hold `depth_unit_m` (metres per count; 0.001 unless it or the argument
    says otherwise), `gravity_camera` and `timestamp_s`. Colour must be registered to depth. Raises BadInput
    naming the file and what is wrong with it.
    """
    depth_path = Path(depth_path)
    if intrinsics_path is None:
        found = find_frame(depth_path)
        intrinsics_path, color_path = found.intrinsics, color_path or found.color
    intrinsics_path = Path(intrinsics_path)
    if not intrinsics_path.is_file():
        raise BadInput("no such intrinsics file", intrinsics_path, hint=f"give a JSON file with {_KEYS}")
    values = read_json(intrinsics_path)
    camera = PinholeCamera.from_json(values, intrinsics_path)
    try:
        unit = float(depth_unit_m or values.get("depth_unit_m", _DEFAULT_UNIT_M))
        timestamp_s = float(values.get("timestamp_s", 0.0))
        gravity = gravity_direction(values.get("gravity_camera"))
    except (TypeError, ValueError) as error:
        raise BadInput(f"holds a value of the wrong type ({error})", intrinsics_path) from None
    except BadInput as error:
        raise BadInput(error.what, intrinsics_path, error.hint) from None
    if not 0 < unit < 1:
        raise BadInput(f"depth_unit_m is {unit}", intrinsics_path, hint="metres per count, such as 0.001")
    npy = depth_path.suffix.lower() == ".npy"
    depth_m = _read_npy(depth_path, unit) if npy else read_depth_png(depth_path, unit)
    color = None if color_path is None else read_image(color_path)
    if color is not None and color.shape[:2] != depth_m.shape:
        what = f"colour image is {image_size(color)} px but depth is {image_size(depth_m)} px"
        raise BadInput(what, color_path, hint="register the colour image to depth first")
    try:
        frame = RgbdFrame(depth_m, color, camera, timestamp_s, gravity)
    except BadInput as error:
        raise BadInput(error.what, depth_path, error.hint) from None
    if np.isnan(frame.depth_m).all():
        raise BadInput(
            "no pixel has depth", depth_path, hint="check that the subject is in the camera's range"
        )
    return frame


def gravity_direction(values: Any) -> np.ndarray | None:
    """A unit vector (3,) or None; raises BadInput for anything else."""
    if values is None:
        return None
    vector = np.asarray(values, np.float64)
    if vector.shape != (3,) or not abs(np.linalg.norm(vector) - 1) < 1e-3:
        hint = "give the unit vector that points down, in the camera frame (x right, y down, z forward)"
        raise BadInput(f"gravity_camera is {vector.tolist()}", hint=hint)
    return vector / np.linalg.norm(vector)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; raises BadInput naming file and line where it is not one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise BadInput(f"is not JSON ({error.msg})", f"{path}:{error.lineno}") from None
    except UnicodeDecodeError:
        raise BadInput("is not a text file", path) from None
    if not isinstance(values, dict):
        raise BadInput(f"holds a {type(values).__name__}, not a JSON object", path)
    return values


def image_size(image: np.ndarray) -> str:
    """Width x height, as people say it."""
    return f"{image.shape[1]} x {image.shape[0]}" if image.ndim >= 2 else str(image.shape)


def _read_npy(path: Path, depth_unit_m: float) -> np.ndarray:
    if not path.is_file():
        raise BadInput("no such file", path)
    try:
        depth = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(
            f"cannot be read as an array ({error})", path, hint="copy or export it again"
        ) from None
    if depth.ndim != 2 or depth.dtype.kind not in "fiu":
        what = f"holds an array of shape {depth.shape} and type {depth.dtype}, not a depth image"
        raise BadInput(what, path, hint="save (h, w) metres as floating point, or counts as integers")
    return (depth * (1.0 if depth.dtype.kind == "f" else depth_unit_m)).astype(np.float32)
