"""Features of a region, as a small square, from the level that fits its size (RoIAlign, He et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional
from torchvision import ops

from falldet.model.target import Levels

region_align: Any = ops.roi_align  # wrapped for torch.fx, which hides its type


def fitting_level(
    boxes: Float[Tensor, "n 4"], finest_scale_px: float | int, levels: int
) -> Int64[Tensor, " n"]:
    """Level of a box: 0 if the root of its area is below twice `finest_scale_px`, 1 below four times, ..."""
    side = (boxes[:, 2:] - boxes[:, :2]).prod(-1).sqrt()
    return torch.floor(torch.log2(side / finest_scale_px + 1e-6)).clamp(0, levels - 1).long()


def pool_regions(
    levels: Levels,
    boxes: Sequence[Float[Tensor, "_ 4"]],
    strides: Sequence[int],
    finest_scale_px: float | int,
    pool_px: int,
) -> Float[Tensor, "r c pool_px pool_px"]:
    """Features of the boxes of all pictures, one picture after another.

    `levels` may go on beyond `strides`: those are not looked at. As many samples a bin as it has pixels.
    """
    regions = torch.cat([functional.pad(of_picture, (1, 0), value=i) for i, of_picture in enumerate(boxes)])
    level_of = fitting_level(regions[:, 1:], finest_scale_px, len(strides))
    pooled, order = [], []
    for i, (level, stride) in enumerate(zip(levels, strides, strict=False)):
        here = torch.nonzero(level_of == i)[:, 0]
        pooled.append(region_align(level.float(), regions[here], pool_px, 1 / stride, aligned=True))
        order.append(here)
    return torch.cat(pooled)[torch.cat(order).argsort()]
