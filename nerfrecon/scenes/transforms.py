"""transforms.json of instant-ngp and nerfstudio.

Poses are camera-to-world with OpenGL's camera axes. Principal points have their origin at the corner of the
first pixel, ours at its centre: half a pixel less. instant-ngp maps the world to its unit cube by `scale` and
`offset` (0.33 and 0.5 where one is not given), and the box is that cube enlarged about its middle by
`aabb_scale`; an `aabb` gives the cube itself (nerf_loader.cu). A file with none of these keys is
nerfstudio's, whose points may lie in a PLY.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from nerfrecon.scene import Scene, SparsePoints, View
from nerfrecon.scenes.box import choose_box
from nerfrecon.scenes.frames import find_file, focal_px, found_frames, number, read_document
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.picture import read_header
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

_NGP_KEYS = ("aabb_scale", "scale", "offset", "aabb")
_NGP_SCALE, _NGP_OFFSET = 0.33, 0.5
_MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE")
_REFUSED = ("is_fisheye", "k4", "ftheta_p0", "latlong", "equirectangular", "orthographic")


def read_transforms(path: Path) -> Scene:
    """The scene of a transforms.json; pictures that it lists and that do not exist are left out, with a
    note."""
    document = read_document(path)
    frames, notes = found_frames(path, document)
    views, numbers, has_alpha = [], {}, True
    unit = number(document, "integer_depth_scale", str(path))
    unit = 0.001 if unit is None else unit
    for at, values, where, name, image, pose in frames:
        camera, alpha = _camera(image, document, values, where)
        mask = _named_file(path, values, ("mask_path",), where)
        depth = _named_file(path, values, ("depth_file_path", "depth_path"), where)
        numbers[at] = len(views)
        views.append(View(name, image, camera, pose, mask, _mask_shows(values, where), depth, unit))
        has_alpha &= alpha
    points = _points(path, document, numbers)
    up = _vector(document["up"], "up", path) if "up" in document else np.array([0.0, 0.0, 1.0])
    if any(document.get("rolling_shutter") or ()):
        notes += (f"{path}: its rolling shutter is not modelled",)
    if any(key in document for key in _NGP_KEYS):
        box, aabb_scale = _ngp_box(path, document)
        return Scene(path, tuple(views), box, "file", aabb_scale, up, points, notes)
    chosen = choose_box(views, points, has_alpha, path)
    return Scene(path, tuple(views), *chosen, up=up, points=points, notes=notes)


def _camera(
    image: Path, document: Mapping[str, Any], frame: Mapping[str, Any], where: str
) -> tuple[LensCamera, bool]:
    """The camera of one frame, whose own keys go before those of the file, and whether its picture has
    alpha."""
    values = {**document, **frame}
    model = values.get("camera_model", "OPENCV")
    refused = next((key for key in _REFUSED if values.get(key)), None)
    if model not in _MODELS or refused:
        raise BadInput(
            f"camera model is {model if model not in _MODELS else refused}, of which no rays are known",
            where,
            hint="undistort the pictures to a pinhole camera",
        )
    said = [number(values, key, where) for key in ("w", "h")]
    size = None if None in said else (round(said[0] or 0), round(said[1] or 0))
    header = read_header(image, size)
    w, h = header.width, header.height
    # A frame's own angle of view goes before the file's focal length.
    fx = focal_px(frame, "x", w, where) or focal_px(document, "x", w, where)
    fy = focal_px(frame, "y", h, where) or (None if "fl_x" in frame else focal_px(document, "y", h, where))
    if fx is None and fy is None:
        raise BadInput("has no focal length", where, hint="give fl_x in pixels or camera_angle_x in radians")
    cx, cy = number(values, "cx", where), number(values, "cy", where)
    k1, k2, p1, p2, k3 = (number(values, key, where) or 0.0 for key in ("k1", "k2", "p1", "p2", "k3"))
    try:
        pinhole = PinholeCamera(
            w,
            h,
            float(fx or fy or 0),
            float(fy or fx or 0),
            (0.5 * w if cx is None else cx) - 0.5,
            (0.5 * h if cy is None else cy) - 0.5,
        )
        return LensCamera(pinhole, (k1, k2, p1, p2, k3)), header.has_alpha
    except BadInput as error:
        raise BadInput(error.what, where, error.hint) from None


def _named_file(path: Path, frame: Mapping[str, Any], keys: tuple[str, ...], where: str) -> Path | None:
    name = next((frame[key] for key in keys if frame.get(key)), None)
    if name is None:
        return None
    found = find_file(path.parent, name.replace("\\", "/")) if isinstance(name, str) else None
    if found is None:
        raise BadInput(
            f"its {keys[0]} {name!r} does not exist", where, hint="copy it there, or remove the key"
        )
    return found


def _mask_shows(frame: Mapping[str, Any], where: str) -> Literal["object", "usable"]:
    """nerfstudio's masks say what is usable; files written here may say that theirs show the object."""
    shows = frame.get("mask_shows", "usable")
    if shows not in ("object", "usable"):
        raise BadInput(f"mask_shows is {shows!r}", where, hint="give object or usable")
    return "object" if shows == "object" else "usable"


def _points(path: Path, document: Mapping[str, Any], numbers: Mapping[int, int]) -> SparsePoints | None:
    """`numbers` are those of the views by those of the frames, which sightings count."""
    name = document.get("ply_file_path")
    if not name:
        return None
    from suite.geometry.mesh import PointCloud
    from suite.geometry.mesh_io import read_geometry

    cloud = read_geometry(path.parent / str(name))
    if isinstance(cloud, PointCloud):
        return SparsePoints(cloud.points, cloud.colors, *_sightings(path, document, numbers, len(cloud)))
    return SparsePoints(cloud.vertices, cloud.vertex_colors)


def _sightings(
    path: Path, document: Mapping[str, Any], numbers: Mapping[int, int], points: int
) -> tuple[Int[np.ndarray, "m 2"] | None, Float[np.ndarray, " n"] | None]:
    """Who sees which point, and reprojection errors, as `write_transforms` wrote them."""
    name = document.get("sightings_path")
    if not name:
        return None, None
    file = path.parent / str(name)
    try:
        with np.load(file) as said:
            rows = said["sightings"].astype(np.int64).reshape(-1, 2)
            errors = said["errors_px"].astype(np.float64)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise BadInput("holds no sightings", file, hint="write it again, or remove sightings_path") from None
    view = np.array([numbers.get(int(frame), -1) for frame in rows[:, 0]], np.int64)
    rows = np.stack([view, rows[:, 1]], axis=1)[view >= 0]
    if len(rows) and (rows[:, 1].min() < 0 or rows[:, 1].max() >= points):
        raise BadInput("sightings are of other points", file, hint="write it again, or remove sightings_path")
    return rows, errors if len(errors) == points else None


def _ngp_box(path: Path, document: Mapping[str, Any]) -> tuple[Float[np.ndarray, "2 3"], float]:
    given = number(document, "aabb_scale", str(path))
    aabb_scale = 1.0 if given is None else given
    if aabb_scale < 1:
        raise BadInput(
            f"aabb_scale is {aabb_scale:g}", path, hint="give 1 for an object, 2 to 128 for a scene"
        )
    if "aabb" in document:
        corners = document["aabb"]
        if not isinstance(corners, list) or len(corners) != 2:
            raise BadInput("aabb is not two corners", path, hint="give [[x, y, z], [x, y, z]] in world units")
        box = np.stack([_vector(corner, "aabb", path) for corner in corners])
    else:
        given = number(document, "scale", str(path))
        scale = _NGP_SCALE if given is None else given
        if scale <= 0:
            raise BadInput(f"scale is {scale:g}", path, hint="give a positive number")
        offset = document.get("offset", _NGP_OFFSET)
        offset = _vector([offset] * 3 if isinstance(offset, int | float) else offset, "offset", path)
        box = (np.array([[0.0], [1.0]]) - offset) / scale
    middle = box.mean(axis=0)
    return middle + aabb_scale * (box - middle), aabb_scale


def _vector(value: Any, key: str, path: Path) -> Float[np.ndarray, " 3"]:
    try:
        vector = np.array(value, np.float64)
    except (TypeError, ValueError):
        vector = np.empty(0)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise BadInput(f"{key} is {value!r}", path, hint="give three finite numbers")
    return vector
