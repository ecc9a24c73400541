"""ShuffleNetV2 (Ma et al. 2018) as NanoDet-m has it: batch norms folded into biases, LeakyReLU, three levels
out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from falldet.model.options import ShuffleNetOptions

CHANNELS = {"0.5x": (48, 96, 192), "1.0x": (116, 232, 464), "1.5x": (176, 352, 704)}
SLOPE = 0.1
"""Of the activations, below 0."""
_STEM, _REPEATS = 24, (4, 8, 4)


class ShuffleNet(nn.Module):
    """Levels of stride 8, 16 and 32. Stages that are frozen keep their weights and are run without
    gradients."""

    strides = (8, 16, 32)

    def __init__(self, options: ShuffleNetOptions) -> None:
        super().__init__()
        self.channels = CHANNELS[options.width]
        self.conv1 = nn.Sequential(scaled_conv(3, _STEM, 3, stride=2), _activation())
        stages, before = [], _STEM
        for channels, repeats in zip(self.channels, _REPEATS, strict=True):
            units: list[nn.Module] = [Down(before, channels)]
            units += [Unit(channels) for _ in range(repeats - 1)]
            stages.append(nn.Sequential(*units))
            before = channels
        self.stage2, self.stage3, self.stage4 = stages
        self.frozen_stages = options.frozen_stages
        for part in self._parts()[: self.frozen_stages]:
            part.requires_grad_(False)

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> tuple[Tensor, ...]:
        """Features of stride 8, 16, 32."""
        stem, *stages = self._parts()
        features = functional.max_pool2d(stem(images), 3, stride=2, padding=1)
        levels = []
        for stage in stages:
            features = stage(features)
            levels.append(features)
        return tuple(levels)

    def _parts(self) -> list[nn.Module]:
        return [self.conv1, self.stage2, self.stage3, self.stage4]


class Unit(nn.Module):
    """Half of the channels pass, the others are convolved, then the halves are interleaved."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch2 = _branch(half, half, 1)

    def forward(self, features: Tensor) -> Tensor:
        passed, convolved = features.chunk(2, 1)
        return shuffled(torch.cat([passed, self.branch2(convolved)], 1))


class Down(nn.Module):
    """Halves the size: both branches are convolved."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch1 = nn.Sequential(
            scaled_conv(before, before, 3, 2, groups=before, slope=1.0),
            scaled_conv(before, half, 1),
            _activation(),
        )
        self.branch2 = _branch(before, half, 2)

    def forward(self, features: Tensor) -> Tensor:
        return shuffled(torch.cat([self.branch1(features), self.branch2(features)], 1))


def shuffled(features: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """The two halves of the channels, interleaved."""
    n, channels, height, width = features.shape
    return features.view(n, 2, channels // 2, height, width).transpose(1, 2).reshape(features.shape)


def _branch(before: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        scaled_conv(before, channels, 1),
        _activation(),
        scaled_conv(channels, channels, 3, stride, groups=channels, slope=1.0),
        scaled_conv(channels, channels, 1),
        _activation(),
    )


def scaled_conv(
    before: int, after: int, kernel: int, stride: int = 1, *, groups: int = 1, slope: float = SLOPE
) -> nn.Conv2d:
    """A convolution that, with the activation after it, keeps the spread of its input (He et al. 2015), as no
    norm does so here. ``slope`` is 1 where no activation follows."""
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups)
    nn.init.kaiming_normal_(conv.weight, slope)
    nn.init.zeros_(conv.bias)  # pyright: ignore[reportArgumentType]
    return conv


def _activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(SLOPE, inplace=True)
