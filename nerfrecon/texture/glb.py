"""A textured mesh as one GLB (glTF 2.0, Khronos) that needs no other file, and back.

The texture holds light as the photographs caught it, so the material is unlit (KHR_materials_unlit): viewers
show the photographs' colours. One that does not know the extension falls back to a matt surface of the same
colours (metallic 0, roughness 1), lit by its own lamps. Coordinates are metres with y up wherever the mesh's
are: nothing is turned or scaled here.
"""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nerfrecon.texture.textured import TexturedMesh
from suite.errors import BadInput
from suite.files import atomic_write

_FLOAT, _UINT32, _UINT16, _UINT8 = 5126, 5125, 5123, 5121
_VERTICES, _INDICES = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP = 9729, 9987, 33071
_TYPES = {_FLOAT: "<f4", _UINT32: "<u4", _UINT16: "<u2", _UINT8: "<u1"}
_UNLIT = "KHR_materials_unlit"


def write_textured_glb(
    path: str | Path,
    mesh: TexturedMesh,
    *,
    image: Literal["jpeg", "png"] = "jpeg",
    quality: int = 93,
    material: Literal["unlit", "matt"] = "unlit",
    name: str = "object",
) -> None:
    """Write the file, whole or not at all."""
    vertices = mesh.vertices.astype("<f4")
    normals = _unit(mesh.normals).astype("<f4")
    indices = mesh.faces.astype("<u2" if len(vertices) <= 65535 else "<u4").ravel()
    parts = [vertices.tobytes(), normals.tobytes(), mesh.uv.astype("<f4").tobytes(), indices.tobytes()]
    parts.append(_encoded(mesh.texture, image, quality))
    views, binary = [], b""
    for data, target in zip(parts, (_VERTICES, _VERTICES, _VERTICES, _INDICES, None), strict=True):
        view = {"buffer": 0, "byteOffset": len(binary), "byteLength": len(data)}
        views.append(view if target is None else {**view, "target": target})
        binary += data + b"\0" * (-len(data) % 4)
    looks: dict[str, Any] = {
        "name": name,
        "pbrMetallicRoughness": {
            "baseColorTexture": {"index": 0},
            "metallicFactor": 0.0,
            "roughnessFactor": 1.0,
        },
    }
    if material == "unlit":
        looks["extensions"] = {_UNLIT: {}}
    corners = {"min": vertices.min(0).tolist(), "max": vertices.max(0).tolist()}
    n, index_type = len(vertices), _UINT16 if indices.dtype == "<u2" else _UINT32
    tree = {
        "asset": {"version": "2.0", "generator": "vision-suite nerfrecon"},
        **({"extensionsUsed": [_UNLIT]} if material == "unlit" else {}),
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0}],
        "meshes": [
            {
                "name": name,
                "primitives": [
                    {
                        "attributes": {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2},
                        "indices": 3,
                        "material": 0,
                    }
                ],
            }
        ],
        "materials": [looks],
        "textures": [{"sampler": 0, "source": 0}],
        "samplers": [
            {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": _CLAMP, "wrapT": _CLAMP}
        ],
        "images": [{"bufferView": 4, "mimeType": f"image/{image}"}],
        "accessors": [
            {"bufferView": 0, "componentType": _FLOAT, "type": "VEC3", "count": n, **corners},
            {"bufferView": 1, "componentType": _FLOAT, "type": "VEC3", "count": n},
            {"bufferView": 2, "componentType": _FLOAT, "type": "VEC2", "count": n},
            {"bufferView": 3, "componentType": index_type, "type": "SCALAR", "count": len(indices)},
        ],
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    with atomic_write(Path(path)) as out:
        out.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary)))
        out.write(struct.pack("<I4s", len(text), b"JSON") + text)
        out.write(struct.pack("<I4s", len(binary), b"BIN\0") + binary)


def read_textured_glb(path: str | Path) -> TexturedMesh:
    """The first mesh of a GLB with one embedded texture, in its node's frame as `write_textured_glb` lays it.

    Raises BadInput for what is missing, damaged, or has no texture.
    """
    path = Path(path)
    tree, binary = _chunks(path)
    try:
        if any({"matrix", "translation", "rotation", "scale"} & set(node) for node in tree["nodes"]):
            raise BadInput("places its mesh by a node's transform", path, hint="apply it, and export again")
        (primitive,) = tree["meshes"][0]["primitives"]
        attributes = primitive["attributes"]
        arrays = [_array(tree, binary, attributes[key]) for key in ("POSITION", "NORMAL", "TEXCOORD_0")]
        faces = _array(tree, binary, primitive["indices"]).astype(np.int64).reshape(-1, 3)
        looks = tree["materials"][primitive["material"]]["pbrMetallicRoughness"]["baseColorTexture"]
        source = tree["images"][tree["textures"][looks["index"]]["source"]]
        texture = _decoded(_bytes(tree, binary, source["bufferView"]))
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:80]
        hint = "name a model.glb that nerfrecon wrote"
        raise BadInput(f"is no GLB of one mesh with one embedded texture ({reason})", path, hint) from None
    vertices, normals, uv = (array.astype(np.float64) for array in arrays)
    return TexturedMesh(vertices, faces, normals, uv, texture)


def _chunks(path: Path) -> tuple[dict[str, Any], bytes]:
    if not path.is_file():
        raise BadInput("no such file", path, hint="name a .glb")
    data = path.read_bytes()
    if len(data) < 20 or data[:4] != b"glTF":
        raise BadInput("is not a GLB file: it does not begin with 'glTF'", path)
    _, version, length = struct.unpack("<4sII", data[:12])
    if version != 2 or len(data) < length:
        what = f"is of version {version}" if version != 2 else f"holds {len(data)} of {length} bytes"
        raise BadInput(what, path, hint="the file is truncated or too old: export it again")
    size = struct.unpack("<I", data[12:16])[0]
    try:
        tree = json.loads(data[20 : 20 + size])
    except ValueError:
        raise BadInput("holds no glTF tree that can be read", path, hint="export it again") from None
    return tree, data[20 + size + 8 :]


def _bytes(tree: dict[str, Any], binary: bytes, number: int) -> bytes:
    view = tree["bufferViews"][number]
    start = view.get("byteOffset", 0)
    found = binary[start : start + view["byteLength"]]
    if len(found) < view["byteLength"]:
        raise ValueError("a buffer view goes beyond the file")
    return found


def _array(tree: dict[str, Any], binary: bytes, number: int) -> np.ndarray:
    accessor = tree["accessors"][number]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
    data = _bytes(tree, binary, accessor["bufferView"])[accessor.get("byteOffset", 0) :]
    flat = np.frombuffer(data, _TYPES[accessor["componentType"]], accessor["count"] * width)
    return flat.reshape(-1, width) if width > 1 else flat


def _encoded(texture: np.ndarray, image: str, quality: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    if image == "jpeg":
        # Colours at full resolution: at half, charts would bleed into each other.
        Image.fromarray(texture).save(out, "JPEG", quality=quality, subsampling=0, optimize=True)
    else:
        Image.fromarray(texture).save(out, "PNG", optimize=False)
    return out.getvalue()


def _decoded(data: bytes) -> np.ndarray:
    from PIL import Image

    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def _unit(normals: np.ndarray) -> np.ndarray:
    """glTF allows unit normals only."""
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-9, normals / np.maximum(length, 1e-9), [0.0, 0.0, 1.0])
