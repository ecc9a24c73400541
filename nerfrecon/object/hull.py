"""The visual hull: what all masks allow. Masks that disagree with it are wrong, and it says where.

A. Laurentini, "The visual hull concept for silhouette-based image understanding", 1994; votes instead of
certainty, so that a few bad masks do not carve the object away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from nerfrecon.object.frame import boxed
from nerfrecon.object.small import Silhouette, SmallView

_OUTVOTED = 0.12
"""Share of the masks that may lie beside a cell that is kept."""
_LEAST_SEEN = 0.3


@dataclass(frozen=True, eq=False)
class Hull:
    """Cells of side `step` from `low` on, in the frame of the views' poses."""

    low: Float[np.ndarray, " 3"]
    step: float
    kept: Bool[np.ndarray, "x y z"]

    def centres(self) -> Float[np.ndarray, "n 3"]:
        """Of the cells that are kept."""
        return self.low + (np.argwhere(self.kept) + 0.5) * self.step

    @property
    def box(self) -> Float[np.ndarray, "2 3"]:
        """Around the cells that are kept."""
        return boxed(self.centres()) + 0.5 * self.step * np.array([[-1.0], [1.0]])

    def outline(self, small: SmallView) -> Bool[np.ndarray, "h w"]:
        """What it covers of a view: cells as discs of their size."""
        import cv2

        camera = small.camera
        pixels, depth = small.project(self.centres())
        picture = np.zeros((camera.height, camera.width), np.uint8)
        inside = camera.contains(pixels)
        if not inside.any():
            return picture > 0
        u, v = np.round(pixels[inside]).astype(np.int64).T
        picture[v, u] = 255
        cell_px = self.step * camera.pinhole.fx / float(np.median(depth[inside]))
        size = 2 * max(1, int(np.ceil(0.75 * cell_px))) + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        return cv2.morphologyEx(picture, cv2.MORPH_CLOSE, disc) > 0


def carve(silhouettes: Sequence[Silhouette], box: Float[np.ndarray, "2 3"], cells: int) -> Hull:
    """Cells of the box that nearly all masks which could show them do; the largest piece of them."""
    from scipy.ndimage import label

    step = float(np.ptp(box, axis=0).max()) / cells
    shape = np.maximum(1, np.ceil(np.ptp(box, axis=0) / step - 1e-6)).astype(np.int64)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1).reshape(-1, 3)
    centres = box[0] + (grid + 0.5) * step
    seen, inside = np.zeros(len(centres), np.int32), np.zeros(len(centres), np.int32)
    for one in silhouettes:
        pixels, _ = one.project(centres)
        shown = one.camera.contains(pixels)
        u, v = np.round(pixels[shown]).astype(np.int64).T
        seen[shown] += 1
        inside[shown] += one.mask[v, u]
    enough = seen >= max(1, _LEAST_SEEN * len(silhouettes))
    kept = (enough & (seen - inside <= _OUTVOTED * seen) & (inside > 0)).reshape(shape)
    parts = np.zeros(kept.shape, np.int32)
    label(kept, output=parts)
    if parts.max() > 1:
        kept = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return Hull(box[0], step, kept)


def agreement(a: Bool[np.ndarray, "h w"], b: Bool[np.ndarray, "h w"]) -> float:
    """Intersection over union; 1 where both are empty."""
    union = int((a | b).sum())
    return float((a & b).sum() / union) if union else 1.0
