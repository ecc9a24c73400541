"""The transforms that make the square: parts of images of any size, as (n, px, px, 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt8

from imcls.data.draws import Draws, between
from imcls.data.fit import fit_into
from imcls.data.resize import resize_into, size_with_short_side
from imcls.data.transform_options import (
    Border,
    CornerCrop,
    EfficientNetCrop,
    RandomCrop,
    RandomResizedCrop,
    Resize,
    Square,
)

_TRIES = 10

Images = np.ndarray | Sequence[np.ndarray]
"""n images (h, w, 3) uint8: one array where all are of one size."""


def make_squares(images: Images, how: Square, px: int, draws: Draws) -> UInt8[np.ndarray, "n px px 3"]:
    """The square parts of n images that the draws choose."""
    if isinstance(how, RandomCrop):
        return _random_crops(images, how, px, draws)
    out = np.empty((len(images), px, px, 3), np.uint8)
    if isinstance(how, Resize):
        if isinstance(images, np.ndarray):
            fit_into(images, how, out)
        else:
            for image, square in zip(images, out, strict=True):
                fit_into(image[None], how, square[None])
        return out
    sizes = np.array([image.shape[:2] for image in images], np.int64).reshape(-1, 2)
    for image, (top, left, height, width), square in zip(
        images, part_boxes(sizes, how, px, draws).tolist(), out, strict=True
    ):
        resize_into(image[None, top : top + height, left : left + width], square[None])
    return out


def part_boxes(
    sizes: Int64[np.ndarray, "n 2"],
    how: RandomResizedCrop | EfficientNetCrop | CornerCrop,
    px: int,
    draws: Draws,
) -> Int64[np.ndarray, "n 4"]:
    """Top, left, height and width of the part of each image, given heights and widths."""
    if isinstance(how, CornerCrop):
        side = np.maximum(1, np.rint(how.share * sizes.min(axis=1))).astype(np.int64)
        room = sizes - side[:, None]
        corner = (draws.uniform(1)[:, 0] * 5).astype(np.int64)  # 4 is the centre
        place = np.stack([corner // 2 % 2, corner % 2], axis=1) * room
        place[corner == 4] = room[corner == 4] // 2
        return np.concatenate([place, side[:, None], side[:, None]], axis=1)
    n = len(sizes)
    u = draws.uniform(2 * _TRIES + 2)
    area = between(u[:, :_TRIES], how.scale) * sizes.prod(axis=1, keepdims=True)
    ratio = np.exp(between(u[:, _TRIES : 2 * _TRIES], (np.log(how.ratio[0]), np.log(how.ratio[1]))))
    tried = np.stack([np.rint(np.sqrt(area / ratio)), np.rint(np.sqrt(area * ratio))], axis=2)
    fits: np.ndarray = np.all((tried >= 1) & (tried <= sizes[:, None]), axis=2)
    if isinstance(how, EfficientNetCrop):
        fits &= tried.prod(axis=2) >= how.covered * sizes.prod(axis=1, keepdims=True)
    part = tried[np.arange(n), fits.argmax(axis=1)].astype(np.int64)
    place = (u[:, -2:] * (sizes - part + 1)).astype(np.int64)
    without = np.logical_not(fits.any(axis=1))  # no try fits: the largest central part that does
    if without.any():
        if isinstance(how, EfficientNetCrop):
            side = sizes[without].min(axis=1) * (px / (px + how.padding_px))
            part[without] = np.maximum(1, np.rint(side)).astype(np.int64)[:, None]
        else:
            part[without] = _widest(sizes[without], how.ratio)
        place[without] = (sizes[without] - part[without]) // 2
    return np.concatenate([place, part], axis=1)


def windows(
    images: UInt8[np.ndarray, "n h w 3"],
    top: Int64[np.ndarray, " n"],
    left: Int64[np.ndarray, " n"],
    px: int,
    pad_px: int,
    border: Border,
) -> UInt8[np.ndarray, "n px px 3"]:
    """Squares of ``px`` at (top, left) of the images with a border of ``pad_px``, all images at once."""
    n, height, width, _ = images.shape
    if pad_px:
        images = _padded(images, pad_px, border)
        height, width = height + 2 * pad_px, width + 2 * pad_px
    images = np.ascontiguousarray(images)
    # One view of every window there is; choosing n of them copies whole rows of pixels.
    views = np.lib.stride_tricks.as_strided(
        images,
        (n, height - px + 1, width - px + 1, px, 3 * px),
        (images.strides[0], 3 * width, 3, 3 * width, 1),
        writeable=False,
    )
    return views[np.arange(n), top, left].reshape(n, px, px, 3)


def _random_crops(images: Images, how: RandomCrop, px: int, draws: Draws) -> np.ndarray:
    u, short, pad = draws.uniform(2), round(px * how.scale), round(px * how.padding)
    if isinstance(images, np.ndarray):
        return _crops_of_one_size(images, u, how.border, px, short, pad)
    out = np.empty((len(images), px, px, 3), np.uint8)
    for i, image in enumerate(images):
        out[i] = _crops_of_one_size(image[None], u[i : i + 1], how.border, px, short, pad)[0]
    return out


def _crops_of_one_size(
    images: np.ndarray, u: np.ndarray, border: Border, px: int, short: int, pad: int
) -> np.ndarray:
    height, width = size_with_short_side(images.shape[1], images.shape[2], short)
    if (height, width) != images.shape[1:3]:
        scaled = np.empty((len(images), height, width, 3), np.uint8)
        resize_into(images, scaled)
        images = scaled
    room = np.array([height, width]) + 2 * pad - px + 1
    place = (u * room).astype(np.int64)
    return windows(images, place[:, 0], place[:, 1], px, pad, border)


def _padded(images: np.ndarray, pad: int, border: Border) -> np.ndarray:
    around = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    return np.pad(images, around, mode="reflect" if border == "reflect" else "constant")


def _widest(sizes: np.ndarray, ratio: tuple[float, float]) -> np.ndarray:
    """Largest height and width of a part whose width over height lies within ``ratio``."""
    height, width = sizes[:, 0].astype(float), sizes[:, 1].astype(float)
    shape = np.clip(width / height, *ratio)
    part = np.stack([np.minimum(height, width / shape), np.minimum(width, height * shape)], axis=1)
    return np.maximum(1, np.rint(part)).astype(np.int64)
