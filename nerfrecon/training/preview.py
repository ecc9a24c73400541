"""A view as people look at it: the picture, what is rendered, and its depth, side by side."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from nerfrecon.evaluate import Judged


def side_by_side(judged: Judged) -> UInt8[np.ndarray, "h w 3"]:
    """The picture, what is rendered, the depth (near is bright, empty is black)."""
    parts = [judged.wanted, eight_bits(judged.rendered.rgb)]
    parts.append(np.repeat(depth_picture(judged.rendered.depth, judged.rendered.opacity)[..., None], 3, 2))
    return np.concatenate(parts, axis=1)


def eight_bits(rgb: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colours in [0, 1] as bytes."""
    return (rgb.clip(0, 1) * 255).round().astype(np.uint8)


def depth_picture(
    depth: Float[np.ndarray, "h w"], opacity: Float[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w"]:
    """Depth as grey between the nearest and furthest percent of what is opaque, shaded by opacity."""
    solid = opacity > 0.5
    if not solid.any():
        return np.zeros(depth.shape, np.uint8)
    near, far = np.percentile(depth[solid], [1, 99])
    bright = 1 - 0.85 * ((depth - near) / max(float(far - near), 1e-6)).clip(0, 1)
    return (255 * bright * opacity.clip(0, 1)).round().astype(np.uint8)
