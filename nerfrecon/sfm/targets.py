"""Centres of quadrant targets: discs whose quarters are black and white in turn.

Around such a centre the brightness changes sides exactly four times, at every radius, under any perspective,
and opposite quarters are alike. A chessboard's corners pass, too; who needs discs asks for their arrangement.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

_RADII_PX = (5.0, 8.0, 12.0, 18.0, 26.0)
_SAMPLES = 48
_CONTRAST = 45.0
_RADII_NEEDED = 2
_MOST = 400
_NARROWEST = 0.06
"""Of the turn: a quarter seen slanting is at least this wide."""


def quadrant_targets(grey: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "n 2"]:
    """Centres (u, v) in pixels, to a fraction of one; whole numbers are pixel centres."""
    import cv2

    found: list[np.ndarray] = []
    for candidate in _saddles(grey):
        near = min((float(np.linalg.norm(candidate - other)) for other in found), default=np.inf)
        if near > 6 and _alternates(grey, candidate):
            found.append(candidate)
    if not found:
        return np.zeros((0, 2))
    corners = np.array(found, np.float32).reshape(-1, 1, 2)
    rule = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.01)
    refined = cv2.cornerSubPix(grey, corners.copy(), (4, 4), (-1, -1), rule)
    refined = np.asarray(refined, np.float64).reshape(-1, 2)
    moved = np.linalg.norm(refined - corners.reshape(-1, 2), axis=1)
    return refined[moved < 4]


def _saddles(grey: UInt8[np.ndarray, "h w"]) -> list[np.ndarray]:
    """Places where the brightness falls along one direction and rises along the other, strongest first."""
    import cv2

    found: list[tuple[float, float, float]] = []
    for sigma in (2.0, 4.0):
        soft = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), sigma)
        xx, yy, xy = (cv2.Sobel(soft, cv2.CV_32F, *order, ksize=3) for order in ((2, 0), (0, 2), (1, 1)))
        saddle = np.asarray(xy * xy - xx * yy, np.float32) * sigma**4
        peak = np.asarray(cv2.dilate(saddle, np.ones((9, 9), np.uint8)))
        rows, columns = np.nonzero((saddle == peak) & (saddle > 0.05 * float(saddle.max())))
        found += zip(saddle[rows, columns].tolist(), columns.tolist(), rows.tolist(), strict=True)
    strongest = sorted(found, reverse=True)[: 2 * _MOST]
    return [np.array([u, v], np.float64) for _, u, v in strongest]


def _alternates(grey: UInt8[np.ndarray, "h w"], centre: Float[np.ndarray, " 2"]) -> bool:
    """Whether rings of several radii around `centre` have four parts, dark and bright in turn, in the same
    places."""
    turn = 2 * np.pi * np.arange(_SAMPLES) / _SAMPLES
    ways = np.stack([np.cos(turn), np.sin(turn)], 1)
    rings: list[np.ndarray] = []
    for radius in _RADII_PX:
        at = np.round(centre + radius * ways).astype(np.int64)
        if (at < 0).any() or (at >= np.array(grey.shape[::-1])).any():
            break
        ring = grey[at[:, 1], at[:, 0]].astype(np.float64)
        low, high = np.quantile(ring, (0.15, 0.85))
        bright = ring > (low + high) / 2
        if high - low < _CONTRAST or not _four_parts(bright):
            if rings:
                break
            continue
        if rings and (rings[-1] == bright).mean() < 0.8:
            break
        rings.append(bright)
    return len(rings) >= _RADII_NEEDED


def _four_parts(bright: np.ndarray) -> bool:
    changes = np.flatnonzero(bright != np.roll(bright, 1))
    if len(changes) != 4:
        return False
    widths = np.diff(np.append(changes, changes[0] + _SAMPLES)) / _SAMPLES
    opposite = max(abs(widths[0] - widths[2]), abs(widths[1] - widths[3]))
    return bool(widths.min() >= _NARROWEST and opposite < 0.12)
