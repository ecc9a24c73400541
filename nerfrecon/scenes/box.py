"""The box where a file gives none: around sparse points, or around the place that the cameras look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from nerfrecon.scenes.checks import refuse_few_views
from suite.errors import BadInput

if TYPE_CHECKING:
    from nerfrecon.scene import SparsePoints, View

_SURROUNDINGS = 4.0  # sides of the central cube that pictures with a background are given
_FEWEST_POINTS = 50
_TAIL = 0.01
_MARGIN = 0.1
_FARTHEST = 4.0  # in distances of the cameras; beyond it points are sky and mistakes


class ChosenBox(NamedTuple):
    """A box in the world and what it was made from."""

    box: Float[np.ndarray, "2 3"]
    box_from: Literal["points", "cameras"]
    aabb_scale: float


def choose_box(
    views: Sequence[View], points: SparsePoints | None, object_only: bool, where: str | Path
) -> ChosenBox:
    """Around the points where there are enough of them, otherwise around where the optical axes meet.

    `object_only` says that masks or alpha cut the object out, so that nothing is wanted around it.
    Raises BadInput where there are no points and the axes do not meet.
    """
    refuse_few_views(views, where)
    if points is not None and len(points.positions) >= _FEWEST_POINTS:
        return _around_points(views, points.positions)
    centre, radius = seen_sphere(views, where)
    aabb_scale = 1.0 if object_only else _SURROUNDINGS
    return ChosenBox(centre + radius * aabb_scale * np.array([[-1.0], [1.0]]), "cameras", aabb_scale)


def meeting_point(views: Sequence[View]) -> Float[np.ndarray, " 3"] | None:
    """The point nearest to all optical axes (least squares); None where they are parallel."""
    forward = np.array([view.forward for view in views])
    across = np.eye(3) - forward[:, :, None] * forward[:, None, :]
    total = across.sum(axis=0)
    if np.linalg.eigvalsh(total)[0] < 1e-4 * len(views):  # under half a degree between them
        return None
    positions = np.array([view.position for view in views])
    return np.linalg.solve(total, (across @ positions[:, :, None]).sum(axis=0)[:, 0])


def seen_sphere(views: Sequence[View], where: str | Path) -> tuple[Float[np.ndarray, " 3"], float]:
    """Centre and radius of the largest ball around the axes' meeting point that lies in all the pictures.

    Views that do not see the meeting point are left aside. Raises BadInput where the axes do not meet, or
    where most views do not see the place.
    """
    hint = "give the box in the file (aabb: [[x, y, z], [x, y, z]]) or sparse points"
    centre = meeting_point(views)
    if centre is None:
        raise BadInput("all cameras look the same way, so nothing says where the scene is", where, hint)
    in_front = [float((centre - view.position) @ view.forward) > 0 for view in views]
    if not any(in_front):
        raise BadInput(
            "all cameras look away from where their axes meet",
            where,
            "the camera axes are probably another format's (OpenGL looks along -z, OpenCV along +z); "
            + "for pictures taken outwards "
            + hint,
        )
    radii = [radius for view in views if (radius := _ball_radius(view, centre)) > 0]
    if len(radii) * 2 < len(views):
        raise BadInput(
            f"only {len(radii)} of {len(views)} cameras see the place where their axes meet", where, hint
        )
    return centre, min(radii)


def _ball_radius(view: View, centre: Float[np.ndarray, " 3"]) -> float:
    """Distance from `centre` to the nearest side of the pyramid that the picture sees; negative outside."""
    w, h = view.camera.width - 0.5, view.camera.height - 0.5
    middles = np.array([[-0.5, (h - 0.5) / 2], [w, (h - 0.5) / 2], [(w - 0.5) / 2, -0.5], [(w - 0.5) / 2, h]])
    edges = view.camera.directions(middles)
    x, y, z = (centre - view.position) @ view.T_world_camera[:3, :3]
    left, right, top, bottom = edges[0, 0], edges[1, 0], edges[2, 1], edges[3, 1]
    gaps = [
        (x - left * z) / np.hypot(1, left),
        (right * z - x) / np.hypot(1, right),
        (y - top * z) / np.hypot(1, top),
        (bottom * z - y) / np.hypot(1, bottom),
    ]
    return float(min(gaps)) if z > 0 else -1.0


def _around_points(views: Sequence[View], positions: Float[np.ndarray, "n 3"]) -> ChosenBox:
    cameras = np.array([view.position for view in views])
    middle = np.median(positions, axis=0)
    reach = _FARTHEST * np.median(np.linalg.norm(cameras - middle, axis=1))
    near = positions[np.linalg.norm(positions - middle, axis=1) <= reach]
    low, high = np.quantile(near, [_TAIL, 1 - _TAIL], axis=0)
    # A wall gives points in a plane; the box keeps a tenth of its largest side in every direction.
    pad = np.maximum(_MARGIN * (high - low), 0.05 * (high - low).max())
    box = np.stack([low - pad, high + pad])
    inside = np.all((cameras > box[0]) & (cameras < box[1]), axis=1)
    if not inside.any():
        return ChosenBox(box, "points", 1.0)
    nearest = np.linalg.norm(cameras[inside] - box.mean(axis=0), axis=1).min()
    return ChosenBox(box, "points", float(np.clip(np.ptp(box, axis=0).max() / (2 * nearest), 1.0, 16.0)))
