"""From an image to the square that a model judges, with nothing random: shared by evaluation, prediction
and export."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import UInt8

from imcls.data.options import InputOptions
from imcls.data.resize import resize_into
from imcls.data.transform_options import EfficientNetCrop, RandomCrop, RandomResizedCrop, Resize

BORDER = 128
"""Grey level of the borders of a letterboxed image, about 0 after normalisation."""


def fit_into(images: UInt8[np.ndarray, "n h w 3"], how: Resize, out: UInt8[np.ndarray, "n px px 3"]) -> None:
    """Images of one size as squares, as ``how`` says, written into ``out``."""
    height, width = images.shape[1:3]
    px = out.shape[1]
    if how.fit == "crop":
        side = max(1, round(how.crop_share * min(height, width)))
        top, left = (height - side) // 2, (width - side) // 2
        resize_into(images[:, top : top + side, left : left + side], out)
    elif how.fit == "squash":
        resize_into(images, out)
    else:
        scale = px / max(height, width)
        inner = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (px - inner[0]) // 2, (px - inner[1]) // 2
        whole = np.empty((len(images), *inner, 3), np.uint8)
        resize_into(images, whole)
        out[:] = BORDER
        out[:, top : top + inner[0], left : left + inner[1]] = whole


def evaluation_fit(options: InputOptions) -> Resize:
    """How images become squares for evaluation."""
    return Resize(fit=options.fit, crop_share=options.crop_share)


def prepare_image(
    rgb: UInt8[np.ndarray, "h w 3"], options: InputOptions, image_px: int
) -> UInt8[torch.Tensor, "3 {image_px} {image_px}"]:
    """What evaluation makes of one image decoded with :func:`short_side_px`."""
    square = np.empty((1, image_px, image_px, 3), np.uint8)
    fit_into(rgb[None], evaluation_fit(options), square)
    return torch.from_numpy(square[0]).permute(2, 0, 1).contiguous()


def short_side_px(options: InputOptions, largest_view: float | int = 1.0) -> int:
    """Shorter side at which images are kept: so much that neither the evaluation's square, at
    ``largest_view`` times its size, nor the average part of the augmentation is enlarged."""
    share = options.crop_share if options.fit == "crop" else 1.0
    first = options.augment.transforms[0] if options.augment.transforms else None
    train_px = max([options.image_px, *(step.image_px for step in options.progressive)])
    wanted = options.image_px * largest_view / share
    if isinstance(first, RandomResizedCrop | EfficientNetCrop):
        wanted = max(wanted, train_px / math.sqrt(sum(first.scale) / 2))
    elif isinstance(first, RandomCrop):
        wanted = max(wanted, train_px * first.scale)
    else:
        wanted = max(wanted, train_px / share)
    return math.ceil(wanted - 1e-9)
