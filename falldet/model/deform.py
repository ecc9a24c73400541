"""Deformable 3x3 convolution: every tap is read where the features say (Dai et al. 2017, Zhu et al. 2018)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

TAPS = 9


class DeformConv(nn.Module):
    """3x3, without bias, for nn.Conv2d(..., 3, stride, padding=1, groups=groups, bias=False).

    `conv_offset` gives (dy, dx) of each tap in pixels of the map and, with `mask` (version 2), a weight in
    0..1, by a sigmoid. It starts at zero: a plain convolution, with `mask` half of one.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, groups: int = 1, mask: bool = False
    ) -> None:
        super().__init__()
        self.out_channels, self.stride, self.mask = out_channels, stride, mask
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, 3, 3))
        self.conv_offset = nn.Conv2d(in_channels, TAPS * (3 if mask else 2), 3, stride, padding=1)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h2 w2"]:
        where = self.conv_offset(x)
        offset, mask = where[:, : 2 * TAPS], where[:, 2 * TAPS :].sigmoid() if self.mask else None
        stride = (self.stride, self.stride)  # in float32: half precision has no kernel on the CPU
        found = deform_conv2d(
            x.float(),
            offset.float(),
            self.weight.float(),
            stride=stride,
            padding=(1, 1),
            mask=None if mask is None else mask.float(),
        )
        return found.to(x.dtype)
