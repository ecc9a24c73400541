"""One picture's mask: hints to what is the object, and a cut along colours between them.

C. Rother, V. Kolmogorov, A. Blake, "GrabCut: interactive foreground extraction using iterated graph
cuts", 2004.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from nerfrecon.object.ground_picture import GroundPicture
from nerfrecon.object.small import SmallPicture

_CERTAIN = 2.4
_PLAIN = 4.0
"""Spread of a border's colours in CIELAB up to which a background is plain."""


def border_model(rgb: UInt8[np.ndarray, "h w 3"]) -> tuple[Float[np.ndarray, "h w"], float]:
    """Difference in CIELAB of each pixel to the background that the picture's border goes on to, and the
    border's own spread. The background may get lighter or darker across the picture (a quadratic)."""
    import cv2

    lab = cv2.cvtColor(cv2.GaussianBlur(rgb, (3, 3), 0).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    h, w = rgb.shape[:2]
    v, u = np.mgrid[:h, :w]
    x, y = 2 * u.ravel() / w - 1, 2 * v.ravel() / h - 1
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1)
    frame = np.ones((h, w), bool)
    thick = max(2, round(0.02 * max(h, w)))
    frame[thick:-thick, thick:-thick] = False
    rows = np.flatnonzero(frame.ravel())
    flat = lab.reshape(-1, 3).astype(np.float64)
    weight, fit, off = np.ones(len(rows)), np.zeros((6, 3)), np.zeros(len(rows))
    for _ in range(6):  # iteratively reweighted: what of the object touches the border does not count
        A = terms[rows] * weight[:, None]
        fit = np.linalg.lstsq(A, flat[rows] * weight[:, None], rcond=None)[0]
        off = np.linalg.norm(flat[rows] - terms[rows] @ fit, axis=1)
        weight = 1 / (1 + (off / 3) ** 2)
    difference = flat - terms @ fit
    difference[:, 0] *= np.where(difference[:, 0] < 0, 0.6, 1.0)  # a shadow is darker, of the same hue
    return np.linalg.norm(difference, axis=1).reshape(h, w), float(np.quantile(off, 0.8))


def is_plain(spread: float) -> bool:
    """Whether a border of this spread is a plain background's."""
    return spread < _PLAIN


def border_hints(difference: Float[np.ndarray, "h w"], least: float | int) -> Float[np.ndarray, "h w"]:
    """Odds (log, about) that a pixel is the object's, from its difference to a plain background."""
    return np.clip((difference - least) / (0.5 * least), -3, 3)


def geometry_hints(
    small: SmallPicture,
    box: Float[np.ndarray, "2 3"],
    object_positions: Float[np.ndarray, "n 3"],
    others: Float[np.ndarray, "m 3"],
    ground: GroundPicture | None,
) -> Float[np.ndarray, "h w"]:
    """Odds from points of the object (all project into its outline, hidden or not), points beside it that
    this view sees (`others`), and the bare ground."""
    import cv2

    h, w = small.rgb.shape[:2]
    odds = np.full((h, w), -0.6, np.float32)
    pixels, depth = small.project(object_positions)
    fine = small.camera.contains(pixels)
    if fine.any():
        size_px = np.ptp(box, axis=0).max() / np.median(depth[fine]) * small.camera.pinhole.fx
        u, v = np.round(pixels[fine]).astype(np.int64).T
        dots = np.zeros((h, w), np.uint8)
        dots[v, u] = 255
        outline = np.zeros((h, w), np.uint8)
        cv2.fillConvexPoly(outline, cv2.convexHull(np.stack([u, v], 1).astype(np.int32)), 255)
        odds[outline > 0] = 0.3
        odds[cv2.morphologyEx(dots, cv2.MORPH_CLOSE, _disc(0.05 * size_px)) > 0] = 1.0
        odds[cv2.dilate(dots, _disc(0.012 * size_px)) > 0] = 1.8
    if ground is not None:
        difference = ground.difference(small)
        agrees = cv2.blur((difference < 1.2).astype(np.float32), (5, 5))
        differs = cv2.blur((difference > 2.5).astype(np.float32), (5, 5))
        odds += np.where(np.isfinite(difference), 2.0 * differs - 2.6 * agrees, 0)
    pixels, _ = small.project(others)
    pixels = np.round(pixels[small.camera.contains(pixels)]).astype(np.int64)
    beside = np.zeros((h, w), np.uint8)
    beside[pixels[:, 1], pixels[:, 0]] = 255
    odds[cv2.dilate(beside, _disc(2)) > 0] -= 1.5
    return odds.astype(np.float64)


def outline_of_box(small: SmallPicture, corners: Float[np.ndarray, "8 3"]) -> Bool[np.ndarray, "h w"]:
    """Pixels that a box covers; all where the camera stands in it."""
    import cv2

    h, w = small.rgb.shape[:2]
    pixels, _ = small.project(corners)
    if not np.isfinite(pixels).all():
        return np.ones((h, w), bool)
    picture = np.zeros((h, w), np.uint8)
    shape = cv2.convexHull(np.round(pixels.clip(-8 * w, 8 * w)).astype(np.int32))
    cv2.fillConvexPoly(picture, shape, 255)
    return picture > 0


def cut(
    rgb: UInt8[np.ndarray, "h w 3"],
    odds: Float[np.ndarray, "h w"],
    bounds: Bool[np.ndarray, "h w"],
    rounds: int = 3,
) -> Bool[np.ndarray, "h w"]:
    """The object's pixels: hints of more than 2.4 are certain, outside `bounds` nothing is."""
    import cv2

    odds = np.where(bounds, odds, -9)
    rows, columns = np.flatnonzero(bounds.any(1)), np.flatnonzero(bounds.any(0))
    mask = np.zeros(bounds.shape, bool)
    if not len(rows):
        return mask
    pad = max(4, round(0.06 * max(bounds.shape)))
    part = np.s_[max(rows[0] - pad, 0) : rows[-1] + pad + 1, max(columns[0] - pad, 0) : columns[-1] + pad + 1]
    odds = odds[part]
    labels = np.where(odds > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[odds > _CERTAIN] = cv2.GC_FGD
    labels[odds < -_CERTAIN] = cv2.GC_BGD
    if (labels % 2 == 1).sum() < 20 or (labels % 2 == 0).sum() < 20:
        mask[part] = odds > 0
        return mask
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    picture = np.ascontiguousarray(rgb[part][..., ::-1])
    cv2.grabCut(picture, labels, (0, 0, 1, 1), models[0], models[1], rounds, cv2.GC_INIT_WITH_MASK)
    mask[part] = labels % 2 == 1
    return mask


def tidied(mask: Bool[np.ndarray, "h w"], share: float | int = 0.02) -> Bool[np.ndarray, "h w"]:
    """Without specks and pinholes of less than a share of the largest piece."""
    import cv2

    for inverted in (False, True):
        pieces = (mask ^ inverted).astype(np.uint8)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(pieces, connectivity=4)
        if count <= 1:
            return mask
        areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
        limit = share * (areas[1:].max() if not inverted else mask.sum() * 0.1)
        keep = areas >= limit
        keep[0] = False
        mask = keep[np.asarray(parts)] ^ inverted
    return mask


def _disc(radius: float | int) -> np.ndarray:
    import cv2

    size = 2 * max(1, round(float(radius))) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
