"""Texels between charts: each takes the colour of the nearest chart, so that neither bilinear lookups nor
coarser levels of a mip map see anything else.

Near charts colours are carried on; farther away they are filled from coarser levels (push-pull, S. Gortler
et al., "The lumigraph", 1996), so that the last levels are means of charts only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float


def padded(
    texture: Float[np.ndarray, "h w 3"], known: Bool[np.ndarray, "h w"], carried_px: int = 4
) -> Float[np.ndarray, "h w 3"]:
    """`texture` with all that is not `known` filled (float32); as it is where nothing is known."""
    from scipy.ndimage import distance_transform_edt

    if known.all() or not known.any():
        return texture.astype(np.float32)
    found: Any = distance_transform_edt(~known, return_indices=True)
    far, nearest = found
    filled = pushed_and_pulled(texture, known)
    near = ~known & (far <= carried_px + 0.5)
    rows, columns = nearest[0][near], nearest[1][near]
    filled[near] = texture[rows, columns]
    return filled


def pushed_and_pulled(
    texture: Float[np.ndarray, "h w 3"], known: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w 3"]:
    """Unknown texels from the finest level of means of known ones that reaches them."""
    import cv2

    h, w = known.shape
    weight = known.astype(np.float32)[..., None]
    colour = np.where(weight > 0, texture, 0).astype(np.float32)
    if known.all() or min(h, w) < 2:
        mean = colour.sum((0, 1)) / max(float(weight.sum()), 1.0)
        return np.where(weight > 0, colour, mean).astype(np.float32)
    even = ((0, h % 2), (0, w % 2), (0, 0))
    total = _halved(np.pad(colour * weight, even))
    count = _halved(np.pad(weight, even))
    coarse = pushed_and_pulled(total / np.maximum(count, 1e-9), count[..., 0] > 0)
    size = (coarse.shape[1] * 2, coarse.shape[0] * 2)
    finer = np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR))[:h, :w]
    return np.where(weight > 0, colour, finer).astype(np.float32)


def _halved(values: np.ndarray) -> np.ndarray:
    h, w, c = values.shape
    return values.reshape(h // 2, 2, w // 2, 2, c).sum((1, 3))
