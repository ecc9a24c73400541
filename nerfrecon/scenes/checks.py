"""What a scene is asked at the door: are poses rigid, has the box a volume, do the cameras look at it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from suite.errors import BadInput

if TYPE_CHECKING:
    from nerfrecon.scene import View

_NEARLY = 2e-3  # what printing a pose with three or four decimals does to it
_FLAT = 1e-3


def checked_pose(
    matrix: Float[np.ndarray, "4 4"] | Sequence[object], where: str | Path
) -> Float[np.ndarray, "4 4"]:
    """The pose with its rotation made exactly orthogonal. Raises BadInput for what is no rotation and
    position."""
    try:
        T = np.array(matrix, np.float64)
    except (TypeError, ValueError):
        T = np.empty(0)
    if T.shape == (3, 4):
        T = np.vstack([T, [0.0, 0.0, 0.0, 1.0]])
    if T.shape != (4, 4):
        raise BadInput(
            "pose is not a matrix of 4 x 4 numbers", where, hint="give camera-to-world, row by row"
        )
    if not np.isfinite(T).all():
        raise BadInput(
            "pose holds a number that is not finite",
            where,
            hint="leave this frame out, or find its pose again",
        )
    if not np.allclose(T[3], [0, 0, 0, 1], atol=1e-6):
        raise BadInput(
            f"last row of the pose is {_numbers(T[3])}, not 0 0 0 1",
            where,
            hint="give camera-to-world row by row; this one may be transposed",
        )
    R = T[:3, :3]
    lengths = np.linalg.norm(R, axis=0)
    if np.abs(lengths - 1).max() > _NEARLY:
        raise BadInput(
            f"pose is not rigid: its axes have lengths {_numbers(lengths)}",
            where,
            hint="take the scale out of the rotation and put it into the positions of all cameras",
        )
    u, _, vt = np.linalg.svd(R)
    nearest = u @ vt
    if np.linalg.det(nearest) < 0:
        raise BadInput(
            "pose is mirrored (determinant -1)",
            where,
            hint="one axis is negated or two are swapped: give a right-handed camera frame",
        )
    if (off := np.abs(R - nearest).max()) > _NEARLY:
        raise BadInput(
            f"pose is not rigid: its axes are not at right angles (off by {off:.2g})",
            where,
            hint="the matrix is no rotation: export the poses again",
        )
    T[:3, :3], T[3] = nearest, [0, 0, 0, 1]
    return T


def checked_box(box: Float[np.ndarray, "2 3"], where: str | Path) -> Float[np.ndarray, "2 3"]:
    """The box in float64. Raises BadInput for one that is not finite, inside out or flat."""
    box = np.array(box, np.float64)
    sides = box[1] - box[0]
    if not np.isfinite(box).all() or sides.max() <= 0 or sides.min() < _FLAT * sides.max():
        raise BadInput(
            f"the box from ({_numbers(box[0])}) to ({_numbers(box[1])}) has no volume",
            where,
            hint="give two corners, the smaller numbers first, around what is to be reconstructed",
        )
    return box


def refuse_few_views(views: Sequence[View], where: str | Path) -> None:
    """Raises BadInput for fewer than two views."""
    if len(views) < 2:
        raise BadInput(
            f"views with a pose and a picture: {len(views)}",
            where,
            hint="a scene takes at least two, and tens to look right",
        )


def refuse_unseen_box(
    views: Sequence[View], box: Float[np.ndarray, "2 3"], aabb_scale: float | int, where: str | Path
) -> None:
    """Raises BadInput where no camera sees any of the box, or where all stand outside its middle part, 1 /
    `aabb_scale` of it, and look away."""
    middle = box.mean(axis=0)
    inner = middle + (box - middle) / aabb_scale
    ahead = [
        _within(view, inner) or bool(((_grid(inner) - view.position) @ view.forward > 0).any())
        for view in views
    ]
    if not any(ahead):
        raise BadInput(
            "all cameras look away from the box",
            where,
            hint="the camera axes are probably another format's (OpenGL looks along -z, OpenCV along +z)",
        )
    sees = any(
        _within(view, box)
        or bool(view.camera.contains(view.project(_grid(box))).any())
        or _rays_meet(view, box)
        for view in views
    )
    if not sees:
        far = (
            np.median([np.linalg.norm(view.position - middle) for view in views]) / np.ptp(box, axis=0).max()
        )
        raise BadInput(
            f"no camera sees the box around ({_numbers(middle)}); they stand {far:.3g} times its side away",
            where,
            hint="scale and offset of the poses do not belong to this box: give the box, or scale the poses",
        )


def _within(view: View, box: Float[np.ndarray, "2 3"]) -> bool:
    return bool(np.all((view.position > box[0]) & (view.position < box[1])))


def _grid(box: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "125 3"]:
    """5 x 5 x 5 points spread over the box, its corners among them."""
    steps = np.linspace(0, 1, 5)
    shares = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    return box[0] + shares * (box[1] - box[0])


def _rays_meet(view: View, box: Float[np.ndarray, "2 3"]) -> bool:
    """Whether one of 9 x 9 rays spread over the picture meets the box (slab method)."""
    u, v = np.meshgrid(np.linspace(0, view.camera.width - 1, 9), np.linspace(0, view.camera.height - 1, 9))
    rays = view.camera.directions(np.stack([u, v], -1)).reshape(-1, 3) @ view.T_world_camera[:3, :3].T
    rays = np.where(np.abs(rays) < 1e-12, 1e-12, rays)
    near, far = np.sort((box[:, None, :] - view.position) / rays, axis=0)
    return bool((np.maximum(near.max(axis=1), 0) < far.min(axis=1)).any())


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.4g}" for value in values)
