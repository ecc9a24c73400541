"""Normalisations of the heavy detector, and a convolution with one, under mmdet's names."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

GROUPS = 32
NAMES = {"batch": "bn", "group": "gn"}
"""How mmdet begins the name of a norm."""


def norm_layer(kind: Literal["batch", "group"], channels: int) -> nn.Module:
    """Batch norm, or group norm of 32 groups (Wu and He 2018)."""
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(GROUPS, channels)


class ConvNorm(nn.Module):
    """`conv` that keeps the map's size, then `gn` where `norm` is "group"; otherwise `conv` has a bias."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        norm: Literal["none", "group"] = "none",
        active: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=norm == "none")
        self.gn = nn.GroupNorm(GROUPS, out_channels) if norm == "group" else None
        self.active = active

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        x = self.conv(x)
        x = x if self.gn is None else self.gn(x)
        return relu(x) if self.active else x
