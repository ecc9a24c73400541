"""A mesh with a texture: what a GLB holds. And looking a texture up.

Texture coordinates are glTF's: (0, 0) is the outer corner of the first pixel of the first row, v goes down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from suite.errors import BadInput


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """Vertices are doubled along seams. Raises BadInput for arrays that do not fit together."""

    vertices: Float[np.ndarray, "n 3"]
    faces: Int[np.ndarray, "m 3"]
    normals: Float[np.ndarray, "n 3"]
    uv: Float[np.ndarray, "n 2"]
    texture: UInt8[np.ndarray, "h w 3"]

    def __post_init__(self) -> None:
        n = len(self.vertices)
        if not len(self.faces) or self.faces.min() < 0 or self.faces.max() >= n:
            raise BadInput(f"the textured mesh has {len(self.faces)} faces over {n} vertices")
        if len(self.normals) != n or len(self.uv) != n:
            raise BadInput(f"{n} vertices have {len(self.normals)} normals and {len(self.uv)} coordinates")
        if not (np.isfinite(self.vertices).all() and np.isfinite(self.uv).all()):
            raise BadInput("the textured mesh has coordinates that are not finite")


class Taps(NamedTuple):
    """The four texels (numbers row by row) that a bilinear lookup blends, and their weights."""

    texels: Int[np.ndarray, "n 4"]
    weights: Float[np.ndarray, "n 4"]


def taps(uv: Float[np.ndarray, "n 2"], width: int, height: int) -> Taps:
    """Of lookups at `uv` in a texture of this size, whose border goes on outside. int32, float32."""
    x = np.clip(uv[:, 0] * width - 0.5, 0, width - 1).astype(np.float32)
    y = np.clip(uv[:, 1] * height - 0.5, 0, height - 1).astype(np.float32)
    x0, y0 = (
        np.minimum(x.astype(np.int32), max(width - 2, 0)),
        np.minimum(y.astype(np.int32), max(height - 2, 0)),
    )
    a, b = x - x0, y - y0
    right, down = min(1, width - 1), width * min(1, height - 1)
    first = y0 * np.int32(width) + x0
    texels = np.stack([first, first + right, first + down, first + down + right], 1)
    weights = np.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b], 1)
    return Taps(texels.astype(np.int32), weights)


def looked_up(texture: np.ndarray, uv: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n c"]:
    """Bilinear, in the texture's own numbers (float32)."""
    height, width, channels = texture.shape
    found = taps(uv, width, height)
    flat = texture.reshape(-1, channels)
    total = np.zeros((len(uv), channels), np.float32)
    for k in range(4):
        total += found.weights[:, k, None] * flat[found.texels[:, k]]
    return total
