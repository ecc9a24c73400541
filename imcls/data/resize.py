"""Change of size with antialiasing, on 8-bit RGB as it lies in memory."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import UInt8


def resize_into(images: UInt8[np.ndarray, "n h w 3"], out: UInt8[np.ndarray, "n H W 3"]) -> None:
    """Bilinear with antialiasing (a triangle as wide as the step), written into ``out``."""
    if images.shape == out.shape:
        out[:] = images
        return
    # The operator behind torch.nn.functional.interpolate, which alone can write rows of RGB pixels: through
    # interpolate the result would be split into planes and joined again, at the price of the resize itself.
    torch.ops.aten._upsample_bilinear2d_aa.out(
        _planes(np.ascontiguousarray(images)),
        out.shape[1:3],
        False,
        None,
        None,
        out=_planes(out),
    )


def resized(
    rgb: UInt8[np.ndarray, "h w 3"], height_px: int, width_px: int
) -> UInt8[np.ndarray, "{height_px} {width_px} 3"]:
    """One image at another size."""
    out = np.empty((height_px, width_px, 3), np.uint8)
    resize_into(rgb[None], out[None])
    return out


def size_with_short_side(height_px: int, width_px: int, short_px: int) -> tuple[int, int]:
    """Height and width of the same shape whose shorter side is ``short_px``."""
    scale = short_px / min(height_px, width_px)
    return max(short_px, round(height_px * scale)), max(short_px, round(width_px * scale))


def _planes(images: np.ndarray) -> torch.Tensor:
    if not images.flags.writeable:  # torch has no read-only tensors; a copy of a batch costs little
        images = images.copy()
    return torch.from_numpy(images).permute(0, 3, 1, 2)
