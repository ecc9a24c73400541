"""Arithmetic of boxes (x1, y1, x2, y2): overlap, and the deltas that turn one box into another.

Deltas (dx, dy, dw, dh), divided by `stds`, move the centre by shares of the box's size and scale its width
and height by exp(dw), exp(dh) (Girshick et al. 2014, appendix C). Sizes are x2 - x1, not the x2 - x1 + 1 of
older code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Boxes = Float[Tensor, "n 4"]

LARGEST_LOG_RATIO = math.log(1000 / 16)
"""A box grows or shrinks at most 62.5 times, so that wild deltas stay finite; on both sides, as in mmdet."""
SMALLEST_UNION_PX2 = 1e-6


def iou(first: Float[Tensor, "m 4"], second: Float[Tensor, "n 4"]) -> Float[Tensor, "m n"]:
    """Intersection over union of every pair; 0 where both boxes are empty."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    area = (first[:, 2:] - first[:, :2]).prod(-1)[:, None] + (second[:, 2:] - second[:, :2]).prod(-1)
    return common / (area - common).clamp(min=SMALLEST_UNION_PX2)


def encode(boxes: Boxes, wanted: Boxes, stds: Sequence[float]) -> Boxes:
    """Deltas that turn `boxes` into `wanted`; both of positive size."""
    size, wanted_size = boxes[:, 2:] - boxes[:, :2], wanted[:, 2:] - wanted[:, :2]
    shift = ((wanted[:, :2] + wanted[:, 2:]) - (boxes[:, :2] + boxes[:, 2:])) * 0.5 / size
    return torch.cat([shift, torch.log(wanted_size / size)], -1) / boxes.new_tensor(stds)


def decode(boxes: Boxes, deltas: Boxes, stds: Sequence[float], size_px: tuple[int, int]) -> Boxes:
    """`boxes` moved by `deltas` and cut at the picture's edges; `size_px` is (height, width)."""
    deltas = deltas.float() * boxes.new_tensor(stds)
    size = boxes[:, 2:] - boxes[:, :2]
    centre = (boxes[:, :2] + boxes[:, 2:]) * 0.5 + size * deltas[:, :2]
    half = size * deltas[:, 2:].clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).exp() * 0.5
    return clip(torch.cat([centre - half, centre + half], -1), size_px)


def clip(boxes: Boxes, size_px: tuple[int, int]) -> Boxes:
    """The part of each box inside a picture of (height, width)."""
    height, width = size_px
    x, y = boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)
    return torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], -1)
