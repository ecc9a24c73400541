"""PCD files (Point Cloud Library), read by Open3D once their header has been held against the file's size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from suite.errors import BackendUnavailable, BadInput
from suite.geometry.checked import checked_geometry
from suite.geometry.mesh import Mesh, PointCloud

_HEADER_LINES = 100


def read_pcd(path: Path) -> Mesh | PointCloud:
    """Point cloud in the file's own unit. Raises BadInput (see mesh_io)."""
    expected = _check_header(path)
    try:
        import open3d as o3d
    except ImportError as error:
        raise BackendUnavailable("open3d", str(error), hint="pip install open3d") from None
    with o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error):
        cloud = o3d.io.read_point_cloud(
            path, format="pcd", remove_nan_points=False, remove_infinite_points=False
        )
    points = np.asarray(cloud.points)
    if len(points) != expected:
        raise BadInput(
            f"gives {len(points)} of {expected} points",
            path,
            hint="the file is damaged or truncated: copy it again",
        )
    return checked_geometry(
        path,
        points,
        colors=np.asarray(cloud.colors) if cloud.has_colors() else None,
        normals=np.asarray(cloud.normals) if cloud.has_normals() else None,
    )


def _check_header(path: Path) -> int:
    """The number of points, after a look at whether the file can hold them."""
    header: dict[str, list[str]] = {}
    with path.open("rb") as stream:
        for _ in range(_HEADER_LINES):
            words = stream.readline(65536).decode("ascii", "replace").split()
            if words and not words[0].startswith("#"):
                header[words[0].upper()] = words[1:]
            if "DATA" in header:
                break
        start = stream.tell()
        body = stream.read() if header.get("DATA") == ["ascii"] else b""
    try:
        data, points, fields = header["DATA"][0], int(header["POINTS"][0]), header["FIELDS"]
        counts = header.get("COUNT", ["1"] * len(fields))
        row = sum(int(s) * int(c) for s, c in zip(header["SIZE"], counts, strict=True))
        if data not in ("ascii", "binary", "binary_compressed"):
            raise ValueError
    except (KeyError, IndexError, ValueError):
        raise BadInput(
            "is not a readable PCD file: its header is damaged", path, hint="export it again"
        ) from None
    if missing := [k for k in "xyz" if k not in fields]:
        raise BadInput(f"has no field {', '.join(missing)}", path, hint="export the points with x, y and z")
    if not points:
        raise BadInput("holds no points", path, hint="export the scan again")
    held = path.stat().st_size - start
    if data == "ascii":
        lines = sum(1 for line in body.split(b"\n") if line.strip())
        if lines < points:
            raise _truncated(path, lines, points)
    elif data == "binary" and held < points * row:
        raise _truncated(path, held // row, points)
    elif data == "binary_compressed":
        with path.open("rb") as stream:
            stream.seek(start)
            sizes = stream.read(8)
        if held < 8 or held - 8 < int.from_bytes(sizes[:4], "little"):
            raise BadInput(
                "ends inside its compressed data", path, hint="the file is truncated: copy it again"
            )
    return points


def _truncated(path: Path, held: int, points: int) -> BadInput:
    return BadInput(
        f"ends after {held} of {points} points", path, hint="the file is truncated: copy it again"
    )
