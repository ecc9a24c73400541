"""People made unrecognisable: their place and posture stay, faces and clothes go."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

_CELLS = 8  # across a box's shorter side: a lying person is still a lying shape, a face is a cell or two


def blurred(
    rgb: UInt8[np.ndarray, "h w 3"], boxes_px: Float[np.ndarray, "n 4"], grow: float = 0.15
) -> UInt8[np.ndarray, "h w 3"]:
    """A copy in which each box, ``grow`` of its size larger on every side, holds no more than a few means.

    Each is averaged over cells of an eighth of its shorter side; what is smaller than a cell cannot be
    brought back, because it is not there. Where boxes overlap the coarsest counts: a small one on a face
    shows no more of it.
    """
    import cv2

    out = rgb.copy()
    height, width = rgb.shape[:2]
    boxes = np.nan_to_num(boxes_px).astype(float).reshape(-1, 4)
    sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]) * (1 + 2 * grow)
    for k in np.argsort(sides, kind="stable"):
        x1, y1, x2, y2 = boxes[k]
        dx, dy = grow * (x2 - x1), grow * (y2 - y1)
        left, right = np.clip([np.floor(x1 - dx), np.ceil(x2 + dx)], 0, width).astype(int)
        top, bottom = np.clip([np.floor(y1 - dy), np.ceil(y2 + dy)], 0, height).astype(int)
        if right - left < 1 or bottom - top < 1:
            continue
        cell = max(1.0, sides[k] / _CELLS)
        cells = (max(1, round((right - left) / cell)), max(1, round((bottom - top) / cell)))
        means = cv2.resize(rgb[top:bottom, left:right], cells, interpolation=cv2.INTER_AREA)
        size = (right - left, bottom - top)
        out[top:bottom, left:right] = cv2.resize(means, size, interpolation=cv2.INTER_LINEAR)
    return out
