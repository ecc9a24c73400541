"""Depth between the pixels, and depth in blocks of pixels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from suite.geometry.camera import PinholeCamera


def depth_at(
    depth: Float[np.ndarray, "h w"], pixels: Float[np.ndarray, "*n 2"], jump: float | None = None
) -> Float[np.ndarray, "*n"]:
    """Bilinear depth at pixel positions (u, v).

    NaN beyond the image, where one of the four pixels has no depth, or where they lie more than `jump` apart:
    nothing is interpolated across an edge.
    """
    h, w = depth.shape
    u, v = np.nan_to_num(pixels[..., 0], nan=-2.0), np.nan_to_num(pixels[..., 1], nan=-2.0)
    column, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    inside = (column >= 0) & (column < w - 1) & (row >= 0) & (row < h - 1)
    index = np.where(inside, row * w + column, 0)
    flat = depth.ravel()
    a, b, c, d = flat[index], flat[index + 1], flat[index + w], flat[index + w + 1]
    right, down = u - column, v - row
    top = a + (b - a) * right
    value = top + (c + (d - c) * right - top) * down
    if jump is not None:
        inside &= np.maximum(np.maximum(a, b), np.maximum(c, d)) <= jump + np.minimum(
            np.minimum(a, b), np.minimum(c, d)
        )
    return np.where(inside, value, np.nan)


def in_blocks(depth: Float[np.ndarray, "h w"], size_px: int, least: float = 0.75) -> Float[np.ndarray, "H W"]:
    """The mean depth of every block of size_px x size_px pixels; NaN where fewer than `least` of them have
    depth."""
    H, W = depth.shape[0] // size_px, depth.shape[1] // size_px
    blocks = depth[: H * size_px, : W * size_px].reshape(H, size_px, W, size_px)
    seen = np.isfinite(blocks)
    count = seen.sum((1, 3))
    total = np.where(seen, blocks, 0).sum((1, 3), dtype=np.float64)
    return np.where(count >= max(least * size_px**2, 1), total / np.maximum(count, 1), np.nan)


def block_camera(camera: PinholeCamera, size_px: int) -> PinholeCamera:
    """The camera of an image of `in_blocks`."""
    return PinholeCamera(
        camera.width // size_px,
        camera.height // size_px,
        camera.fx / size_px,
        camera.fy / size_px,
        (camera.cx + 0.5) / size_px - 0.5,
        (camera.cy + 0.5) / size_px - 0.5,
    )


def spread_out(blocks: Bool[np.ndarray, "H W"], size_px: int, h: int, w: int) -> Bool[np.ndarray, "h w"]:
    """Blocks back to pixels; False beyond the last whole block."""
    out = np.zeros((h, w), bool)
    whole = np.repeat(np.repeat(blocks, size_px, 0), size_px, 1)
    out[: whole.shape[0], : whole.shape[1]] = whole
    return out
