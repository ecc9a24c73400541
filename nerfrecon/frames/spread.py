"""How far pictures lie apart, by how their features move, and which of them to take so that they are even."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

SMALL_PX = 320
FAR = 0.25
"""Share of the longest side; what moved further, or cannot be followed, counts as this."""
_FEWEST = 12
_BACK_PX = 1.0


def small_grey(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2"]:
    """Grey, at most 320 px on its longest side: what motion is measured on."""
    import cv2

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    factor = SMALL_PX / max(grey.shape)
    if factor < 1:
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8)


def motion(first: UInt8[np.ndarray, "h w"], second: UInt8[np.ndarray, "h2 w2"]) -> float:
    """How far features of `first` moved, as a share of its longest side: the upper quartile.

    The quartile, because on a turntable much of the picture stands still. At most `FAR`; features are
    followed there and back (Lucas and Kanade, pyramids), and none that returns elsewhere is believed.
    """
    import cv2

    if first.shape != second.shape:
        return FAR
    corners = cv2.goodFeaturesToTrack(first, 200, 0.01, 5)
    if corners is None or len(corners) < _FEWEST:
        return 0.0 if np.abs(first.astype(np.int16) - second).mean() < 1.0 else FAR
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, np.empty_like(corners))
    back, returned, _ = cv2.calcOpticalFlowPyrLK(second, first, there, np.empty_like(corners))
    good = np.asarray(found).ravel().astype(bool) & np.asarray(returned).ravel().astype(bool)
    good &= np.linalg.norm(back - corners, axis=-1).ravel() < _BACK_PX
    if good.sum() < max(_FEWEST, 0.3 * len(corners)):
        return FAR
    moved = np.linalg.norm(there - corners, axis=-1).ravel()[good]
    return float(min(np.quantile(moved, 0.75) / max(first.shape), FAR))


def twins(small: Sequence[UInt8[np.ndarray, "_ _"]], least_motion: float | int) -> list[tuple[int, int]]:
    """Pairs (earlier, later) of pictures that show the same from the same place.

    Thumbnails of 16 x 16 px say which pairs are worth the measurement of motion.
    """
    import cv2

    if not small:
        return []
    tiny = np.stack([cv2.resize(one, (16, 16), interpolation=cv2.INTER_AREA).ravel() for one in small])
    pairs = []
    for later in range(1, len(small)):
        off = np.abs(tiny[:later].astype(np.int16) - tiny[later]).mean(1)
        pairs += [
            (earlier, later)
            for earlier in np.flatnonzero(off < 12).tolist()
            if motion(small[earlier], small[later]) <= least_motion
        ]
    return pairs


def sharpest_in_slots(
    travelled: Float[np.ndarray, " n"], sharp: Float[np.ndarray, " n"], count: int
) -> list[int]:
    """Numbers of at most `count` frames: the way that was travelled (a sum that grows) is cut into as many
    equal slots, of each of which the sharpest frame is taken. A camera that stands still fills one slot.

    Where the way is longer than a slot between two frames, slots stay empty.
    """
    start, end = float(travelled[0]), float(travelled[-1])
    if end <= start:
        return [int(np.argmax(sharp))]
    slot = np.minimum(((travelled - start) / (end - start) * count).astype(int), count - 1)
    # The middle of a slot is a little better than its ends, so that neighbours do not meet at a border.
    within = (travelled - start) / (end - start) * count - slot
    worth = sharp * (1 - 0.2 * np.abs(within - 0.5))
    return [
        int(members[np.argmax(worth[members])])
        for k in range(count)
        if len(members := np.flatnonzero(slot == k))
    ]
