"""A baked model in one file.

    "NRBAKED1"   length of the header (uint32, little-endian)   header (JSON)   streams

A stream is deflated (zlib); the header says of each where it lies and how long it is, packed and not.

    active     a bit a block of 8^3, in the order of (z, y, x); bit i is bit i % 8 of byte i // 8
    kept       64 bytes for each active block: a bit a voxel, in the order of (z, y, x)
    distance   a byte a group of 4^3 cells (voxels.py)
    values     8 planes (code, red, green, blue, 4 features) of a byte a kept voxel, each the difference to
               the voxel before it, modulo 256
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from nerfrecon.bake.options import OpticsOptions
from nerfrecon.bake.render import CHANNELS, Baked, Shader
from nerfrecon.bake.voxels import BLOCK, GROUP, MOST_BLOCKS, from_masks
from suite.errors import BadInput
from suite.files import atomic_write

MAGIC, VERSION, NAME = b"NRBAKED1", 1, "baked.bin"
STREAMS = ("active", "kept", "distance", "values")
LARGEST_RESOLUTION = 1024
LEVEL = 9


def write_baked(path: Path, baked: Baked, notes: dict[str, Any] | None = None) -> int:
    """Write the file, whole or not at all; returns its bytes. `notes` are of whoever wrote it."""
    data = packed(baked, notes)
    with atomic_write(path) as stream:
        stream.write(data)
    return len(data)


def packed(baked: Baked, notes: dict[str, Any] | None = None) -> bytes:
    """The file's bytes."""
    voxels = baked.voxels
    planes = np.diff(baked.values, axis=0, prepend=np.zeros((1, CHANNELS), np.uint8)).T
    arrays = {
        "active": np.packbits((voxels.slot > 0).ravel(), bitorder="little"),
        "kept": np.packbits((voxels.own[1:] > 0).ravel(), bitorder="little"),
        "distance": voxels.distance,
        "values": planes,
    }
    streams, place = {}, 0
    deflated = {name: zlib.compress(np.ascontiguousarray(arrays[name]).tobytes(), LEVEL) for name in STREAMS}
    for name in STREAMS:
        streams[name] = {"at": place, "bytes": len(deflated[name]), "plain": arrays[name].size}
        place += len(deflated[name])
    header = {
        "version": VERSION,
        "resolution": voxels.resolution,
        "blocks": voxels.blocks,
        "voxels": voxels.count,
        "optics": baked.optics.model_dump(mode="json"),
        "shader": [
            {"weight": layer.weight.tolist(), "bias": layer.bias.tolist()} for layer in baked.shader.layers
        ],
        "T_unit_world": np.asarray(baked.T_unit_world, np.float64).tolist(),
        "up": np.asarray(baked.up, np.float64).tolist(),
        "streams": streams,
        "notes": notes or {},
    }
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + b"".join(deflated[name] for name in STREAMS)


def read_baked(path: Path) -> Baked:
    """Read the file. Raises BadInput, one line, for one that is missing, damaged or of another version."""
    header, body = read_header(path)
    try:
        return _unpacked(header, body)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError, zlib.error, ValidationError) as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise BadInput(f"is damaged ({reason})", path, hint="bake it again") from None


def read_header(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header, and the streams as they are. Raises BadInput as `read_baked` does."""
    if not path.is_file():
        raise BadInput("no such file", path, hint=f"name the {NAME} of a baked model")
    data = path.read_bytes()
    if data[: len(MAGIC)] != MAGIC or len(data) < len(MAGIC) + 4:
        raise BadInput("is no baked model", path, hint=f"name the {NAME} of a baked model")
    start = len(MAGIC) + 4
    (length,) = struct.unpack_from("<I", data, len(MAGIC))
    try:
        header = json.loads(data[start : start + length])
        version = header["version"]
    except (ValueError, KeyError, TypeError):
        raise BadInput("is damaged (its header cannot be read)", path, hint="bake it again") from None
    if version != VERSION:
        raise BadInput(f"is of version {version}, this reads {VERSION}", path, hint="bake it again")
    return header, data[start + length :]


def _unpacked(header: dict[str, Any], body: bytes) -> Baked:
    n, blocks, count = (int(header[key]) for key in ("resolution", "blocks", "voxels"))
    if n % BLOCK or not 2 * BLOCK <= n <= LARGEST_RESOLUTION or not 0 <= blocks <= MOST_BLOCKS:
        raise ValueError(f"{n} voxels a side in {blocks} blocks")
    b, g = n // BLOCK, n // GROUP
    active = _bits(_stream(header, body, "active", -(-(b**3) // 8)), b**3).reshape(b, b, b)
    kept = _bits(_stream(header, body, "kept", blocks * 64), blocks * 512)
    if active.sum() != blocks or kept.sum() != count:
        raise ValueError("masks and counts differ")
    own = np.concatenate([np.zeros((1, BLOCK, BLOCK, BLOCK), bool), kept.reshape(-1, BLOCK, BLOCK, BLOCK)])
    distance = _stream(header, body, "distance", g**3).reshape(g, g, g)
    planes = _stream(header, body, "values", CHANNELS * count).reshape(CHANNELS, count)
    values = np.ascontiguousarray(np.cumsum(planes, axis=1, dtype=np.uint8).T)
    shader = Shader()
    for layer, stored in zip(shader.layers, header["shader"], strict=True):
        layer.load_state_dict({name: torch.tensor(stored[name]) for name in ("weight", "bias")})
    T, up = np.array(header["T_unit_world"], np.float64), np.array(header["up"], np.float64)
    if T.shape != (4, 4) or up.shape != (3,):
        raise ValueError("T_unit_world or up has another shape")
    optics = OpticsOptions.model_validate(header["optics"])
    return Baked(from_masks(n, active, own, distance), values, shader.requires_grad_(False), optics, T, up)


def _stream(header: dict[str, Any], body: bytes, name: str, plain: int) -> np.ndarray:
    told = header["streams"][name]
    at, length = int(told["at"]), int(told["bytes"])
    if not 0 <= at <= at + length <= len(body):
        raise ValueError("it is cut short")
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(body[at : at + length], plain + 1)
    if len(data) != plain or not unpacker.eof:
        raise ValueError(f"{name} has another length than it should")
    return np.frombuffer(data, np.uint8)


def _bits(data: np.ndarray, count: int) -> np.ndarray:
    return np.unpackbits(data, count=count, bitorder="little").astype(bool)
