"""Transforms that take detail away: blur, noise, covered parts. Images are (n, px, px, 3), changed in
place or replaced."""

from __future__ import annotations

import math

import numpy as np
import torch
from torchvision.transforms.v2 import functional as v2

from imcls.data.draws import Draws, between
from imcls.data.transform_options import Blur, Cutout, Erasing, Noise

_GREY = 128
_TRIES = 10


def blur(images: np.ndarray, how: Blur, draws: Draws) -> np.ndarray:
    """Gaussian blur, cut off at three standard deviations."""
    sigma = between(draws.uniform(1)[:, 0], how.sigma_px)
    for i in draws.chosen(how.probability):
        radius = min(math.ceil(3.0 * sigma[i]), images.shape[1] - 1)
        planes = v2.gaussian_blur(
            torch.from_numpy(images[i]).permute(2, 0, 1), [2 * radius + 1] * 2, [float(sigma[i])] * 2
        )
        images[i] = planes.permute(1, 2, 0).numpy()
    return images


def noise(images: np.ndarray, how: Noise, draws: Draws) -> np.ndarray:
    """Gaussian noise, rounded and clipped to the grey levels."""
    sigma = between(draws.uniform(1)[:, 0], how.sigma)
    for i in draws.chosen(how.probability):
        grain = draws.generator(int(i)).standard_normal(images[i].shape, np.float32)
        images[i] = np.clip(np.rint(images[i] + grain * np.float32(sigma[i])), 0, 255).astype(np.uint8)
    return images


def erasing(images: np.ndarray, how: Erasing, draws: Draws) -> np.ndarray:
    """A rectangle inside of the image painted over; none where no try fits."""
    px = images.shape[1]
    u = draws.uniform(2 * _TRIES + 2)
    area = between(u[:, :_TRIES], how.area) * px * px
    ratio = np.exp(between(u[:, _TRIES : 2 * _TRIES], (np.log(how.ratio[0]), np.log(how.ratio[1]))))
    tried = np.rint(np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], axis=2)).astype(np.int64)
    fits = ((tried >= 1) & (tried <= px)).all(axis=2)
    part = tried[np.arange(len(images)), fits.argmax(axis=1)]
    place = (u[:, -2:] * (px - part + 1)).astype(np.int64)
    for i in draws.chosen(how.probability):
        if not fits[i].any():
            continue
        (top, left), (height, width) = place[i], part[i]
        hole = images[i, top : top + height, left : left + width]
        if how.fill == "noise":
            hole[:] = draws.generator(int(i)).integers(0, 256, hole.shape, np.uint8)
        else:
            hole[:] = _GREY if how.fill == "grey" else 0
    return images


def cutout(images: np.ndarray, how: Cutout, draws: Draws) -> np.ndarray:
    """A grey square whose centre is anywhere in the image, all images at once."""
    px = images.shape[1]
    side = max(1, round(how.share * px))
    first = (draws.uniform(2) * px).astype(np.int64) - side // 2
    rows, columns = ((first[:, axis, None] <= np.arange(px)) & (np.arange(px) < first[:, axis, None] + side)
                     for axis in (0, 1))  # fmt: skip
    covered = rows[:, :, None] & columns[:, None, :]
    kept = np.ones(len(images), bool)
    kept[draws.chosen(how.probability)] = False
    covered[kept] = False
    images[covered] = _GREY
    return images
