"""Cameras, points and the mesh of a product in one scene to turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float

from nerfrecon.scene import Scene, View
from suite.geometry.mesh import Mesh
from suite.report.view3d import View3D

MOST_POINTS, MOST_FACES = 6000, 20_000
VIEWS = {
    "Oblique": (0.62, 0.42, 0.75),
    "Front": (0.0, 0.0, 1.0),
    "Side": (1.0, 0.0, 0.0),
    "Top": (0.0, 1.0, 0.0),
}


def capture_view(
    scene: Scene,
    held_out: tuple[int, ...],
    points: Float[np.ndarray, "n 3"] | None = None,
    mesh: Mesh | None = None,
) -> View3D:
    """Each camera as a pyramid that opens towards what it sees; held-out ones in another colour. `points` and
    `mesh` are in the scene's frame."""
    shown = View3D(VIEWS, alt="Cameras around the object, in 3D")
    if mesh is not None:
        shown.meshes("Mesh", [mesh], color="#c9c2b4")
    if points is not None and len(points):
        near = _near(points, scene)
        shown.points("Points", near, color="#5f6c7a", size_px=2, visible=mesh is None)
    size = 0.09 * float(np.median([np.linalg.norm(v.position - scene.box.mean(0)) for v in scene.views]))
    for layer, colour, chosen in (
        ("Cameras", "#0072b2", set(range(len(scene.views))) - set(held_out)),
        ("Held out", "#d55e00", set(held_out)),
    ):
        lines = [pyramid(scene.views[number], size) for number in sorted(chosen)]
        if lines:
            shown.line(layer, np.concatenate(lines), color=colour, width_px=2)
            centres = np.stack([scene.views[number].position for number in sorted(chosen)])
            names = [Path(scene.views[number].name).name for number in sorted(chosen)]
            shown.points(layer, centres, names, color=colour, size_px=3, show_labels=False)
    shown.line("Box", _box_lines(scene.box), color="#9dabb8", width_px=2, visible=False)
    return shown


def pyramid(view: View, depth: float | int) -> Float[np.ndarray, "n 3"]:
    """One line, broken by NaN, along the edges from a camera's centre to its picture at `depth`."""
    w, h = view.camera.width, view.camera.height
    corners = np.array([[-0.5, -0.5], [w - 0.5, -0.5], [w - 0.5, h - 0.5], [-0.5, h - 0.5]])
    ways = view.camera.directions(corners) * depth
    far = ways @ view.T_world_camera[:3, :3].T + view.position
    apex, gap = view.position[None], np.full((1, 3), np.nan)
    frame = np.concatenate([far, far[:1], gap])
    return np.concatenate([frame, *(np.concatenate([apex, one[None], gap]) for one in far)])


def fewer_faces(mesh: Mesh, most: int = MOST_FACES) -> Mesh:
    """A mesh light enough for a page, by quadric simplification."""
    if len(mesh.faces) <= most:
        return mesh
    from nerfrecon.mesh.simplify import simplified

    return simplified(mesh, most).mesh


def _near(points: Float[np.ndarray, "n 3"], scene: Scene) -> Float[np.ndarray, "m 3"]:
    """Not those far behind the cameras, which would shrink all else; and not too many of them."""
    reach = 1.1 * max(float(np.linalg.norm(view.position - scene.box.mean(0))) for view in scene.views)
    kept = points[np.linalg.norm(points - scene.box.mean(0), axis=1) < reach]
    if len(kept) > MOST_POINTS:
        kept = kept[np.random.default_rng(0).choice(len(kept), MOST_POINTS, replace=False)]
    return kept


def _box_lines(box: Float[np.ndarray, "2 3"]) -> Float[np.ndarray, "n 3"]:
    edges = []
    for corner in range(8):
        at = [box[corner >> axis & 1][axis] for axis in range(3)]
        for axis in range(3):
            if not corner >> axis & 1:
                other = list(at)
                other[axis] = box[1][axis]
                edges += [at, other, [np.nan] * 3]
    return np.array(edges, np.float64)
