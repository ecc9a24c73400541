"""COLMAP folders: a sparse model (sparse/0, sparse, colmap/sparse/0 or the folder itself) and a folder of
images.

Poses are world-to-camera with OpenCV's axes; the middle of the first pixel is (0.5, 0.5), ours is (0, 0).
Masks (white = object) may lie in `masks`, named as the picture, with its suffix replaced by or followed by
.png.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfrecon.scene import Scene, SparsePoints, View
from nerfrecon.scenes.box import choose_box
from nerfrecon.scenes.checks import checked_pose
from nerfrecon.scenes.colmap_files import ColmapCamera, ColmapImage, ColmapModel, is_model, read_model
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.picture import read_header
from nerfrecon.scenes.pictures_folder import natural_key, pictures_in, subfolder
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

_IMAGE_FOLDERS = ("images", "input", "image")
_READ = "SIMPLE_PINHOLE, PINHOLE, SIMPLE_RADIAL, RADIAL and OPENCV are read"


def model_folder(folder: Path) -> Path | None:
    """Where in `folder` a sparse model lies; None where there is none."""
    places = ("", "sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse")
    return next((folder / place for place in places if is_model(folder / place)), None)


def read_colmap(folder: Path) -> Scene:
    """The scene of a COLMAP folder, views in the order of their names.

    Pictures that are not registered, or do not exist, are left out with a note.
    """
    place = model_folder(folder)
    if place is None:
        raise BadInput(
            "holds no sparse model",
            folder,
            hint="give the folder that holds sparse/0/cameras.bin and images.bin",
        )
    model = read_model(place)
    images = _image_folder(folder, model)
    masks = subfolder(images.parent, ("masks", "mask"))
    views, numbers, missing, all_cut_out = [], {}, [], True
    for image in sorted(model.images, key=lambda image: natural_key(image.name)):
        where = f"{place / 'images'}, image {image.image_id} ({image.name})"
        pose = _pose(image, where)
        path = images / image.name
        if not path.is_file():
            missing.append(image.name)
            continue
        if image.camera_id not in model.cameras:
            raise BadInput(
                f"belongs to camera {image.camera_id}, which is not listed", where, "export it again"
            )
        said = model.cameras[image.camera_id]
        header = read_header(path, (said.width, said.height))
        mask = _mask(masks, image.name)
        numbers[image.image_id] = len(views)
        camera = lens_camera(said, f"{place / 'cameras'}, camera {image.camera_id}")
        views.append(View(image.name, path, camera, pose, mask))
        all_cut_out &= header.has_alpha or mask is not None
    points = _points(model, numbers)
    chosen = choose_box(views, points, all_cut_out, place)
    return Scene(place, tuple(views), *chosen, points=points, notes=_notes(images, model, missing))


def lens_camera(said: ColmapCamera, where: str) -> LensCamera:
    """Our camera for one of COLMAP's. Raises BadInput for models that OpenCV's five coefficients do not
    hold."""
    fx, k1, k2, p1, p2 = said.params[0], 0.0, 0.0, 0.0, 0.0
    if said.model == "SIMPLE_PINHOLE":
        fy, cx, cy = said.params
    elif said.model == "PINHOLE":
        _, fy, cx, cy = said.params
    elif said.model == "SIMPLE_RADIAL":
        fy, cx, cy, k1 = said.params
    elif said.model == "RADIAL":
        fy, cx, cy, k1, k2 = said.params
    elif said.model == "OPENCV":
        _, fy, cx, cy, k1, k2, p1, p2 = said.params
    else:
        raise BadInput(
            f"is of the model {said.model}; {_READ}",
            where,
            hint="run colmap image_undistorter and give its folder",
        )
    try:
        pinhole = PinholeCamera(said.width, said.height, fx, fy, cx - 0.5, cy - 0.5)
        return LensCamera(pinhole, (k1, k2, p1, p2, 0.0))
    except BadInput as error:
        raise BadInput(error.what, where, error.hint) from None


def _pose(image: ColmapImage, where: str) -> Float[np.ndarray, "4 4"]:
    q = np.array(image.rotation)
    length = np.linalg.norm(q)
    if not np.isfinite(length) or length < 1e-6:
        raise BadInput("its rotation is no quaternion", where, hint="export the model again")
    w, x, y, z = q / length
    R = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R.T, -R.T @ np.array(image.translation)
    return checked_pose(T, where)


def _image_folder(folder: Path, model: ColmapModel) -> Path:
    for root in (folder, *model.folder.parents[:3]):
        if (found := subfolder(root, _IMAGE_FOLDERS)) is not None:
            return found
    names = [image.name for image in model.images]
    if any((folder / name).is_file() for name in names):
        return folder
    raise BadInput(
        "has a sparse model but no folder of pictures",
        folder,
        hint=f"put them into {folder / _IMAGE_FOLDERS[0]}",
    )


def _mask(masks: Path | None, name: str) -> Path | None:
    if masks is None:
        return None
    candidates = (masks / f"{name}.png", (masks / name).with_suffix(".png"), masks / name)
    return next((path for path in candidates if path.is_file()), None)


def _points(model: ColmapModel, numbers: dict[int, int]) -> SparsePoints | None:
    if model.points is None:
        return None
    points = model.points
    view = np.array([numbers.get(int(image_id), -1) for image_id in points.tracks[:, 0]], np.int64)
    sightings = np.stack([view, points.tracks[:, 1]], axis=1)[view >= 0]
    return SparsePoints(points.positions, points.colours, sightings, points.errors_px)


def _notes(images: Path, model: ColmapModel, missing: list[str]) -> tuple[str, ...]:
    registered = {image.name for image in model.images}
    stray = [path.name for path in pictures_in(images) if path.name not in registered]
    lines = []
    for what, names in (("do not exist", missing), ("have no pose in the model", stray)):
        if names:
            some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            lines.append(f"{images}: {len(names)} pictures {what} and are left out: {some}")
    return tuple(lines)
