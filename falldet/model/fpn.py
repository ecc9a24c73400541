"""Pyramid: coarse maps, which know what, are added to fine ones, which know where (Lin et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from falldet.model.norms import ConvNorm
from falldet.model.options import FpnOptions


class Fpn(nn.Module):
    """Maps of a backbone -> as many of equal width, and one coarser that only proposals look at."""

    def __init__(self, in_channels: Sequence[int], strides: Sequence[int], options: FpnOptions) -> None:
        super().__init__()
        self.channels = options.channels
        self.strides = (*strides, 2 * strides[-1])
        self.lateral_convs = nn.ModuleList(
            ConvNorm(width, options.channels, 1, options.norm) for width in in_channels
        )
        self.fpn_convs = nn.ModuleList(
            ConvNorm(options.channels, options.channels, 3, options.norm) for _ in in_channels
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, maps: Sequence[Float[Tensor, "n _ _ _"]]) -> tuple[Tensor, ...]:
        levels = [lateral(map_) for lateral, map_ in zip(self.lateral_convs, maps, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + interpolate(
                levels[i], size=levels[i - 1].shape[2:], mode="nearest"
            )
        levels = [smooth(level) for smooth, level in zip(self.fpn_convs, levels, strict=True)]
        return (*levels, max_pool2d(levels[-1], 1, stride=2))
