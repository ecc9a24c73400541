"""NanoDet's light path aggregation: features are added, top down and then bottom up (Liu et al. 2018, Lyu
2020)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from falldet.model.deform import DeformConv
from falldet.model.options import PanOptions


class Pan(nn.Module):
    """As many levels out as in, all of one width.

    The only weights are the lateral 1x1 convolutions and, where asked for, a deformable one (v2) whose
    result is added to the coarsest level, which sees people whole; on finer ones it would cost more than all
    else.
    """

    def __init__(
        self, in_channels: Sequence[int], options: PanOptions, strides: Sequence[int] = (8, 16, 32)
    ) -> None:
        super().__init__()
        self.channels, self.strides = options.channels, tuple(strides)
        channels = self.channels
        self.lateral_convs = nn.ModuleList(nn.Conv2d(before, channels, 1) for before in in_channels)
        self.deform_conv = None
        if options.deformable == "v2":
            self.deform_conv = DeformConv(channels, channels, mask=True)
            nn.init.zeros_(self.deform_conv.weight)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Levels, the finest first."""
        levels = [lateral(level) for lateral, level in zip(self.lateral_convs, features, strict=True)]
        for fine in range(len(levels) - 2, -1, -1):
            levels[fine] = levels[fine] + _resized(levels[fine + 1], levels[fine])
        for coarse in range(1, len(levels)):
            levels[coarse] = levels[coarse] + _resized(levels[coarse - 1], levels[coarse])
        if self.deform_conv is not None:
            levels[-1] = levels[-1] + self.deform_conv(levels[-1])
        return tuple(levels)


def _resized(level: Tensor, other: Tensor) -> Tensor:
    return functional.interpolate(level, size=other.shape[-2:], mode="bilinear", align_corners=False)
