"""Which pictures were taken through the same lens, and the database that features go into.

Cameras are grouped by size, model and focal length. COLMAP's own grouping drops pictures of another
orientation with no more than a line in its log; here each size has a camera of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfrecon.frames.select import read_frames
from nerfrecon.scenes.picture import read_header
from nerfrecon.scenes.pictures_folder import pictures_in
from nerfrecon.sfm.colmap_calls import colmap
from nerfrecon.sfm.options import SfmOptions
from suite.errors import BadInput

_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
_USUAL_FOCAL = 1.2
"""Of the longest side, where nothing is known."""


@dataclass(frozen=True)
class SourcePicture:
    """A picture whose pose is wanted; `mask` is white where features are wanted."""

    name: str
    path: Path
    size: tuple[int, int]
    has_alpha: bool = False
    mask: Path | None = None
    exif: dict[str, Any] = field(default_factory=dict)
    source: str | None = None

    @property
    def lens(self) -> tuple[Any, ...]:
        """What pictures of one lens have in common."""
        focal = self.exif.get("focal_35mm") or self.exif.get("focal_mm")
        return (*self.size, self.exif.get("model"), None if focal is None else round(focal, 2))


def source_pictures(frames: Path, masks: Path | None) -> list[SourcePicture]:
    """The pictures of FRAMES/images in the order of their names, or of time where frames.json says more.

    Masks are those of `masks`, or of FRAMES/masks: NAME.png, or NAME with its suffix replaced.
    """
    images = frames / "images"
    if not images.is_dir():
        raise BadInput("holds no folder images", frames, hint="run the stage `frames` first")
    known = {frame.name: frame for frame in read_frames(frames) if frame.kept}
    if masks is None and (frames / "masks").is_dir():
        masks = frames / "masks"
    found = []
    for path in pictures_in(images):
        header = read_header(path)
        frame = known.get(path.name)
        found.append(
            SourcePicture(
                path.name,
                path,
                (header.width, header.height),
                header.has_alpha,
                _mask(masks, path.name),
                frame.exif if frame else {},
                frame.source if frame else None,
            )
        )
    times = [picture.exif.get("time") for picture in found]
    if all(times) and len(set(times)) == len(times):
        found.sort(key=lambda picture: str(picture.exif["time"]))
    return found


def create_database(database: Path, pictures: list[SourcePicture], options: SfmOptions) -> None:
    """A database with a camera for each lens and all pictures, numbered from 1 in their order."""
    pycolmap: Any = colmap()
    database.unlink(missing_ok=True)
    opened = pycolmap.Database.open(database)
    try:
        cameras: dict[tuple[Any, ...], tuple[int, int]] = {}
        for picture in pictures:
            if picture.lens not in cameras:
                cameras[picture.lens] = _write_camera(opened, picture, options)
            camera_id, rig_id = cameras[picture.lens]
            image_id = opened.write_image(pycolmap.Image(name=picture.name, camera_id=camera_id))
            frame = pycolmap.Frame()
            frame.rig_id = rig_id
            sensor = pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id)
            frame.add_data_id(pycolmap.data_t(sensor, image_id))
            opened.write_frame(frame)
    finally:
        opened.close()


def focal_from_exif(picture: SourcePicture) -> float | None:
    """In pixels; None where neither the 35 mm equivalent is written nor the camera's sensor known."""
    longest, diagonal = max(picture.size), math.hypot(*picture.size)
    if focal_35mm := picture.exif.get("focal_35mm"):
        return float(focal_35mm) / _FILM_DIAGONAL_MM * diagonal
    if not (picture.exif.get("focal_mm") and picture.exif.get("model") and picture.source):
        return None
    if not Path(picture.source).is_file():
        return None
    said = colmap().infer_camera_from_image(picture.source)  # COLMAP knows the sensors of many cameras
    if not said.has_prior_focal_length:
        return None
    return float(said.mean_focal_length()) / max(said.width, said.height) * longest


def _write_camera(opened: Any, picture: SourcePicture, options: SfmOptions) -> tuple[int, int]:
    pycolmap: Any = colmap()
    focal = options.focal_px or focal_from_exif(picture)
    camera = pycolmap.Camera.create_from_model_name(
        pycolmap.INVALID_CAMERA_ID, options.lens, focal or _USUAL_FOCAL * max(picture.size), *picture.size
    )
    camera.has_prior_focal_length = focal is not None
    camera_id = opened.write_camera(camera)
    rig = pycolmap.Rig()
    rig.add_ref_sensor(pycolmap.sensor_t(pycolmap.SensorType.CAMERA, camera_id))
    return camera_id, opened.write_rig(rig)


def _mask(masks: Path | None, name: str) -> Path | None:
    if masks is None:
        return None
    candidates = (masks / f"{name}.png", (masks / name).with_suffix(".png"), masks / name)
    return next((path for path in candidates if path.is_file()), None)
