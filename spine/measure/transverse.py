"""Transverse indices: axial rotation, the plane of maximum curvature, the da Vinci vector.

Azimuths are seen from above, about the body's y: 0 = to the back, 90 = to the right, +-180 = to the front,
-90 = to the left, and point to the convex side. A normal kyphosis has the azimuth 0, a normal lordosis 180.

Plane of maximum curvature: the vertical plane in which the angle between the end plates of a region's end
vertebrae, projected, is largest (Stokes et al., Spine 1994;19:236-248). da Vinci view: each region as the
plane through its two end vertebrae and its apex, seen from above (Sangole et al., Spine 2009;34:60-69;
Labelle et al., Scoliosis 2011;6:1): here the vector from the line between the end vertebrae to the apex, its
length and its azimuth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from spine.measure.angles import L5, T1, T5, T12


@dataclass(frozen=True)
class Region:
    """The coronal curves that belong to a region, and its end vertebrae where there is no such curve."""

    curves: tuple[str, ...]
    levels: tuple[int, int]


REGIONS: dict[str, Region] = {
    "proximal_thoracic": Region(("proximal thoracic",), (T1, T5)),
    "main_thoracic": Region(("main thoracic",), (T5, T12)),
    "lumbar": Region(("thoracolumbar", "lumbar"), (T12, L5)),
}
"""The regions of the da Vinci view; each runs between the end vertebrae of its largest coronal curve from 10
deg on, else between `levels`."""


def plane_of_maximum_curvature(
    T: Float[np.ndarray, "m 25 4 4"], upper: int, lower: int
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Largest projected angle (deg, >= 0) between two levels, and the azimuth (deg) of its convexity."""
    azimuth = np.radians(np.arange(-180, 180, 5.0))
    direction = np.stack([np.sin(azimuth), np.cos(azimuth)])

    def opening(directions: np.ndarray) -> np.ndarray:
        up, down = (T[..., level, :3, 1] for level in (upper, lower))
        lean = [np.arctan2(axis[..., [0, 2]] @ directions, axis[..., 1:2]) for axis in (up, down)]
        return lean[1] - lean[0]

    coarse = opening(direction)
    best = coarse.argmax(-1)
    left, mid, right = (
        np.take_along_axis(coarse, (best[..., None] + step) % len(azimuth), -1)[..., 0] for step in (-1, 0, 1)
    )
    bend = 2 * mid - left - right  # parabola through the best direction and its neighbours
    shift = np.where(bend > 0, (right - left) / np.where(bend > 0, 2 * bend, 1), 0.0)
    angle = mid + (right - left) * shift / 4
    return np.degrees(np.maximum(angle, 0)), wrapped_deg(np.degrees(azimuth[best]) + 5 * shift)


def apex_of_region(T: Float[np.ndarray, "25 4 4"], upper: int, lower: int) -> int:
    """The level farthest from the straight line between the centres of two levels, in 3D."""
    offset = np.stack([_off_chord(T, upper, level, lower) for level in range(upper + 1, lower)])
    return upper + 1 + int((offset**2).sum(-1).argmax())


def da_vinci_vector_mm(
    T: Float[np.ndarray, "m 25 4 4"], upper: int, apex: int, lower: int
) -> Float[np.ndarray, "m 2"]:
    """Vector (to the right, to the back) from the line between the end vertebrae to the apex, seen from
    above.
    """
    return _off_chord(T, upper, apex, lower)[..., [0, 2]]


def azimuth_deg(vector: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, " m"]:
    """Azimuth of (to the right, to the back)."""
    return np.degrees(np.arctan2(vector[..., 0], vector[..., 1]))


def wrapped_deg(angle: np.ndarray) -> np.ndarray:
    """An angle in [-180, 180)."""
    return (np.asarray(angle) + 180) % 360 - 180


def _off_chord(T: np.ndarray, upper: int, apex: int, lower: int) -> np.ndarray:
    """Perpendicular from the chord of two levels to a third one between them."""
    a, p, b = (T[..., level, :3, 3] for level in (upper, apex, lower))
    chord = (a - b) / np.linalg.norm(a - b, axis=-1, keepdims=True)
    return p - b - ((p - b) * chord).sum(-1, keepdims=True) * chord
