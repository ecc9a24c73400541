"""Centres of quadrant targets: discs whose quarters are black and white in turn.

Around such a centre the brightness changes sides exactly four times, at every radius, under any perspective,
and opposite quarters are alike. A chessboard's corners pass, too; who needs discs asks for their arrangement.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

_RADII_PX = (3.5, 5.0, 8.0, 12.0, 18.0, 26.0)
_SAMPLES = 48
_CONTRAST = 45.0
_MOST = 800
_APART_PX = 6.0
_NARROWEST = 0.06
"""Of the turn: a quarter seen slanting is at least this wide."""


def quadrant_targets(grey: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "n 2"]:
    """Centres (u, v) in pixels, to a fraction of one; whole numbers are pixel centres."""
    import cv2

    candidates = _saddles(grey)
    candidates = candidates[_alternate(grey, candidates)]
    apart = [
        k
        for k, one in enumerate(candidates)
        if not (np.linalg.norm(candidates[:k] - one, axis=1) < _APART_PX).any()
    ]
    if not apart:
        return np.zeros((0, 2))
    corners = candidates[apart].astype(np.float32).reshape(-1, 1, 2)
    rule = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.01)
    refined = cv2.cornerSubPix(grey, corners.copy(), (4, 4), (-1, -1), rule)
    refined = np.asarray(refined, np.float64).reshape(-1, 2)
    moved = np.linalg.norm(refined - corners.reshape(-1, 2), axis=1)
    return refined[moved < 4]


def _saddles(grey: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "n 2"]:
    """Places where the brightness falls along one direction and rises along the other, strongest first."""
    import cv2

    found = []
    for sigma in (2.0, 4.0):
        soft = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), sigma)
        xx, yy, xy = (cv2.Sobel(soft, cv2.CV_32F, *order, ksize=3) for order in ((2, 0), (0, 2), (1, 1)))
        saddle = np.asarray(xy * xy - xx * yy, np.float32) * sigma**4
        peak = np.asarray(cv2.dilate(saddle, np.ones((9, 9), np.uint8)))
        rows, columns = np.nonzero((saddle == peak) & (saddle > 0.05 * float(saddle.max())))
        found.append(np.stack([saddle[rows, columns], columns, rows], 1).astype(np.float64))
    every = np.concatenate(found)
    return every[np.argsort(-every[:, 0], kind="stable")[:_MOST], 1:]


def _alternate(grey: UInt8[np.ndarray, "h w"], centres: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
    """Around which centres rings of several radii have four parts, dark and bright in turn, in the same
    places."""
    turn = 2 * np.pi * np.arange(_SAMPLES) / _SAMPLES
    ways = np.stack([np.cos(turn), np.sin(turn)], 1)
    height, width = grey.shape
    good, same, before = [], [], None
    for radius in _RADII_PX:
        at = np.round(centres[:, None] + radius * ways).astype(np.int64)
        inside = ((at >= 0) & (at < [width, height])).all((1, 2))
        ring = grey[at[..., 1].clip(0, height - 1), at[..., 0].clip(0, width - 1)].astype(np.float64)
        low, high = np.quantile(ring, (0.15, 0.85), axis=1)
        bright = ring > ((low + high) / 2)[:, None]
        good.append(inside & (high - low >= _CONTRAST) & _four_parts(bright))
        same.append(np.ones(len(centres), bool) if before is None else (before == bright).mean(1) >= 0.8)
        before = bright
    pairs = [good[k] & good[k + 1] & same[k + 1] for k in range(len(_RADII_PX) - 1)]
    return np.any(pairs, axis=0)


def _four_parts(bright: Bool[np.ndarray, "n samples"]) -> Bool[np.ndarray, " n"]:
    """Four changes around a ring, opposite parts about equally wide."""
    changes = bright != np.roll(bright, 1, axis=1)
    four = changes.sum(1) == 4
    at = np.argsort(~changes, axis=1, kind="stable")[:, :4]  # the places of the first four changes
    widths = np.diff(np.concatenate([at, at[:, :1] + _SAMPLES], 1), axis=1) / _SAMPLES
    opposite = np.maximum(np.abs(widths[:, 0] - widths[:, 2]), np.abs(widths[:, 1] - widths[:, 3]))
    return four & (widths.min(1) >= _NARROWEST) & (opposite < 0.12)
