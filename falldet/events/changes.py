"""What in a picture is not as it has been: people, where a detector may also see some in furniture.

Cameras hang still. The picture as it has been is, at every place, the median of some pictures of the last two
minutes; whoever lies longer than half of that becomes a part of it. Pictures are made small and grey first:
noise averages out, and nothing of anybody is kept that could be recognised.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

_HEIGHT_PX = 90
_LEAST_S, _MOST_S, _SLOWER, _PICTURES = 0.4, 3.0, 0.1, 40
_LEAST = 9.0  # grey levels of 255
_NOISES = 4.0
_GAP_S = 60.0


class Changes:
    """One camera's picture as it has been, and what is otherwise now."""

    def __init__(self) -> None:
        self._past: deque[Float32[np.ndarray, "h w"]] = deque(maxlen=_PICTURES)
        self._usual: Float32[np.ndarray, "h w"] | None = None
        self._at_s = self._began_s = -np.inf
        self._sums: Float64[np.ndarray, "h1 w1"] | None = None
        self._shape = (1, 1)

    def look(self, rgb: UInt8[np.ndarray, "h w 3"], time_s: float) -> None:
        """The newest picture. One of another size or time, or after a long gap, is another camera's."""
        small = _small(rgb)
        same = self._usual is not None and self._usual.shape == small.shape
        if not same or not 0 <= time_s - self._at_s < _GAP_S:
            self._past.clear()
            self._usual, self._at_s, self._began_s = small, -np.inf, time_s
        usual = self._usual
        assert usual is not None
        difference = small - usual
        difference = np.abs(difference - np.median(difference))  # lamps and exposure change all of it
        changed = difference > max(_LEAST, _NOISES * 1.48 * float(np.median(difference)))
        self._sums = np.pad(changed.cumsum(0).cumsum(1).astype(np.float64), ((1, 0), (1, 0)))
        self._shape = rgb.shape[:2]
        # Often at first: who walked in must not become a part of it.
        every_s = min(max(_SLOWER * (time_s - self._began_s), _LEAST_S), _MOST_S)
        if time_s - self._at_s >= every_s:
            self._at_s = time_s
            self._past.append(small)
            self._usual = np.median(np.stack(self._past), axis=0).astype(np.float32)

    def within(self, boxes_px: Float[np.ndarray, "n 4"]) -> Float64[np.ndarray, " n"]:
        """The share of each box, in pixels of the newest picture, that is not as it has been."""
        if self._sums is None:
            return np.zeros(len(boxes_px))
        height, width = (side - 1 for side in self._sums.shape)
        scale = np.array([width / self._shape[1], height / self._shape[0]] * 2)
        edges = np.rint(boxes_px.astype(np.float64) * scale).astype(np.int64)
        x1, y1 = (np.clip(edges[:, k], 0, most - 1) for k, most in ((0, width), (1, height)))
        x2, y2 = (
            np.clip(np.maximum(edges[:, k + 2], low + 1), 1, most)
            for k, low, most in ((0, x1, width), (1, y1, height))
        )
        s = self._sums
        inside = s[y2, x2] - s[y1, x2] - s[y2, x1] + s[y1, x1]
        return np.asarray(inside / ((x2 - x1) * (y2 - y1)))


def _small(rgb: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "small_h small_w"]:
    width = max(1, round(rgb.shape[1] * _HEIGHT_PX / rgb.shape[0]))
    grey = cv2.cvtColor(
        cv2.resize(rgb, (width, _HEIGHT_PX), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
    )
    return cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 0.8)
