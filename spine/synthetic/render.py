"""A simulated person as a camera sees them: exact depth by ray casting, and colours under a lamp.

The whole body is seen, with head, arms and legs, and the markers on the skin. Lengths of the body are mm,
those of the camera m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from spine.synthetic.appearance import Appearance, draw_appearance
from spine.synthetic.person_mesh import PersonMesh
from spine.synthetic.subject import SimulatedSubject
from suite.geometry.camera import PinholeCamera
from suite.geometry.raycasting import RayHits

DARK = 30
"""Grey of where there is nothing."""
_LAMP = np.array([-0.35, 0.55, 0.76])  # in the body frame, towards the lamp
_AMBIENT = 0.35


@dataclass(frozen=True, eq=False)
class View:
    """depth_m: NaN beside the body; place_mm: x and y of the body frame in each pixel; color: sRGB."""

    depth_m: Float[np.ndarray, "h w"]
    place_mm: Float[np.ndarray, "h w 2"]
    color: UInt8[np.ndarray, "h w 3"] | None


def render(
    subject: SimulatedSubject,
    camera: PinholeCamera,
    T_camera_body: Float[np.ndarray, "4 4"],
    breath_mm: float = 0.0,
    *,
    color: bool = True,
    walled: bool = False,
) -> View:
    """What the camera sees; T_camera_body in m. `breath_mm` lifts the thorax; `walled` paints a wall."""
    body = breathing(subject, breath_mm)
    R, t = T_camera_body[:3, :3], T_camera_body[:3, 3] * 1000
    eye = -R.T @ t
    rows, columns = _window(body, camera, R, t)
    shape = (camera.height, camera.width)
    depth, place = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    picture = np.full((*shape, 3), DARK, np.uint8) if color else None
    looks = draw_appearance(subject.seed, subject.trunk_length_mm) if color else None
    if picture is not None and looks is not None and walled:
        picture[:] = looks.wall * np.linspace(0.9, 0.75, shape[0])[:, None, None]
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return View(depth, place, picture)
    u, v = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
    ray = np.ones((len(v), len(u), 3))
    ray[..., 0], ray[..., 1] = (u - camera.cx) / camera.fx, ((v - camera.cy) / camera.fy)[:, None]
    length = np.linalg.norm(ray, axis=-1)
    direction = ray @ R / length[..., None]
    hits = body.for_rays.cast(eye, direction)
    found = hits.met
    distance = np.where(found, hits.distance.astype(np.float64), np.nan)
    depth[rows, columns] = distance / length / 1000
    place[rows, columns] = (eye + distance[..., None] * direction)[..., :2]
    if picture is not None and looks is not None:
        picture[rows, columns][found] = _lit(body, hits, found, looks.albedo(body), looks)
    return View(depth, place, picture)


def breathing(subject: SimulatedSubject, breath_mm: float) -> PersonMesh:
    """The body with its thorax lifted backwards by so much."""
    if not breath_mm:
        return subject.body
    u = subject.body.vertices_mm[:, 1] / subject.vp_mm[1]
    return subject.body.breathing(breath_mm * thorax_share(u))


def thorax_share(u: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Share of the thorax' breathing that the skin makes at height u (0 base, 1 VP)."""
    return np.exp(-0.5 * ((u - 0.68) / 0.2) ** 2)


def _lit(
    body: PersonMesh, hits: RayHits, found: np.ndarray, albedo: np.ndarray, looks: Appearance
) -> UInt8[np.ndarray, "k 3"]:
    """Colours of the pixels that show the body: Lambert's law with smooth normals, and an ambient term."""
    corners, weights = body.faces[hits.face[found]], hits.weights[found][..., None]
    paint, normal, rest = (
        (values[corners] * weights).sum(1) for values in (albedo, body.normals, body.at_rest_mm)
    )
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    light = _AMBIENT + (1 - _AMBIENT) * np.clip(normal @ _LAMP / np.linalg.norm(_LAMP), 0, 1)
    light *= looks.mole_shade(rest[:, 0], rest[:, 1])
    return np.clip(paint * light[:, None], 0, 255).astype(np.uint8)


def _window(
    body: PersonMesh, camera: PinholeCamera, R: Float[np.ndarray, "3 3"], t: Float[np.ndarray, " 3"]
) -> tuple[slice, slice]:
    """Rows and columns of the image in which the body may lie."""
    pixel = camera.project(body.vertices_mm @ R.T + t)
    if np.isnan(pixel).any():
        return slice(0, camera.height), slice(0, camera.width)
    (left, top), (right, bottom) = np.floor(pixel.min(0)).astype(int), np.ceil(pixel.max(0)).astype(int)
    return (
        slice(max(top, 0), min(bottom + 1, camera.height)),
        slice(max(left, 0), min(right + 1, camera.width)),
    )
