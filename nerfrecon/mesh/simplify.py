"""Fewer triangles, by the quadric error, without opening the surface.

M. Garland, P. Heckbert, "Surface simplification using quadric error metrics", 1997.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from nerfrecon.mesh.components import largest_parts
from nerfrecon.mesh.watertight import closed
from suite.errors import BackendUnavailable
from suite.geometry.mesh import Mesh

_HASTE = (7.0, 4.0, 2.0)
"""fast_simplification's aggressiveness: the more of it, the dearer are edges that collapse before others."""
_MOST_CHANGE = 0.05
"""Of the volume, in a simplification that is believed."""


class Simplified(NamedTuple):
    """The mesh, and how it was made: for people."""

    mesh: Mesh
    how: str


def simplified(mesh: Mesh, most_faces: int) -> Simplified:
    """At most `most_faces` triangles; a closed mesh stays closed.

    Ways are tried in turn until one is closed, oriented and within 5 % of the volume; where none is, the
    mesh is returned as it came, which `how` says.
    """
    if len(mesh.faces) <= most_faces:
        return Simplified(mesh, "not needed")
    volume, was_closed = mesh.volume(), mesh.is_watertight()
    for how, attempt in _ways(mesh, most_faces):
        found = attempt()
        if was_closed and not found.is_watertight():
            found = closed(found)
            how += ", closed again"
            if found.is_watertight():
                found = largest_parts(found).mesh
        if len(found.faces) > most_faces:
            continue
        if not was_closed:
            return Simplified(found, how)
        if found.is_watertight() and abs(found.volume() - volume) <= _MOST_CHANGE * abs(volume):
            return Simplified(found, how)
    return Simplified(mesh, "failed: no way kept the surface closed")


def _ways(mesh: Mesh, most_faces: int) -> Iterator[tuple[str, Callable[[], Mesh]]]:
    for haste in _HASTE:
        # Closing holes adds a few faces.
        for room in (0, most_faces // 100):
            yield (
                f"quadric, aggressiveness {haste:g}",
                lambda haste=haste, room=room: _fast(mesh, most_faces - room, haste),
            )
    yield "quadric (Open3D)", lambda: _open3d(mesh, most_faces)


def _fast(mesh: Mesh, faces: int, haste: float) -> Mesh:
    try:
        from fast_simplification import simplify
    except ImportError as error:
        raise BackendUnavailable(
            "fast_simplification", str(error), hint="pip install fast-simplification"
        ) from None
    low = mesh.vertices.min(0)
    size = float(np.ptp(mesh.vertices, axis=0).max())
    local = ((mesh.vertices - low) / size).astype(np.float32)  # float32 is enough in the unit cube only
    found: Any = simplify(local, mesh.faces.astype(np.int32), target_count=faces, agg=haste)
    return Mesh(np.asarray(found[0], np.float64) * size + low, np.asarray(found[1], np.int64))


def _open3d(mesh: Mesh, faces: int) -> Mesh:
    from suite.geometry.raycasting import open3d

    o3d: Any = open3d()
    legacy = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(mesh.vertices), o3d.utility.Vector3iVector(mesh.faces.astype(np.int32))
    )
    found = legacy.simplify_quadric_decimation(faces)
    return Mesh(np.asarray(found.vertices), np.asarray(found.triangles).astype(np.int64))
