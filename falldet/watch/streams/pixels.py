"""Pictures brought into the shape that is asked for."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8


def fitted(
    rgb: UInt8[np.ndarray, "h w 3"], longest_px: int, clockwise_deg: int
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture whose longer side is at most that long, turned."""
    height, width = rgb.shape[:2]
    share = longest_px / max(height, width)
    if share < 1:
        import cv2

        size = (max(1, round(width * share)), max(1, round(height * share)))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    return turned(rgb, clockwise_deg)


def turned(rgb: UInt8[np.ndarray, "h w 3"], clockwise_deg: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture turned by a multiple of 90 degrees."""
    quarters = round(clockwise_deg / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, -quarters)) if quarters else rgb
