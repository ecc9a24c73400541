"""Wavefront OBJ: positions, faces and colours; materials and texture coordinates are passed over.

Read here because a vertex must stay one vertex: split along texture seams, a closed mesh would be open.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from suite.errors import BadInput
from suite.files import atomic_write
from suite.geometry.checked import checked_geometry, fan
from suite.geometry.mesh import Mesh, PointCloud

_GREY = 190 / 255  # of vertices without a colour among others that have one


def read_obj(path: Path) -> Mesh | PointCloud:
    """All objects as one mesh, or a point cloud where there are no faces. Raises BadInput (see mesh_io)."""
    points, colors, normals = array("d"), array("d"), array("d")
    polygons: list[list[int]] = []
    colored = False
    with path.open("r", encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, start=1):
            kind, _, rest = line.lstrip().partition(" ")
            try:
                if kind == "v":
                    values = [float(w) for w in rest.split()]
                    if len(values) < 3:
                        raise ValueError
                    points.extend(values[:3])
                    colored = colored or len(values) >= 6
                    colors.extend(values[3:6] if len(values) >= 6 else (_GREY, _GREY, _GREY))
                elif kind == "vn":
                    x, y, z = (float(w) for w in rest.split())
                    normals.extend((x, y, z))
                elif kind == "f":
                    polygons.append(_corners(rest, len(points) // 3))
            except ValueError:
                raise BadInput(
                    f"line not understood: {line.strip()[:60]!r}",
                    f"{path}:{number}",
                    hint="the file is damaged or truncated: export it again",
                ) from None
    return checked_geometry(
        path,
        np.frombuffer(points) if points else np.zeros((0, 3)),
        fan(polygons),
        np.frombuffer(colors).reshape(-1, 3) if colored else None,
        np.frombuffer(normals).reshape(-1, 3) if len(normals) == len(points) else None,
    )


def write_obj(path: str | Path, meshes: Sequence[Mesh]) -> None:
    """Each mesh as an object under its own name, with vertex colours (`v x y z r g b`). Atomic."""
    with atomic_write(Path(path), "w") as out:
        first = 1
        for i, mesh in enumerate(meshes):
            out.write(f"o {' '.join(mesh.name.split()) or f'mesh_{i}'}\n")
            colors = None if mesh.vertex_colors is None else (mesh.vertex_colors / 255.0).tolist()
            for k, (x, y, z) in enumerate(mesh.vertices.tolist()):
                color = "" if colors is None else " {:.6g} {:.6g} {:.6g}".format(*colors[k])
                out.write(f"v {x!r} {y!r} {z!r}{color}\n")
            out.writelines(f"f {a} {b} {c}\n" for a, b, c in (mesh.faces + first).tolist())
            first += len(mesh.vertices)


def _corners(text: str, points_so_far: int) -> list[int]:
    """Vertex indices from zero of `f 1/2/3 ...`; negative numbers count back from the last vertex read."""
    indices = [int(word.partition("/")[0]) for word in text.split()]
    if len(indices) < 3 or 0 in indices:
        raise ValueError
    return [i - 1 if i > 0 else points_so_far + i for i in indices]
