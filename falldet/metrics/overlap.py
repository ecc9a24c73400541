"""How much boxes overlap, and which belong together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64

MATCH_IOU = 0.5
"""A box that overlaps a labelled one by this much is of the same person."""


def iou(a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "m 4"]) -> Float64[np.ndarray, "n m"]:
    """Intersection over union of all boxes (x1, y1, x2, y2) of ``a`` with all of ``b``; 0 for empty ones."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low, 0.0).prod(axis=-1)
    union = _areas(a)[:, None] + _areas(b)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def match(overlap: Float64[np.ndarray, "p n"], least: float = MATCH_IOU) -> Int64[np.ndarray, " p"]:
    """For each of p boxes, the most certain first, the labelled one it takes, or -1.

    One after the other takes the free labelled box that it overlaps most, by at least ``least``; of equals
    the last, as COCO's evaluation does (Lin et al. 2014, pycocotools).
    """
    taken = np.full(overlap.shape[0], -1, np.int64)
    free = np.ones(overlap.shape[1], bool)
    for p in np.flatnonzero((overlap >= least).any(axis=1)):
        row = np.where(free, overlap[p], -1.0)
        best = len(row) - 1 - int(row[::-1].argmax())
        if row[best] >= least:
            taken[p], free[best] = best, False
    return taken


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
