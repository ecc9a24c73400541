"""Recognises what a folder or file holds, and opens it."""

from __future__ import annotations

from pathlib import Path

from nerfrecon.scene import Scene
from nerfrecon.scenes.blender import read_blender
from nerfrecon.scenes.colmap import model_folder, read_colmap
from nerfrecon.scenes.frames import read_document
from nerfrecon.scenes.idr import read_idr
from nerfrecon.scenes.pictures_folder import pictures_in, subfolder
from nerfrecon.scenes.transforms import read_transforms
from suite.errors import BadInput

_FORMATS = (
    "transforms.json (nerfstudio, instant-ngp), transforms_train.json (NeRF-synthetic), "
    "cameras_sphere.npz (IDR, NeuS) or a sparse model of COLMAP"
)


def read_scene(path: str | Path) -> Scene:
    """The scene in a folder, or of one transforms*.json or cameras*.npz.

    Of several formats in one folder the first is taken of: transforms.json, transforms_train.json,
    cameras_sphere.npz, a COLMAP model. Raises BadInput naming file, frame and what to do for all that is
    wrong.
    """
    path = Path(path)
    if path.is_file():
        if path.suffix == ".json":
            return _read_json(path)
        if path.suffix == ".npz":
            return read_idr(path)
        raise BadInput("is not the poses of a scene", path, hint=f"give {_FORMATS}")
    if not path.is_dir():
        raise BadInput("no such folder", path)
    for name in ("transforms.json", "transforms_train.json"):
        if (path / name).is_file():
            return _read_json(path / name)
    for name in ("cameras_sphere.npz", "cameras.npz"):
        if (path / name).is_file():
            return read_idr(path / name)
    if model_folder(path) is not None:
        return read_colmap(path)
    folders = (path, subfolder(path, ("images", "image", "input", "rgb", "train")))
    if pictures := next((found for folder in folders if folder and (found := pictures_in(folder))), None):
        raise BadInput(
            f"holds {len(pictures)} pictures but no poses",
            path,
            hint=f"find them with COLMAP; read are {_FORMATS}",
        )
    raise BadInput("holds no scene", path, hint=f"give a folder with {_FORMATS}")


def _read_json(path: Path) -> Scene:
    """NeRF-synthetic has an angle of view, and nothing that instant-ngp or nerfstudio would add."""
    document = read_document(path)
    added = {"fl_x", "w", "aabb_scale", "aabb", "scale", "offset", "camera_model", "cx"} & document.keys()
    if "camera_angle_x" in document and not added and "fl_x" not in document["frames"][0]:
        return read_blender(path)
    return read_transforms(path)
