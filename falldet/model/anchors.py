"""Boxes that proposals start from: a few shapes at each place of each level (Ren et al. 2015, 3.1.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def anchor_shapes(side_px: float | int, ratios: Sequence[float]) -> Float[Tensor, "a 4"]:
    """Boxes around 0 with the area of a square of `side_px`; `ratios` are height over width."""
    height = torch.tensor(ratios, dtype=torch.float32).sqrt()
    half = torch.stack([1 / height, height], -1) * (side_px / 2)
    return torch.cat([-half, half], -1)


def level_anchors(
    shapes: Float[Tensor, "a 4"], map_size: tuple[int, int], stride_px: int
) -> Float[Tensor, "hwa 4"]:
    """`shapes` centred at (column, row) * stride, for each row, then each column, then each shape.

    `map_size` is (rows, columns) of the level. As in mmdet, no half pixel and no rounding.
    """
    rows, columns = (
        torch.arange(count, device=shapes.device, dtype=shapes.dtype) * stride_px for count in map_size
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    centres = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    return (centres + shapes).reshape(-1, 4)
