"""What a file or a recording gives: points in its own unit and axes, before anything is decided about
them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

SAMPLED_POINTS = 200_000
"""A mesh with fewer vertices is sampled at this many places of its surface."""

if TYPE_CHECKING:
    from spine.recorded import CaptureQuality, RecordedSkin

Intrinsics = PinholeCamera | Mapping[str, Any] | str | Path


@dataclass(frozen=True)
class RawScan:
    """Finite points in file units, their colours, gravity (unit vector pointing down, file axes) if known,
    and the unit ("m", "cm", "mm") if the format says it; of a recording, how good it is."""

    points: Float[np.ndarray, "n 3"]
    colors: UInt8[np.ndarray, "n 3"] | None = None
    down: Float[np.ndarray, " 3"] | None = None
    unit: str | None = None
    notes: tuple[str, ...] = ()
    capture: CaptureQuality | None = None


def read_scan(path: str | Path, intrinsics: Intrinsics | None = None, depth_unit_m: float = 0.001) -> RawScan:
    """Points of a cloud or mesh (.ply .obj .pcd .glb .gltf .stl), a depth image (16-bit .png in counts of
    depth_unit_m, or .npy) with its intrinsics, or the folder of an RGB-D recording (see spine.recorded).

    intrinsics: a PinholeCamera, its values, or a JSON file of them. Raises BadInput naming the file.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput("no such file", path)
    if path.is_dir():
        return _from_recording(path)
    if path.suffix.lower() in (".png", ".npy"):
        return _from_depth(path, intrinsics, depth_unit_m)
    return _from_geometry(path)


def _from_geometry(path: Path) -> RawScan:
    from suite.geometry.mesh import Mesh
    from suite.geometry.mesh_io import read_geometry

    geometry = read_geometry(path)
    notes = (f"{geometry.dropped} points that are not finite were left out",) if geometry.dropped else ()
    unit = "m" if path.suffix.lower() in (".glb", ".gltf") else None  # glTF 2.0, 3.4: metres
    if not isinstance(geometry, Mesh):
        return RawScan(geometry.points, geometry.colors, unit=unit, notes=notes)
    if len(geometry.faces) == 0 or len(geometry.vertices) >= SAMPLED_POINTS:
        return RawScan(geometry.vertices, geometry.vertex_colors, unit=unit, notes=notes)
    points, colors = _sampled(geometry, SAMPLED_POINTS)
    notes += (f"mesh of {len(geometry.vertices)} vertices: {SAMPLED_POINTS} points sampled on it",)
    return RawScan(points, colors, unit=unit, notes=notes)


def _sampled(mesh: Any, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """n points spread evenly by area (Turk 1990, Graphics Gems), and their interpolated colours."""
    corners = mesh.vertices[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if not area.sum() > 0:
        return mesh.vertices, mesh.vertex_colors
    random = np.random.default_rng(seed)
    # stratified along the cumulated area: more even than independent draws
    place = (np.arange(n) + random.random(n)) / n * area.sum()
    face = np.searchsorted(np.cumsum(area), place).clip(max=len(area) - 1)
    root, t = np.sqrt(random.random(n)), random.random(n)
    weight = np.stack([1 - root, root * (1 - t), root * t], axis=1)[..., None]
    points = (corners[face] * weight).sum(1)
    if mesh.vertex_colors is None:
        return points, None
    colors = (mesh.vertex_colors[mesh.faces[face]] * weight).sum(1)
    return points, np.rint(colors).astype(np.uint8)


def _from_depth(path: Path, intrinsics: Intrinsics | None, depth_unit_m: float) -> RawScan:
    if intrinsics is None:
        raise BadInput(
            "a depth image needs its camera's intrinsics",
            path,
            "pass a JSON file with width, height, fx, fy, cx and cy in pixels",
        )
    camera = _camera(intrinsics)
    if path.suffix.lower() == ".png":
        from suite.data.images import read_depth_png

        depth, unit = read_depth_png(path, depth_unit_m), "m"
        note = f"depth image: {depth_unit_m * 1000:g} mm a count"
    else:
        depth, unit, note = _array(path), None, "depth array"
    if depth.shape != (camera.height, camera.width):
        raise BadInput(
            f"depth is {depth.shape[1]} x {depth.shape[0]} px, its camera {camera.width} x {camera.height}",
            path,
            "use the intrinsics of this stream and resolution",
        )
    points = camera.backproject(depth).reshape(-1, 3)
    points = points[np.isfinite(points).all(1)]
    if len(points) == 0:
        raise BadInput("no pixel has depth", path, "check that the subject was in the camera's range")
    return RawScan(points, unit=unit, notes=(note,))


def raw_scan(skin: RecordedSkin) -> RawScan:
    """The points of a recording's skin, in the camera frame."""
    cloud, gravity, q = skin.cloud(), skin.frame.gravity_camera, skin.quality
    down = None if gravity is None else np.asarray(gravity, float)
    note = f"recording: {q.used} of {q.frames} frames averaged on the pixels of frame {skin.reference}"
    return RawScan(cloud.points, cloud.colors, down, "m", (note,), q)


def _from_recording(path: Path) -> RawScan:
    from spine.recorded import read_skin

    return raw_scan(read_skin(path))


def _camera(intrinsics: Intrinsics) -> PinholeCamera:
    if isinstance(intrinsics, PinholeCamera):
        return intrinsics
    if isinstance(intrinsics, Mapping):
        return PinholeCamera.from_json(intrinsics, "intrinsics")
    file = Path(intrinsics)
    try:
        return PinholeCamera.from_json(json.loads(file.read_text()), file)
    except FileNotFoundError:
        raise BadInput("no such file", file) from None
    except (ValueError, OSError) as error:
        raise BadInput(
            f"is not readable as JSON ({error})", file, "it holds width, height, fx, fy, cx, cy"
        ) from None


def _array(path: Path) -> np.ndarray:
    try:
        depth = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise BadInput(
            f"is not readable as an array ({error})", path, "it may be truncated: copy it again"
        ) from None
    if not isinstance(depth, np.ndarray) or depth.ndim != 2 or depth.dtype.kind not in "fiu":
        raise BadInput("is not a two-dimensional array of numbers", path, "save depth as (height, width)")
    return depth.astype(float)
