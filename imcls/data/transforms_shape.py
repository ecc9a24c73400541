"""Transforms that move pixels: mirrored, moved, turned, slanted. Images are (n, px, px, 3), changed in
place or replaced."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from imcls.data.draws import Draws, between
from imcls.data.transform_options import Affine, Flip, Shear, Skew, Translate, Zoom
from imcls.data.transforms_square import windows

_SMALL_PX = 64


def flip(images: np.ndarray, how: Flip, draws: Draws) -> np.ndarray:
    """Mirrored by chance, or in every other epoch."""
    if how.alternating:
        phase = draws.every_epoch().uniform(1)[:, 0] < 0.5
        chosen = np.flatnonzero(phase ^ bool(draws.epoch % 2))
    else:
        chosen = np.flatnonzero(draws.uniform(1)[:, 0] < how.probability)
    planes = torch.from_numpy(images).permute(0, 3, 1, 2)
    side = 2 if how.direction == "horizontal" else 1
    if images.shape[1] <= _SMALL_PX:
        at = torch.from_numpy(chosen)
        planes[at] = planes[at].flip(side + 1)
    else:
        for i in chosen.tolist():
            planes[i] = planes[i].flip(side)
    return images


def translate(images: np.ndarray, how: Translate, draws: Draws) -> np.ndarray:
    """Moved by whole pixels."""
    px = images.shape[1]
    farthest = max(1, round(how.share * px))
    place = (draws.uniform(2) * (2 * farthest + 1)).astype(np.int64)
    return windows(images, place[:, 0], place[:, 1], px, farthest, how.border)


def affine(images: np.ndarray, how: Affine, draws: Draws) -> np.ndarray:
    """Turned, moved, scaled and sheared at once."""
    u, px = draws.uniform(6), images.shape[1]
    scale = between(u[:, 3], how.scale)
    for i in draws.chosen(how.probability):
        either = 2.0 * u[i] - 1.0
        _warp(
            images[i],
            angle_deg=either[0] * how.degrees,
            move_px=(either[1:3] * how.translate * px).tolist(),
            scale=float(scale[i]),
            shear_deg=(either[4:6] * how.shear_deg).tolist(),
            fill=how.fill,
        )
    return images


def zoom(images: np.ndarray, how: Zoom, draws: Draws) -> np.ndarray:
    """Scaled about the centre; in and out alike often (the factor's logarithm is uniform)."""
    scale = np.exp(between(draws.uniform(1)[:, 0], (np.log(how.scale[0]), np.log(how.scale[1]))))
    for i in draws.chosen(how.probability):
        _warp(images[i], scale=float(scale[i]), fill=how.fill)
    return images


def shear(images: np.ndarray, how: Shear, draws: Draws) -> np.ndarray:
    """Slanted along one axis."""
    u = draws.uniform(2)
    for i in draws.chosen(how.probability):
        angle = (2.0 * u[i, 0] - 1.0) * how.degrees
        level = how.direction == "horizontal" or (how.direction == "any" and u[i, 1] < 0.5)
        _warp(images[i], shear_deg=[angle, 0.0] if level else [0.0, angle], fill=how.fill)
    return images


def skew(images: np.ndarray, how: Skew, draws: Draws) -> np.ndarray:
    """In perspective: each corner inwards by its own way."""
    px = images.shape[1]
    u = draws.uniform(8).reshape(-1, 4, 2) * how.distortion * px / 2
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    corners = np.array([[0, 0], [px - 1, 0], [px - 1, px - 1], [0, px - 1]])
    for i in draws.chosen(how.probability):
        ends = np.rint(corners + inwards * u[i]).astype(int).tolist()
        moved = v2.perspective(
            _planes(images[i]),
            corners.tolist(),
            ends,
            interpolation=InterpolationMode.BILINEAR,
            fill=[float(how.fill)] * 3,
        )
        _store(images[i], moved)
    return images


def _warp(
    image: np.ndarray,
    angle_deg: float = 0.0,
    move_px: Sequence[float] = (0.0, 0.0),
    scale: float = 1.0,
    shear_deg: Sequence[float] = (0.0, 0.0),
    fill: int = 0,
) -> None:
    moved = v2.affine(
        _planes(image),
        angle=float(angle_deg),
        translate=list(move_px),
        scale=float(scale),
        shear=list(shear_deg),
        interpolation=InterpolationMode.BILINEAR,
        fill=[float(fill)] * 3,
    )
    _store(image, moved)


def _planes(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def _store(image: np.ndarray, planes: torch.Tensor) -> None:
    image[:] = planes.permute(1, 2, 0).numpy()
