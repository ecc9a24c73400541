"""Where the subject is in a depth image, and how it has moved between two.

Depth z is in metres with 0 where there is none; (u, v) are pixels of the image, of which every `step`-th in
both directions is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt16

from suite.geometry.camera import PinholeCamera

DEEP_M = 0.15
"""A subject's surface lies within this of its middle."""
_RANGE_M = (0.25, 3.0)
_FEWEST = 50
_REJECT = 4.0  # standard deviations beyond which a pixel is an edge or a flyer


@dataclass(frozen=True, eq=False)
class Subject:
    """The pixels of the subject, their median distance, and their centre in the camera frame (mm)."""

    mask: Bool[np.ndarray, "h w"]
    distance_m: float
    valid: float
    """Share of the pixels between the subject's left and right edges that have depth."""
    centre_mm: Float[np.ndarray, " 3"]


def sampled(counts: UInt16[np.ndarray, "h w"], depth_unit_m: float, step: int) -> Float[np.ndarray, "a b"]:
    """Every `step`-th pixel of a depth image, m."""
    return counts[::step, ::step].astype(np.float32) * np.float32(depth_unit_m)


def find_subject(z: Float[np.ndarray, "a b"], camera: PinholeCamera, step: int) -> Subject | None:
    """What stands in the middle of the picture; None where there is no depth."""
    h, w = z.shape
    middle = z[h // 3 : h - h // 3, w // 3 : w - w // 3]
    seen = middle[(middle > _RANGE_M[0]) & (middle < _RANGE_M[1])]
    if seen.size < min(_FEWEST, middle.size):
        return None
    mask = np.abs(z - np.median(seen)) < DEEP_M
    distance = float(np.median(z[mask]))
    first, last = mask.argmax(axis=1), w - 1 - mask[:, ::-1].argmax(axis=1)
    columns = np.arange(w)
    inside = mask.any(axis=1)[:, None] & (columns >= first[:, None]) & (columns <= last[:, None])
    v, u = np.nonzero(mask)
    x = (step * u.mean() - camera.cx) / camera.fx * distance
    y = (step * v.mean() - camera.cy) / camera.fy * distance
    valid = 1.0 - float((z[inside] == 0).mean())
    return Subject(mask, distance, valid, 1000 * np.array([x, y, float(z[mask].mean(dtype=np.float64))]))


def without_sway(
    change_mm: Float[np.ndarray, " n"], u: Float[np.ndarray, " n"], v: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """What is left of a change of depth after the plane a + b u + c v, and which pixels agree with that.

    A plane is what a rigid movement by millimetres does to the depth of a back, to first order.
    """
    A = np.stack([np.ones_like(u), u, v], axis=1)
    left = change_mm - np.median(change_mm)
    keep = np.abs(left) < 30.0
    for _ in range(3):
        plane = np.linalg.lstsq(A[keep].T @ A[keep], A[keep].T @ change_mm[keep], rcond=None)[0]
        left = change_mm - A @ plane
        spread = float(np.sqrt(np.mean(left[keep] ** 2)))
        keep = np.abs(left) <= _REJECT * spread + 1e-6
    return left, keep
