"""One door for geometry files: scans and meshes in, PLY, OBJ and GLB out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from suite.errors import BadInput
from suite.geometry.checked import checked_geometry
from suite.geometry.glb import read_glb, write_glb
from suite.geometry.mesh import Mesh, PointCloud
from suite.geometry.obj import read_obj, write_obj
from suite.geometry.pcd import read_pcd
from suite.geometry.ply import read_ply, write_ply

__all__ = ["read_geometry", "write_glb", "write_obj", "write_ply"]


def read_geometry(path: str | Path) -> Mesh | PointCloud:
    """Mesh or point cloud of a .ply, .obj, .pcd, .glb, .gltf or .stl file, in the file's own unit and frame.

    A file with faces gives a Mesh. Points that are not finite are left out and counted in `dropped`; polygons
    become fans of triangles. Raises BadInput where the file is missing, empty, truncated, damaged, of an
    unknown kind, or holds no finite point.
    """
    path = Path(path)
    readers = {
        ".ply": read_ply,
        ".obj": read_obj,
        ".pcd": read_pcd,
        ".glb": read_glb,
        ".gltf": read_glb,
        ".stl": _read_stl,
    }
    if not path.exists():
        raise BadInput("no such file", path)
    if path.suffix.lower() not in readers:
        kind = f"files of type {path.suffix!r}" if path.suffix else "files without a type"
        raise BadInput(f"{kind} are not read as geometry", path, hint=f"give one of {', '.join(readers)}")
    if not path.is_file():
        raise BadInput("is not a file", path)
    if path.stat().st_size == 0:
        raise BadInput("is empty (0 bytes)", path, hint="copy or export it again")
    return readers[path.suffix.lower()](path)


def _read_stl(path: Path) -> Mesh | PointCloud:
    """STL lists triangles without shared vertices: corners at exactly the same place become one vertex."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(84)
        count = int(np.frombuffer(head[80:], "<u4")[0]) if len(head) == 84 else -1
        # Some binary files begin with "solid" too: the size decides first.
        ascii_file = size != 84 + 50 * count and head.lstrip()[:5].lower() == b"solid"
        if ascii_file:
            corners = _ascii_stl(path, head + stream.read())
        elif count < 0 or size < 84 + 50 * count:
            what = f"holds {size} of {84 + 50 * count} bytes" if count >= 0 else "ends inside its header"
            raise BadInput(what, path, hint="the file is truncated, or is not STL: copy it again")
        else:
            rows = np.fromfile(
                stream, [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("more", "<u2")], count
            )
            corners = rows["corners"].reshape(-1, 3)
    if not len(corners):
        raise BadInput("holds no points", path, hint="export the scan again")
    points, index = np.unique(corners, axis=0, return_inverse=True)
    return checked_geometry(path, points, index.reshape(-1, 3))


def _ascii_stl(path: Path, data: bytes) -> np.ndarray:
    rows = [line.split()[1:] for line in data.splitlines() if line.split()[:1] == [b"vertex"]]
    try:
        corners = np.array(rows, np.float64).reshape(-1, 3)
    except ValueError:
        corners = np.zeros((1, 3))
    if len(corners) % 3 or b"endsolid" not in data[-500:]:
        raise BadInput(
            "ends inside a triangle or before 'endsolid'", path, hint="the file is truncated: copy it again"
        )
    return corners
