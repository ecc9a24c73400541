"""Pictures become the network's input: scaled with their proportions kept, normalised, padded into
batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.nn import functional

from falldet.model.options import PixelOptions

Size = tuple[int, int]
"""Height and width in pixels."""


class Input(NamedTuple):
    """One picture as the network takes it, before padding."""

    pixels: Float32[Tensor, "3 h w"]
    scale_xy: tuple[float, float]
    """Pixels of the input for each pixel of the picture."""

    @property
    def size_px(self) -> Size:
        """Height and width."""
        return self.pixels.shape[-2], self.pixels.shape[-1]


def scaled_size(size_px: Size, options: PixelOptions) -> Size:
    """The size a picture is scaled to: the largest within ``long_px`` and ``short_px``, rounded as mmcv
    does."""
    long_px, short_px = options.long_px, options.short_px or options.long_px
    factor = min(long_px / max(size_px), short_px / min(size_px))
    height, width = (max(1, int(side * factor + 0.5)) for side in size_px)
    return height, width


def normalised(rgb: UInt8[np.ndarray, "*n h w 3"], options: PixelOptions) -> Float32[Tensor, "*n 3 h w"]:
    """Pictures of one size as numbers in the model's order of colours."""
    pixels = torch.from_numpy(np.ascontiguousarray(rgb)).movedim(-1, -3)
    if options.order == "bgr":
        pixels = pixels.flip(-3)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (options.mean, options.std))
    return pixels.to(torch.float32).sub_(mean).div_(std)


def to_input(rgb: UInt8[np.ndarray, "h w 3"], options: PixelOptions) -> Input:
    """A picture of any size as the network's input."""
    height, width = scaled_size(rgb.shape[:2], options)
    scaled = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    return Input(normalised(scaled, options), (width / rgb.shape[1], height / rgb.shape[0]))


def batched(inputs: Sequence[Input], divisor: int) -> tuple[Float32[Tensor, "n 3 H W"], list[Size]]:
    """Inputs in one tensor, padded with zeros at the right and the bottom, and their sizes before that."""
    sizes = [one.size_px for one in inputs]
    height, width = (-(-max(sides) // divisor) * divisor for sides in zip(*sizes, strict=True))
    padded = [
        functional.pad(one.pixels, (0, width - w, 0, height - h))
        for one, (h, w) in zip(inputs, sizes, strict=True)
    ]
    return torch.stack(padded), sizes
