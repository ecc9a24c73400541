"""PLY files (G. Turk, 1994): ascii and binary of both byte orders; meshes and point clouds.

Read here and not by a library because a truncated scan must be refused: every element's count is held
against the bytes that are there before anything is built of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from suite.errors import BadInput
from suite.files import atomic_write
from suite.geometry.checked import checked_geometry, fan
from suite.geometry.mesh import Mesh, PointCloud

_TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
}
_CORNERS = ("vertex_indices", "vertex_index")  # the only lists that are kept
_BYTE_ORDER = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_HEADER_LINES = 10_000
_EVEN_CORNERS = 1000  # longest list that is read as a column


@dataclass
class _Element:
    name: str
    count: int
    scalars: dict[str, str] = field(default_factory=dict)  # name -> numpy type
    lists: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> types of count and items
    order: list[str] = field(default_factory=list)


def read_ply(path: Path) -> Mesh | PointCloud:
    """Mesh or point cloud in the file's own unit; polygons become fans. Raises BadInput (see mesh_io)."""
    with path.open("rb") as stream:
        byte_order, elements = _read_header(path, stream)
        if byte_order:
            columns = _read_binary(path, stream, byte_order, elements)
        else:
            columns = _read_ascii(path, stream, elements)
    if not any(e.name == "vertex" and e.count for e in elements):
        raise BadInput("holds no points", path, hint="export the scan again")
    vertex = columns.get("vertex", {})
    if missing := [k for k in "xyz" if k not in vertex]:
        raise BadInput(f"has no vertex {', '.join(missing)}", path, hint="export the points with x, y and z")
    face = columns.get("face", {})
    faces = next((face[n] for n in _CORNERS if n in face), None)
    if faces is None and any(e.name == "tristrips" for e in elements):
        raise BadInput("stores triangle strips, which are not read", path, hint="export plain triangles")
    return checked_geometry(
        path,
        np.stack([vertex[k] for k in "xyz"], axis=1).astype(np.float64),
        faces,
        _three(
            vertex,
            ("red", "green", "blue"),
            ("diffuse_red", "diffuse_green", "diffuse_blue"),
            ("r", "g", "b"),
        ),
        _three(vertex, ("nx", "ny", "nz")),
    )


def write_ply(path: str | Path, geometry: Mesh | PointCloud) -> None:
    """Binary little-endian PLY with doubles, so that reading it back gives the same numbers. Atomic."""
    mesh = geometry if isinstance(geometry, Mesh) else None
    if isinstance(geometry, Mesh):
        points, colors, normals = geometry.vertices, geometry.vertex_colors, None
    elif isinstance(geometry, PointCloud):
        points, colors, normals = geometry.points, geometry.colors, geometry.normals
    else:
        raise TypeError(f"neither a Mesh nor a PointCloud: {type(geometry).__name__}")

    columns: list[tuple[str, str, np.ndarray]] = [(n, "<f8", points[:, k]) for k, n in enumerate("xyz")]
    if normals is not None:
        columns += [(n, "<f8", normals[:, k]) for k, n in enumerate(("nx", "ny", "nz"))]
    if colors is not None:
        columns += [(n, "u1", colors[:, k]) for k, n in enumerate(("red", "green", "blue"))]
    rows = np.empty(len(points), [(n, t) for n, t, _ in columns])
    for name, _, values in columns:
        rows[name] = values
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    header += [f"property {'uchar' if t == 'u1' else 'double'} {n}" for n, t, _ in columns]
    faces = np.empty(0)
    if mesh is not None:
        faces = np.empty(len(mesh.faces), [("n", "u1"), ("v", "<i4", 3)])
        faces["n"], faces["v"] = 3, mesh.faces
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    with atomic_write(Path(path)) as out:
        out.write(("\n".join([*header, "end_header"]) + "\n").encode())
        out.write(rows.tobytes())
        out.write(faces.tobytes())


def _read_header(path: Path, stream: BinaryIO) -> tuple[str, list[_Element]]:
    if stream.readline(16).strip() != b"ply":
        raise BadInput("is not a PLY file: its first line is not 'ply'", path)
    byte_order: str | None = None
    elements: list[_Element] = []
    for number in range(2, _HEADER_LINES):
        raw = stream.readline(65536)
        words = raw.decode("ascii", "replace").split()
        if not raw:
            raise BadInput("ends inside its header", path, hint="the file is truncated: copy it again")
        if not words or words[0] in ("comment", "obj_info"):
            continue
        try:
            if words == ["end_header"]:
                break
            if words[0] == "format":
                byte_order = _BYTE_ORDER[words[1]]
            elif words[0] == "element":
                elements.append(_Element(words[1], int(words[2])))
                if elements[-1].count < 0:
                    raise ValueError
            elif words[0] == "property" and words[1] == "list":
                elements[-1].lists[words[4]] = (_TYPES[words[2]], _TYPES[words[3]])
                elements[-1].order.append(words[4])
            elif words[0] == "property":
                elements[-1].scalars[words[2]] = _TYPES[words[1]]
                elements[-1].order.append(words[2])
            else:
                raise ValueError
        except (KeyError, IndexError, ValueError):
            line = " ".join(words)[:60]
            raise BadInput(f"header line not understood: {line!r}", f"{path}:{number}") from None
    if byte_order is None:
        raise BadInput("header names no format", path, hint="the file is damaged: export it again")
    return byte_order, elements


def _read_binary(
    path: Path, stream: BinaryIO, byte_order: str, elements: list[_Element]
) -> dict[str, dict[str, np.ndarray]]:
    start = stream.tell()
    size = path.stat().st_size - start
    data = np.memmap(path, np.uint8, "r", offset=start, shape=(size,)) if size else np.empty(0, np.uint8)
    columns = {}
    for element in elements:
        used, columns[element.name] = _binary_element(path, data, byte_order, element)
        data = data[used:]
    return columns


def _binary_element(
    path: Path, data: np.ndarray, byte_order: str, element: _Element
) -> tuple[int, dict[str, np.ndarray]]:
    """Bytes used, and one array per scalar property; of polygons, the triangles of their fans."""
    if not element.count or not element.order:
        return 0, {}
    lengths = _first_lengths(data, byte_order, element)
    if max(lengths.values(), default=0) > _EVEN_CORNERS:
        return _ragged_element(path, data, byte_order, element)
    fields: list[tuple] = []
    for name in element.order:
        if name in element.scalars:
            fields.append((name, byte_order + element.scalars[name]))
        else:
            count, item = element.lists[name]
            fields += [(f"#{name}", byte_order + count), (name, byte_order + item, (lengths[name],))]
    dtype = np.dtype(fields)
    whole = min(element.count, len(data) // dtype.itemsize)
    rows = data[: whole * dtype.itemsize].view(dtype)
    if element.lists and (
        whole < element.count or any((rows[f"#{n}"] != k).any() for n, k in lengths.items())
    ):
        return _ragged_element(path, data, byte_order, element)
    if whole < element.count:
        raise _truncated(path, element, whole)
    found = {n: np.array(rows[n]) for n in element.scalars}
    for n in set(_CORNERS) & set(lengths):
        triangles = [rows[n][:, [0, k, k + 1]] for k in range(1, lengths[n] - 1)] or [np.zeros((0, 3))]
        found[n] = np.stack(triangles, axis=1).reshape(-1, 3).astype(np.int64)
    return whole * dtype.itemsize, found


def _first_lengths(data: np.ndarray, byte_order: str, element: _Element) -> dict[str, int]:
    at, lengths = 0, {}
    for name in element.order:
        if name in element.scalars:
            at += np.dtype(element.scalars[name]).itemsize
            continue
        count, item = (np.dtype(byte_order + t) for t in element.lists[name])
        head = data[at : at + count.itemsize]
        lengths[name] = max(0, int(head.view(count)[0])) if len(head) == count.itemsize else 0
        at += count.itemsize + lengths[name] * item.itemsize
    return lengths


def _ragged_element(
    path: Path, data: np.ndarray, byte_order: str, element: _Element
) -> tuple[int, dict[str, np.ndarray]]:
    """Row by row: polygons of different sizes."""
    raw = data.tobytes()
    at = 0
    scalars: dict[str, list] = {n: [] for n in element.scalars}
    lists: dict[str, list] = {n: [] for n in element.lists}
    kinds = {n: np.dtype(byte_order + t) for n, t in element.scalars.items()}
    list_kinds = {n: tuple(np.dtype(byte_order + t) for t in ts) for n, ts in element.lists.items()}
    for row in range(element.count):
        try:
            for name in element.order:
                if name in kinds:
                    scalars[name].append(np.frombuffer(raw, kinds[name], 1, at)[0])
                    at += kinds[name].itemsize
                else:
                    count, item = list_kinds[name]
                    n = int(np.frombuffer(raw, count, 1, at)[0])
                    lists[name].append(
                        np.frombuffer(raw, item, n, at + count.itemsize).tolist() if n > 0 else []
                    )
                    at += count.itemsize + max(n, 0) * item.itemsize
        except ValueError:  # the buffer ends first
            raise _truncated(path, element, row) from None
    return at, _arrays(scalars, lists)


def _read_ascii(path: Path, stream: BinaryIO, elements: list[_Element]) -> dict[str, dict[str, np.ndarray]]:
    lines = (line for line in stream if not line.isspace())
    columns: dict[str, dict[str, np.ndarray]] = {}
    for element in elements:
        rows = list(islice(lines, element.count))
        if len(rows) < element.count:
            raise _truncated(path, element, len(rows))
        if not rows or not element.order:
            continue
        try:
            columns[element.name] = _ascii_columns(rows, element)
        except (ValueError, IndexError) as error:
            raise BadInput(
                f"{element.name} rows not understood: {error}", path, hint="export it again"
            ) from None
    return columns


def _ascii_columns(rows: list[bytes], element: _Element) -> dict[str, np.ndarray]:
    if not element.lists:
        table = np.array(b" ".join(rows).split(), np.float64)
        if table.size != len(rows) * len(element.order):
            raise ValueError(f"{table.size} numbers in {len(rows)} rows of {len(element.order)}")
        table = table.reshape(len(rows), -1)
        return {n: table[:, k].astype(element.scalars[n]) for k, n in enumerate(element.order)}
    scalars: dict[str, list] = {n: [] for n in element.scalars}
    lists: dict[str, list] = {n: [] for n in element.lists}
    for words in map(bytes.split, rows):
        at = 0
        for name in element.order:
            if name in scalars:
                scalars[name].append(float(words[at]))
                at += 1
            else:
                n = int(words[at])
                if n < 0 or at + 1 + n > len(words):
                    raise ValueError(f"a row ends before its {n} items")
                lists[name].append([int(float(w)) for w in words[at + 1 : at + 1 + n]])
                at += 1 + n
    return _arrays(scalars, lists)


def _arrays(scalars: dict[str, list], lists: dict[str, list]) -> dict[str, np.ndarray]:
    columns = {n: np.array(v) for n, v in scalars.items()}
    return columns | {n: fan(lists[n]) for n in _CORNERS if n in lists}


def _truncated(path: Path, element: _Element, whole: int) -> BadInput:
    what = f"ends after {whole} of {element.count} rows of {element.name!r}"
    return BadInput(what, path, hint="the file is truncated: copy it again")


def _three(columns: dict[str, np.ndarray], *names: tuple[str, str, str]) -> np.ndarray | None:
    for triple in names:
        if all(n in columns for n in triple):
            return np.stack([columns[n] for n in triple], axis=1)
    return None
