"""glTF 2.0 (Khronos): binary scenes of named, coloured meshes, in metres with y up.

glTF keeps colours in linear light, `Mesh` in sRGB; both functions convert.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suite.errors import BackendUnavailable, BadInput
from suite.files import atomic_write
from suite.geometry.checked import checked_geometry
from suite.geometry.mesh import Mesh, PointCloud

_FLOAT, _UINT32, _UINT16 = 5126, 5125, 5123
_VERTEX_TARGET, _INDEX_TARGET = 34962, 34963
_PLAIN_SRGB = (190, 190, 190)  # of a mesh without colours


def write_glb(
    path: str | Path,
    meshes: Sequence[Mesh],
    metres_per_unit: float = 1.0,
    opacity: Sequence[float] | None = None,
) -> None:
    """One node for each mesh, under its name, with normals and a double-sided matt material. Atomic.

    The meshes' y axis must point up. `metres_per_unit` is 0.001 for meshes in mm; `opacity` in [0, 1] is
    given per mesh. Raises BadInput for a mesh without faces.
    """
    opacity = [1.0] * len(meshes) if opacity is None else opacity
    if len(opacity) != len(meshes):
        raise BadInput(f"{len(opacity)} opacities for {len(meshes)} meshes", path)
    scene = _Scene()
    for i, (mesh, alpha) in enumerate(zip(meshes, opacity, strict=True)):
        name = mesh.name or f"mesh_{i}"
        if not len(mesh.faces):
            raise BadInput(f"mesh {name!r} has no faces", path)
        scene.add(name, mesh, metres_per_unit, alpha)
    text = json.dumps(scene.tree(), separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(scene.blobs)
    with atomic_write(Path(path)) as out:
        out.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary)))
        out.write(struct.pack("<I4s", len(text), b"JSON") + text)
        out.write(struct.pack("<I4s", len(binary), b"BIN\0") + binary)


def read_glb(path: Path) -> Mesh | PointCloud:
    """All nodes of a .glb or .gltf in the scene's frame, as one geometry. Raises BadInput (see mesh_io)."""
    try:
        import trimesh
    except ImportError as error:
        raise BackendUnavailable("trimesh", str(error), hint="pip install trimesh") from None
    if path.suffix.lower() == ".glb":
        _check_container(path)
    try:
        scene = trimesh.load_scene(path, process=False)
        order = list(scene.geometry)  # as in the file; the graph has none
        nodes = sorted(
            (scene.graph[node] for node in scene.graph.nodes_geometry), key=lambda n: order.index(n[1])
        )
    except Exception as error:  # whatever a damaged tree makes the library raise
        reason = str(error) or type(error).__name__
        raise BadInput(f"is not a readable glTF scene ({reason})", path, hint="export it again") from None
    points, faces, colors, n = [], [], [], 0
    for T, name in nodes:
        part: Any = scene.geometry[name]
        vertices = np.asarray(part.vertices, np.float64)
        points.append(vertices @ T[:3, :3].T + T[:3, 3])
        if hasattr(part, "faces"):
            turn = -1 if np.linalg.det(T[:3, :3]) < 0 else 1
            faces.append(np.asarray(part.faces, np.int64)[:, ::turn] + n)
        colors.append(_part_colors(part, len(vertices)))
        n += len(vertices)
    colored = bool(colors) and all(c is not None for c in colors)
    return checked_geometry(
        path,
        np.concatenate(points) if points else np.zeros((0, 3)),
        np.concatenate(faces) if faces else None,
        np.concatenate(colors) if colored else None,
    )


class _Scene:
    """The lists of a glTF tree and the bytes they point into."""

    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self.lists: dict[str, list[dict]] = {
            k: [] for k in ("nodes", "meshes", "materials", "accessors", "bufferViews")
        }

    def add(self, name: str, mesh: Mesh, metres_per_unit: float, alpha: float) -> None:
        vertices = (mesh.vertices * metres_per_unit).astype("<f4")
        normals = mesh.vertex_normals().astype("<f4")
        normals[~normals.any(axis=1)] = (0, 0, 1)  # glTF allows unit normals only
        position = self._accessor(vertices, _FLOAT, "VEC3", _VERTEX_TARGET)
        self.lists["accessors"][position] |= {
            "min": vertices.min(0).tolist(),
            "max": vertices.max(0).tolist(),
        }
        attributes = {"POSITION": position, "NORMAL": self._accessor(normals, _FLOAT, "VEC3", _VERTEX_TARGET)}
        base = (1.0, 1.0, 1.0)
        if mesh.vertex_colors is None:
            base = tuple(_linear(np.array(_PLAIN_SRGB)).tolist())
        else:
            rgba = np.ones((len(vertices), 4))
            rgba[:, :3] = _linear(mesh.vertex_colors)
            linear = np.round(rgba * 65535).astype("<u2")  # eight bits of linear light would band in the dark
            attributes["COLOR_0"] = self._accessor(linear, _UINT16, "VEC4", _VERTEX_TARGET, normalized=True)
        material = {
            "pbrMetallicRoughness": {
                "baseColorFactor": [*base, float(alpha)],
                "metallicFactor": 0.0,
                "roughnessFactor": 0.8,
            },
            "alphaMode": "BLEND" if alpha < 1 else "OPAQUE",
            "doubleSided": True,
        }
        indices = self._accessor(mesh.faces.astype("<u4").ravel(), _UINT32, "SCALAR", _INDEX_TARGET)
        primitive = {"attributes": attributes, "indices": indices, "material": len(self.lists["materials"])}
        self.lists["nodes"].append({"name": name, "mesh": len(self.lists["meshes"])})
        self.lists["meshes"].append({"name": name, "primitives": [primitive]})
        self.lists["materials"].append({"name": name, **material})

    def tree(self) -> dict:
        return {
            "asset": {"version": "2.0", "generator": "vision-suite"},
            "scene": 0,
            "scenes": [{"nodes": list(range(len(self.lists["nodes"])))}],
            "buffers": [{"byteLength": sum(map(len, self.blobs))}],
            **self.lists,
        }

    def _accessor(self, values: np.ndarray, component: int, kind: str, target: int, **more: bool) -> int:
        offset = sum(map(len, self.blobs))
        self.blobs.append(values.tobytes())  # every row is a multiple of four bytes, as glTF asks
        view = {"buffer": 0, "byteOffset": offset, "byteLength": values.nbytes, "target": target}
        self.lists["bufferViews"].append(view)
        accessor = {
            "bufferView": len(self.lists["bufferViews"]) - 1,
            "componentType": component,
            "type": kind,
        }
        self.lists["accessors"].append({**accessor, "count": len(values), **more})
        return len(self.lists["accessors"]) - 1


def _check_container(path: Path) -> None:
    with path.open("rb") as stream:
        head = stream.read(12)
    if len(head) < 12 or head[:4] != b"glTF":
        raise BadInput("is not a GLB file: it does not begin with 'glTF'", path)
    length = struct.unpack("<I", head[8:])[0]
    if path.stat().st_size < length:
        what = f"holds {path.stat().st_size} of {length} bytes"
        raise BadInput(what, path, hint="the file is truncated: copy it again")


def _part_colors(part: Any, n: int) -> np.ndarray | None:
    """sRGB colours of one mesh: its texture, or vertex colours times base colour; None without either."""
    visual = getattr(part, "visual", None)
    material = getattr(visual, "material", None)
    if getattr(material, "baseColorTexture", None) is not None and getattr(visual, "uv", None) is not None:
        return np.asarray(visual.to_color().vertex_colors)[:, :3]  # type: ignore[union-attr]
    own = getattr(visual, "vertex_attributes", {}).get("color")
    if own is None and material is None:
        defined = getattr(visual, "kind", None) == "vertex" or getattr(part, "colors", None) is not None
        source = visual if getattr(visual, "kind", None) == "vertex" else part
        own = getattr(source, "vertex_colors", getattr(part, "colors", None)) if defined else None
    factor = getattr(material, "baseColorFactor", None)
    if own is None and factor is None:
        return None
    linear = np.ones((n, 3))
    for values in (own, factor):
        if values is not None:
            values = np.asarray(values)
            scale = 1.0 if values.dtype.kind == "f" else float(np.iinfo(values.dtype).max)
            linear = linear * values[..., :3] / scale
    return _srgb(linear) if linear.shape == (n, 3) else None


def _linear(srgb: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] of sRGB bytes (IEC 61966-2-1)."""
    s = np.asarray(srgb, np.float64) / 255.0
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def _srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB bytes of linear light."""
    v = np.clip(linear, 0.0, 1.0)
    s = np.where(v <= 0.0031308, v * 12.92, 1.055 * v ** (1 / 2.4) - 0.055)
    return np.round(s * 255).astype(np.uint8)
