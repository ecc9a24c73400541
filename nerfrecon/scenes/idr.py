"""cameras_sphere.npz of IDR and NeuS: world_mat_i = K [R | t] of the i-th picture, scale_mat_i: unit sphere
-> world.

The object lies in the unit sphere, so the box is the sphere's in the world. Pixel centres are whole numbers,
as ours are. Pictures and masks (white = object) are taken in the order of their names.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfrecon.scene import Scene, View
from nerfrecon.scenes.checks import checked_pose
from nerfrecon.scenes.lens import LensCamera
from nerfrecon.scenes.picture import read_header
from nerfrecon.scenes.pictures_folder import pictures_in, subfolder
from suite.errors import BadInput
from suite.geometry.camera import PinholeCamera

_MOST_SKEW_PX = 0.5


def read_idr(path: Path) -> Scene:
    """The scene of a cameras_sphere.npz beside its folders `image` and, where there are masks, `mask`."""
    matrices = _matrices(path)
    numbers = sorted(int(key[10:]) for key in matrices if re.fullmatch(r"world_mat_\d+", key))
    if not numbers:
        raise BadInput("holds no world_mat_0, world_mat_1, ...", path, hint="give a file of IDR or NeuS")
    folder = subfolder(path.parent, ("image", "images", "rgb"))
    if folder is None:
        raise BadInput("has no folder image beside it", path, hint="put the pictures there, in order")
    images = pictures_in(folder)
    if len(images) != len(numbers):
        raise BadInput(
            f"holds {len(numbers)} cameras but {folder.name} holds {len(images)} pictures",
            path,
            hint="the i-th picture by name belongs to world_mat_i: remove what does not belong",
        )
    mask_folder = subfolder(path.parent, ("mask", "masks"))
    masks = pictures_in(mask_folder) if mask_folder else []
    if masks and len(masks) != len(images):
        raise BadInput(
            f"holds {len(masks)} masks for {len(images)} pictures",
            mask_folder,
            hint="the i-th mask by name belongs to the i-th picture: give all or none",
        )
    views = []
    for place, (index, image) in enumerate(zip(numbers, images, strict=True)):
        header = read_header(image)
        where = f"{path}, world_mat_{index} ({image.name})"
        camera, pose = decomposed(matrices[f"world_mat_{index}"], header.width, header.height, where)
        mask = masks[place] if masks else None
        views.append(View(image.name, image, camera, pose, mask))
    return Scene(path, tuple(views), _sphere_box(matrices, numbers, path), "file")


def decomposed(
    world_mat: Float[np.ndarray, "4 4"], width: int, height: int, where: str
) -> tuple[LensCamera, Float[np.ndarray, "4 4"]]:
    """Camera and T_world_camera of a projection matrix of any scale (RQ decomposition, Hartley and Zisserman
    6.2.4).

    Raises BadInput for a matrix that projects nothing or whose pixels are skewed.
    """
    P = np.asarray(world_mat, np.float64)[:3]
    if P.shape != (3, 4) or not np.isfinite(P).all() or np.linalg.matrix_rank(P[:, :3]) < 3:
        raise BadInput("is no projection matrix", where, hint="give K [R | t], 3 x 4 or 4 x 4")
    # RQ from QR of the rows in reverse order.
    q, r = np.linalg.qr(P[::-1, :3].T)
    K, R = r.T[::-1, ::-1], q.T[::-1]
    signs = np.sign(np.diag(K))
    K, R = K * signs, R * signs[:, None]
    if np.linalg.det(R) < 0:  # P is known up to a factor, here a negative one
        R = -R
    centre = -np.linalg.solve(P[:, :3], P[:, 3])
    K = K / K[2, 2]
    if abs(K[0, 1]) > _MOST_SKEW_PX:
        raise BadInput(
            f"its pixels are skewed by {K[0, 1]:.2g} px",
            where,
            hint="a camera's are not: the matrix is damaged, or the picture was sheared",
        )
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = R.T, centre
    try:
        camera = LensCamera(
            PinholeCamera(width, height, *(float(K[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2))))
        )
    except BadInput as error:
        raise BadInput(error.what, where, error.hint) from None
    return camera, checked_pose(T, where)


def _matrices(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"cannot be read ({reason})", path, hint="copy or export it again") from None


def _sphere_box(matrices: dict[str, np.ndarray], numbers: list[int], path: Path) -> Float[np.ndarray, "2 3"]:
    found = [(index, matrices[key]) for index in numbers if (key := f"scale_mat_{index}") in matrices]
    if not found:
        raise BadInput("holds no scale_mat_0", path, hint="IDR's normalize_cameras.py writes it")
    first = np.asarray(found[0][1], np.float64)
    for index, matrix in found:
        if matrix.shape != (4, 4) or not np.allclose(matrix, first, rtol=1e-5, atol=1e-8):
            raise BadInput(
                f"scale_mat_{index} is another than scale_mat_{found[0][0]}", path, hint="a scene has one"
            )
    # Extent of the image of the unit sphere: the lengths of the rows.
    half = np.linalg.norm(first[:3, :3], axis=1)
    return first[:3, 3] + np.array([[-1.0], [1.0]]) * half
