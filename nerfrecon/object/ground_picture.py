"""The ground as all pictures together show it: what a pixel would be if nothing stood on the ground.

Each picture is laid onto the plane y = 0; the median of them is the ground, because what stands on it falls
on other places in every picture. Where a picture differs from it, something stands in the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from nerfrecon.object.small import SmallPicture

_TEXELS = 256
_MOST_VIEWS = 48
_LEAST_VIEWS = 4
_MOST_SPREAD = 30.0
"""Where views differ by more, in levels, they say nothing."""
_ROUNDS = 3
"""Of gains that make the pictures alike."""


@dataclass(frozen=True, eq=False)
class GroundPicture:
    """Colours of the square of half side `reach` about (x, z) = `middle`, NaN where hardly any view sees it,
    and how much the views differ there (both in levels of 255)."""

    middle: Float[np.ndarray, " 2"]
    reach: float
    colour: Float32[np.ndarray, "n n 3"]
    spread: Float32[np.ndarray, "n n"]

    def difference(self, small: SmallPicture) -> Float32[np.ndarray, "h w"]:
        """How a picture differs from the bare ground, in spreads (1 is usual); NaN where nothing is known."""
        import cv2

        camera, R = small.camera, small.view.T_world_camera[:3, :3]
        v, u = np.mgrid[: camera.height, : camera.width].astype(np.float64)
        ways = camera.pinhole.backproject(np.ones((camera.height, camera.width)))
        if camera.is_distorted:
            ways = camera.directions(np.stack([u, v], -1))
        ways = ways @ R.T
        eye = small.view.position
        with np.errstate(divide="ignore", invalid="ignore"):
            along = -eye[1] / ways[..., 1]
            x, z = eye[0] + along * ways[..., 0], eye[2] + along * ways[..., 2]
        known = (along > 0) & np.isfinite(along)
        n = len(self.spread)
        column = np.where(known, (x - self.middle[0]) / self.reach, 9)
        row = np.where(known, (z - self.middle[1]) / self.reach, 9)
        map_x = ((column.clip(-9, 9) + 1) / 2 * n - 0.5).astype(np.float32)
        map_y = ((row.clip(-9, 9) + 1) / 2 * n - 0.5).astype(np.float32)
        flat = np.concatenate([self.colour, self.spread[..., None]], 2)
        seen = cv2.remap(flat, map_x, map_y, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, (np.nan,) * 4)
        rgb = cv2.GaussianBlur(small.rgb, (3, 3), 0).astype(np.float32)
        ground, spread = seen[..., :3], seen[..., 3]
        off = np.linalg.norm(_gain(ground, rgb) * rgb - ground, axis=2)
        return (off / (6 + 2.5 * spread)).astype(np.float32)


def picture_ground(
    smalls: Sequence[SmallPicture],
    middle: Float[np.ndarray, " 2"],
    reach: float,
    footprint: Float[np.ndarray, "m 2"],
) -> GroundPicture:
    """From pictures in a frame whose ground is y = 0; nothing is said of where the object stands, the hull of
    places (x, z): all pictures show the object there."""
    import cv2

    n = _TEXELS
    places = (np.arange(n) + 0.5) / n * 2 - 1
    x, z = np.meshgrid(middle[0] + reach * places, middle[1] + reach * places)
    points = np.stack([x, 0 * x, z], -1).reshape(-1, 3)
    layers = []
    for small in smalls[:: max(1, -(-len(smalls) // _MOST_VIEWS))]:
        pixels, _ = small.project(points)
        outside = ~small.camera.contains(pixels)
        pixels[outside] = -9
        maps = pixels.astype(np.float32).reshape(n, n, 2)
        layer = cv2.remap(small.rgb, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR).astype(np.float32)
        layer[outside.reshape(n, n)] = np.nan
        layers.append(layer)
    stack = np.stack(layers)
    colour = _median(stack)
    for _ in range(_ROUNDS):
        for layer in stack:
            layer *= _gain(colour, layer)
        colour = _median(stack)
    spread = _median(np.linalg.norm(stack - colour, axis=3)[..., None])[..., 0]
    few = (np.isfinite(stack[..., 0]).sum(0) < _LEAST_VIEWS) | (spread > _MOST_SPREAD)
    hidden = np.zeros((n, n), np.uint8)
    texels = np.round(((footprint - middle) / reach + 1) / 2 * n - 0.5).astype(np.int32)
    cv2.fillConvexPoly(hidden, cv2.convexHull(texels), 1)
    few |= hidden > 0
    colour[few], spread[few] = np.nan, np.nan
    return GroundPicture(np.asarray(middle, np.float64), float(reach), colour, spread)


def _gain(colour: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """What a picture's channels are to be multiplied by to be like the ground: the median over pixels."""
    known = np.isfinite(colour[..., 0]) & np.isfinite(layer[..., 0])
    if known.sum() < 50:
        return np.ones(3, np.float32)
    ratio = np.median((colour[known] + 4) / (layer[known] + 4), axis=0)
    return ratio.clip(0.25, 4).astype(np.float32)


def _median(stack: np.ndarray) -> np.ndarray:
    """Along the first axis, without NaN (NaN sorts last)."""
    ordered = np.sort(stack, axis=0)
    count = np.isfinite(ordered).sum(0)
    return np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, 0)[0]
